/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_find.c - in which directories groups of ours can be made.
 *
 * /proc/self/cgroup says which groups we are in, /proc/self/mountinfo where
 * their hierarchies are to be seen, and from which of their groups on. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "err.h"

enum { LINE = PATH_MAX + 512 };

const char *
cgroup_name(int controller)
{
    static const char *const names[CGROUP_CONTROLLERS] = {
        [CGROUP_MEMORY] = "memory", [CGROUP_PIDS] = "pids"};
    return names[controller];
}

int
cgroup_is_listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *s = list; *s != 0; s += strcspn(s, ", \n")) {
        s += strspn(s, ", \n");
        if (strncmp(s, name, n) == 0 && strchr(", \n", s[n]) != NULL)
            return 1;
    }
    return 0;
}

static FILE *
open_file(const char *root, const char *name)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s%s", root, name);
    return n < (int)sizeof path ? fopen(path, "re") : NULL;
}

/* ---- /proc/self/cgroup: "4:memory:/a", "0::/a" --------------------------- */

/* Our group in the hierarchy of this controller (NULL: of version 2). */
static int
find_group(const char *root, const char *controller, char group[PATH_MAX])
{
    char line[LINE];
    int found = 0;
    FILE *f = open_file(root, "/proc/self/cgroup");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':');
        char *path = names != NULL ? strchr(names + 1, ':') : NULL;
        if (path == NULL || strlen(path + 1) >= PATH_MAX)
            continue;
        *path++ = 0;
        names++;
        found = controller != NULL ? cgroup_is_listed(names, controller)
                                   : strncmp(line, "0:", 2) == 0 && *names == 0;
        if (found)
            strcpy(group, path);
    }
    if (f != NULL)
        fclose(f);
    return found;
}

/* ---- /proc/self/mountinfo ------------------------------------------------ */

struct mount {
    char root[PATH_MAX]; /* the group that is seen at `at' */
    char at[PATH_MAX];
};

/* The next word of a line, which is cut there; "" at its end. */
static char *
word(char **line)
{
    char *w = strsep(line, " \n");
    return w != NULL ? w : "";
}

/* "36 35 0:32 /root /at options fields... - type source superoptions" */
static int
parse_mount(char *line, const char *controller, struct mount *m)
{
    char *end = strstr(line, " - ");
    if (end == NULL)
        return 0;
    char *tail = end + 3;
    const char *type = word(&tail);
    (void)word(&tail);
    const char *options = word(&tail);
    if (strcmp(type, controller != NULL ? "cgroup" : "cgroup2") != 0 ||
        (controller != NULL && !cgroup_is_listed(options, controller)))
        return 0;
    for (int i = 0; i < 3; i++)
        (void)word(&line);
    snprintf(m->root, sizeof m->root, "%s", word(&line));
    snprintf(m->at, sizeof m->at, "%s", word(&line));
    return m->at[0] == '/';
}

/* What of the group's name follows that of the mount's root, "" or "/a/b";
 * NULL: the group is not below it, or ("/../a") not in our namespace. */
static const char *
below(const char *group, const struct mount *m)
{
    size_t above = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root);
    const char *rest = group + above;
    if (strncmp(group, m->root, above) != 0 || (*rest != '/' && *rest != 0) ||
        strncmp(rest, "/..", 3) == 0)
        return NULL;
    return strcmp(rest, "/") == 0 ? "" : rest;
}

int
cgroup_own(const char *root, const char *controller, char path[PATH_MAX],
           char top[PATH_MAX])
{
    char line[2 * LINE], group[PATH_MAX];
    struct mount m;
    const char *rest = NULL;
    if (!find_group(root, controller, group))
        return 0;
    FILE *f = open_file(root, "/proc/self/mountinfo");
    while (f != NULL && rest == NULL && fgets(line, sizeof line, f) != NULL)
        if (parse_mount(line, controller, &m))
            rest = below(group, &m);
    if (f != NULL)
        fclose(f);
    return rest != NULL &&
           snprintf(path, PATH_MAX, "%s%s%s", root, m.at, rest) < PATH_MAX &&
           snprintf(top, PATH_MAX, "%s%s", root, m.at) < PATH_MAX;
}

int
cgroup_same(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* ---- all of it ----------------------------------------------------------- */

static void
add_place(struct cgroup_host *h, int fd, int version, unsigned bits)
{
    for (int i = 0; i < h->count; i++) {
        if (cgroup_same(h->places[i].fd, fd)) {
            h->places[i].controllers |= bits;
            close(fd);
            return;
        }
    }
    h->places[h->count++] = (struct cgroup_place){fd, version, bits};
}

int
cgroup_find(struct cgroup_host *h)
{
    char path[PATH_MAX], top[PATH_MAX];
    unsigned lacking = 0;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        int fd = cgroup_own(h->root, cgroup_name(i), path, top)
                     ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                     : -1;
        if (fd >= 0)
            add_place(h, fd, 1, 1u << i);
        else
            lacking |= 1u << i;
    }
    if (lacking == 0)
        return 0;
    const char *why = NULL;
    int fd = cgroup_unified(h, lacking, &why);
    if (fd < 0) {
        snprintf(h->why_not, sizeof h->why_not, "control groups: %s", why);
        return E_REFUSED;
    }
    add_place(h, fd, 2, lacking);
    return 0;
}
