/* SPDX-License-Identifier: Apache-2.0 */
#include "oom.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Both versions' files have a line "oom_kill N". */
static uint64_t
read_count(const char *path)
{
    static const char key[] = "oom_kill ";
    char line[256];
    unsigned long long n = 0;
    FILE *f = path[0] != 0 ? fopen(path, "re") : NULL;
    if (f == NULL)
        return 0;
    while (fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, key, sizeof key - 1) == 0)
            (void)sscanf(line + sizeof key - 1, "%llu", &n);
    }
    fclose(f);
    return n;
}

static int
use_if_there(struct oom *o, const char *root, const char *mount,
             const char *group, const char *file)
{
    int n = snprintf(o->path, sizeof o->path, "%s/sys/fs/cgroup%s%s/%s", root,
                     mount, strcmp(group, "/") == 0 ? "" : group, file);
    if (n < (int)sizeof o->path && access(o->path, R_OK) == 0)
        return 1;
    o->path[0] = 0;
    return 0;
}

/* One line of /proc/self/cgroup: "0::/group" is version 2 (whose local file
 * leaves out the groups below us), "4:memory:/group" is version 1. */
static int
use_line(struct oom *o, const char *root, char *line)
{
    line[strcspn(line, "\n")] = 0;
    if (strncmp(line, "0::", 3) == 0)
        return use_if_there(o, root, "", line + 3, "memory.events.local") ||
               use_if_there(o, root, "", line + 3, "memory.events");
    const char *group = strstr(line, ":memory:");
    return group != NULL &&
           use_if_there(o, root, "/memory", group + sizeof ":memory:" - 1,
                        "memory.oom_control");
}

void
oom_init(struct oom *o, const char *root)
{
    char path[PATH_MAX], line[PATH_MAX];
    o->path[0] = 0;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    while (f != NULL && o->path[0] == 0 && fgets(line, sizeof line, f) != NULL)
        (void)use_line(o, root, line);
    if (f != NULL)
        fclose(f);
    o->seen = read_count(o->path);
}

int
oom_was_it(struct oom *o)
{
    if (read_count(o->path) <= o->seen)
        return 0;
    o->seen++;
    return 1;
}
