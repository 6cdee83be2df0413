/* SPDX-License-Identifier: Apache-2.0 */
#include "oom.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"

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

/* By version 2 the local file leaves out the groups below ours. */
static void
find(const struct oom *o, char path[PATH_MAX])
{
    static const struct {
        const char *controller, *file;
    } files[] = {{"memory", "memory.oom_control"},
                 {NULL, "memory.events.local"},
                 {NULL, "memory.events"}};
    char group[PATH_MAX], top[PATH_MAX];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (!cgroup_own(o->root, files[i].controller, group, top))
            continue;
        int n = snprintf(path, PATH_MAX, "%s/%s", group, files[i].file);
        if (n < PATH_MAX && access(path, R_OK) == 0)
            return;
    }
    path[0] = 0;
}

void
oom_init(struct oom *o, const char *root)
{
    o->root = root;
    find(o, o->path);
    o->seen = read_count(o->path);
}

/* We may have been moved, to a group that is new as a rule. */
static void
follow(struct oom *o)
{
    char path[PATH_MAX];
    find(o, path);
    if (strcmp(path, o->path) != 0) {
        memcpy(o->path, path, sizeof path);
        o->seen = 0;
    }
}

int
oom_was_it(struct oom *o)
{
    follow(o);
    if (read_count(o->path) <= o->seen)
        return 0;
    o->seen++;
    return 1;
}
