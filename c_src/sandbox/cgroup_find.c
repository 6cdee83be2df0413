/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_find.c - in which directories groups of ours can be made.
 *
 * /proc/self/cgroup says which groups we are in, /proc/self/mountinfo where
 * their hierarchies are to be seen, and from which of their groups on.  By
 * version 2 a group that has processes, as ours has, can not give controllers
 * to groups below it, unless it is the root of all.  So there the group above
 * ours is taken where that has been delegated: by systemd, which marks it, or
 * to a container, whose root it is. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cgroup.h"
#include "err.h"
#include "io.h"

enum { LINE = PATH_MAX + 512 };

static const char *const names_of[CGROUP_CONTROLLERS] = {
    [CGROUP_MEMORY] = "memory", [CGROUP_PIDS] = "pids"};

static FILE *
open_file(const struct cgroup_host *h, const char *name)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s%s", h->root, name);
    return n < (int)sizeof path ? fopen(path, "re") : NULL;
}

/* Is it one of the names in "a,b,c"? */
static int
is_listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *s = list; s != NULL; s = strchr(s, ',')) {
        s += *s == ',';
        if (strncmp(s, name, n) == 0 && (s[n] == 0 || s[n] == ','))
            return 1;
    }
    return 0;
}

/* ---- /proc/self/cgroup: "4:memory:/a", "0::/a" --------------------------- */

/* Our group in the hierarchy of this controller (NULL: of version 2). */
static int
find_group(const struct cgroup_host *h, const char *controller,
           char group[PATH_MAX])
{
    char line[LINE];
    int found = 0;
    FILE *f = open_file(h, "/proc/self/cgroup");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':');
        char *path = names != NULL ? strchr(names + 1, ':') : NULL;
        if (path == NULL || strlen(path + 1) >= PATH_MAX)
            continue;
        *path++ = 0;
        names++;
        found = controller != NULL ? is_listed(names, controller)
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
        (controller != NULL && !is_listed(options, controller)))
        return 0;
    for (int i = 0; i < 3; i++)
        (void)word(&line);
    snprintf(m->root, sizeof m->root, "%s", word(&line));
    snprintf(m->at, sizeof m->at, "%s", word(&line));
    return m->at[0] == '/';
}

static int
find_mount(const struct cgroup_host *h, const char *controller, struct mount *m)
{
    char line[2 * LINE];
    int found = 0;
    FILE *f = open_file(h, "/proc/self/mountinfo");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
        found = parse_mount(line, controller, m);
    if (f != NULL)
        fclose(f);
    return found;
}

/* Where our group is to be seen: without what lies above the mount's root. */
static int
find_directory(const struct cgroup_host *h, const char *controller,
               char path[PATH_MAX])
{
    char group[PATH_MAX];
    struct mount m;
    if (!find_group(h, controller, group) || !find_mount(h, controller, &m))
        return 0;
    size_t above = strcmp(m.root, "/") == 0 ? 0 : strlen(m.root);
    if (strncmp(group, m.root, above) != 0)
        return 0;
    const char *rest = group + above;
    int n = snprintf(path, PATH_MAX, "%s%s%s", h->root, m.at,
                     strcmp(rest, "/") == 0 ? "" : rest);
    return n < PATH_MAX;
}

static int
open_directory(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int
same_directory(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* ---- version 2 ----------------------------------------------------------- */

static int
gives_controllers(int at)
{
    char list[512] = "";
    int fd = openat(at, "cgroup.subtree_control", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, list, sizeof list - 1);
    io_close(&fd);
    list[n > 0 ? n : 0] = 0;
    for (char *s = list; *s != 0; s++)
        if (*s == ' ' || *s == '\n')
            *s = ',';
    return is_listed(list, "memory") && is_listed(list, "pids");
}

static int
can_give_controllers(int at)
{
    return gives_controllers(at) ||
           (cgroup_write(at, "cgroup.subtree_control", "+memory +pids") == 0 &&
            gives_controllers(at));
}

static int
is_marked(int fd)
{
    char v = 0;
    return (fgetxattr(fd, "trusted.delegate", &v, 1) == 1 && v == '1') ||
           (fgetxattr(fd, "user.delegate", &v, 1) == 1 && v == '1');
}

/* Whoever limited our own group meant us, and what we start. */
static int
is_unlimited(int at)
{
    static const char *const files[] = {"memory.max", "memory.high",
                                        "pids.max"};
    for (int i = 0; i < 3; i++) {
        char text[8] = "";
        int fd = openat(at, files[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        ssize_t n = read(fd, text, sizeof text - 1);
        close(fd);
        if (n < 3 || strncmp(text, "max", 3) != 0)
            return 0;
    }
    return 1;
}

/* A mount's top that is a group like others is what a container was given. */
static int
is_delegated(const struct cgroup_host *h, int fd)
{
    char path[PATH_MAX];
    struct mount m;
    if (is_marked(fd))
        return 1;
    if (!find_mount(h, NULL, &m) ||
        snprintf(path, sizeof path, "%s%s", h->root, m.at) >= PATH_MAX)
        return 0;
    int top = open_directory(path);
    int is_top = top >= 0 && same_directory(top, fd);
    io_close(&top);
    return is_top && faccessat(fd, "cgroup.type", F_OK, 0) == 0;
}

static int
find_unified(const struct cgroup_host *h)
{
    char path[PATH_MAX];
    if (!find_directory(h, NULL, path))
        return -1;
    int own = open_directory(path);
    if (own < 0 || can_give_controllers(own))
        return own;
    int above = openat(own, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int usable = above >= 0 && is_unlimited(own) && is_delegated(h, above) &&
                 can_give_controllers(above);
    close(own);
    if (!usable)
        io_close(&above);
    return above;
}

/* ---- all of it ----------------------------------------------------------- */

static void
add_place(struct cgroup_host *h, int fd, int version, unsigned bits)
{
    for (int i = 0; i < h->count; i++) {
        if (same_directory(h->places[i].fd, fd)) {
            h->places[i].controllers |= bits;
            close(fd);
            return;
        }
    }
    h->places[h->count++] = (struct cgroup_place){fd, version, bits};
}

static int
refuse(struct cgroup_host *h, const char *what)
{
    snprintf(h->why_not, sizeof h->why_not, "control groups: %s", what);
    return E_REFUSED;
}

int
cgroup_find(struct cgroup_host *h)
{
    char path[PATH_MAX];
    unsigned lacking = 0;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        int fd =
            find_directory(h, names_of[i], path) ? open_directory(path) : -1;
        if (fd >= 0)
            add_place(h, fd, 1, 1u << i);
        else
            lacking |= 1u << i;
    }
    if (lacking == 0)
        return 0;
    int fd = find_unified(h);
    if (fd < 0)
        return refuse(h, "none with memory and pids that can be used");
    add_place(h, fd, 2, lacking);
    return 0;
}
