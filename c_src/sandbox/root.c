/* SPDX-License-Identifier: Apache-2.0 */
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <sys/mount.h> and <linux/mount.h> of older systems do not go together. */
extern int mount(const char *, const char *, const char *, unsigned long,
                 const void *);
extern int umount2(const char *, int);

#include "err.h"

enum { MOST_LINKS = 40, DETACH = 2 /* MNT_DETACH */ };

static int
sys(int r)
{
    return r == 0 ? 0 : E_SYS;
}

/* ---- mounts -------------------------------------------------------------- */

/* Over flags that came with the mount and may not be taken off it.  Nodev would
 * end a device's use; read-only ends none, but nobody changes its mode. */
static int
restrict_mount(const char *at, int how, int is_device)
{
    struct mount_attr a = {.attr_set = MOUNT_ATTR_NOSUID};
    if (!is_device)
        a.attr_set |= MOUNT_ATTR_NODEV;
    if (is_device || how == ROOT_READ_ONLY)
        a.attr_set |= MOUNT_ATTR_RDONLY;
    return sys((int)syscall(SYS_mount_setattr, AT_FDCWD, at, AT_RECURSIVE, &a,
                            sizeof a));
}

static int
bind(const char *from, const char *to, int how)
{
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) != 0)
        return E_SYS;
    struct stat s;
    int is_device = stat(to, &s) == 0 && S_ISCHR(s.st_mode);
    return restrict_mount(to, how, is_device);
}

/* ---- one path ------------------------------------------------------------ */

/* The part of path up to its n-th component's end; 0 when it is the whole. */
static size_t
component_end(const char *path, size_t from)
{
    size_t at = from;
    while (path[at] == '/')
        at++;
    while (path[at] != 0 && path[at] != '/')
        at++;
    return at;
}

/* The link's target in place of its name: dir/target + rest, or target + rest
 * when it is absolute. */
static int
follow(char path[PATH_MAX], size_t dir, const char *target, const char *rest)
{
    char next[PATH_MAX];
    int n = target[0] == '/' ? snprintf(next, sizeof next, "%s%s", target, rest)
                             : snprintf(next, sizeof next, "%.*s/%s%s",
                                        (int)dir, path, target, rest);
    if (n < 0 || (size_t)n >= sizeof next)
        return E_LIMIT;
    memcpy(path, next, (size_t)n + 1);
    return 0;
}

static int
make_link(const char *target, const char *at)
{
    return symlink(target, at) == 0 || errno == EEXIST ? 0 : E_SYS;
}

static int
make_directory(const char *at)
{
    return mkdir(at, 0755) == 0 || errno == EEXIST ? 0 : E_SYS;
}

static int
make_file(const char *at)
{
    int fd = open(at, O_CREAT | O_RDONLY | O_CLOEXEC, 0644);
    if (fd < 0)
        return E_SYS;
    close(fd);
    return 0;
}

/* Paths of the new root are relative: it is the working directory. */
static const char *
inside(const char *path)
{
    while (*path == '/')
        path++;
    return *path != 0 ? path : ".";
}

/* ".." behind a link would mean something else in the new root. */
static int
has_parent_part(const char *path)
{
    return strstr(path, "/../") != NULL ||
           (strlen(path) >= 3 && strcmp(path + strlen(path) - 3, "/..") == 0);
}

/* One component of path, which ends at `end`: 1 when path was a link there and
 * has been rewritten, 0, or an error. */
static int
show_part(char path[PATH_MAX], size_t start, size_t end)
{
    char rest[PATH_MAX], target[PATH_MAX];
    struct stat s;
    memcpy(rest, path + end, strlen(path + end) + 1);
    path[end] = 0;
    if (lstat(path, &s) != 0)
        return E_SYS;
    if (S_ISLNK(s.st_mode)) {
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0)
            return E_SYS;
        target[n] = 0;
        int e = make_link(target, inside(path));
        return e != 0                                   ? e
               : follow(path, start, target, rest) != 0 ? E_LIMIT
                                                        : 1;
    }
    int e = S_ISDIR(s.st_mode) ? make_directory(inside(path))
                               : make_file(inside(path));
    memcpy(path + end, rest, strlen(rest) + 1);
    return e;
}

/* "a/b/../c" to "a/c", in place: only where a and b are no links, which is so
 * when path is about to be walked from its beginning. */
static void
squeeze(char *path)
{
    char *up;
    while ((up = strstr(path, "/..")) != NULL && (up[3] == '/' || up[3] == 0)) {
        char *before = up;
        while (before > path && before[-1] != '/')
            before--;
        if (before > path)
            before--;
        memmove(before, up + 3, strlen(up + 3) + 1);
    }
}

int
root_show(const char *wanted, int how)
{
    char path[PATH_MAX];
    int links = 0;
    if (wanted[0] != '/' || strlen(wanted) >= sizeof path)
        return E_LIMIT;
    memcpy(path, wanted, strlen(wanted) + 1);
    for (size_t from = 0; path[from] != 0;) {
        size_t end = component_end(path, from);
        if (end == from + 1 || end == from) /* a slash at the end */
            break;
        int r = show_part(path, from, end);
        if (r < 0)
            return r;
        if (r == 1 && ++links > MOST_LINKS)
            return E_LIMIT;
        if (r == 1 && has_parent_part(path))
            squeeze(path);
        from = r == 1 ? 0 : end;
    }
    return bind(path, inside(path), how);
}

int
root_directory(const char *path)
{
    return make_directory(inside(path));
}

/* ---- the whole ----------------------------------------------------------- */

/* /proc is only where the new root hangs until it is entered: of all places the
 * one that nobody is shown anything of. */
int
root_begin(void)
{
    static const char options[] = "size=1m,nr_inodes=4096,mode=755";
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, options) != 0)
        return E_SYS;
    return sys(chdir("/proc"));
}

int
root_enter(void)
{
    struct mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY};
    if (syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", DETACH) != 0 ||
        chdir("/") != 0)
        return E_SYS;
    return sys(
        (int)syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &ro, sizeof ro));
}
