/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_unified.c - a place for groups by version 2.
 *
 * A group that has processes, as ours has, can not give memory to groups below
 * it (EBUSY), unless it is the root of all.  Whoever was given a group to have
 * groups in it, by systemd, which marks it, or as the root of a container, has
 * therefore to leave it: for a group below it, a leaf, with all others who are
 * in it.  That done, once, by us or by who started us, the group above ours is
 * the one that gives. */
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

/* The group that we leave ours for.  No number: it is everybody's who was in
 * ours, and of the next who is started there. */
static const char leaf_name[] = "terrarium";

/* So often it is looked who is still there: who leaves may be forking. */
enum { ROUNDS = 16 };

static int
open_directory(int at, const char *path)
{
    return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* ---- giving controllers -------------------------------------------------- */

static int
gives(int at, unsigned wanted)
{
    char list[512] = "";
    int all = cgroup_text(at, "cgroup.subtree_control", list, sizeof list) > 0;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        if (wanted & 1u << i)
            all = all && cgroup_is_listed(list, cgroup_name(i));
    return all;
}

/* 0 or, with the kernel's reason in errno, E_SYS. */
static int
give(int at, unsigned wanted)
{
    char text[64] = "";
    if (gives(at, wanted))
        return 0;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        if (wanted & 1u << i)
            strcat(strcat(text, text[0] != 0 ? " +" : "+"), cgroup_name(i));
    int e = cgroup_write(at, "cgroup.subtree_control", text);
    if (e == 0 && !gives(at, wanted))
        e = (errno = EIO, E_SYS);
    return e;
}

/* ---- is it ours? --------------------------------------------------------- */

static int
is_marked(int fd)
{
    char v = 0;
    return (fgetxattr(fd, "trusted.delegate", &v, 1) == 1 && v == '1') ||
           (fgetxattr(fd, "user.delegate", &v, 1) == 1 && v == '1');
}

/* A mount's top that is a group like others is what a container was given. */
static int
is_delegated(int fd, const char *top_path)
{
    if (is_marked(fd))
        return 1;
    int top = open_directory(AT_FDCWD, top_path);
    int is_top = top >= 0 && cgroup_same(top, fd);
    io_close(&top);
    return is_top && faccessat(fd, "cgroup.type", F_OK, 0) == 0;
}

/* Whoever limited our own group meant us, and what we start. */
static int
is_unlimited(int at)
{
    static const char *const files[] = {"memory.max", "memory.high",
                                        "memory.swap.max", "pids.max"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char text[8];
        if (cgroup_text(at, files[i], text, sizeof text) > 0 &&
            strncmp(text, "max", 3) != 0)
            return 0;
    }
    return 1;
}

/* ---- leaving it ---------------------------------------------------------- */

/* Who is of another namespace of process ids (0) can not be moved, so then none
 * is.  Who ends meanwhile need not be. */
static int
move(int door, const pid_t *pids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (pids[i] <= 0)
            return errno = EPERM, E_SYS;
    for (size_t i = 0; i < n; i++) {
        char text[16];
        int size = snprintf(text, sizeof text, "%d", (int)pids[i]);
        if (write(door, text, (size_t)size) < 0 && errno != ESRCH)
            return E_SYS;
    }
    return 0;
}

static int
move_all(int own, int door)
{
    pid_t pids[CGROUP_PIDS_READ];
    for (int i = 0; i < ROUNDS; i++) {
        size_t n = cgroup_pids(own, pids);
        if (n == 0)
            return 0;
        if (move(door, pids, n) != 0)
            return E_SYS;
    }
    return errno = EBUSY, E_SYS;
}

/* All that are in our group go to a leaf below it, we with them. */
static int
leave(int own)
{
    int door = -1, e = E_SYS;
    int made = mkdirat(own, leaf_name, 0755) == 0;
    int leaf = made || errno == EEXIST ? open_directory(own, leaf_name) : -1;
    if (leaf >= 0)
        door = openat(leaf, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (door >= 0)
        e = move_all(own, door);
    int saved = errno;
    io_close(&door);
    io_close(&leaf);
    if (e != 0 && made) /* unless someone is in it already */
        (void)unlinkat(own, leaf_name, AT_REMOVEDIR);
    errno = saved;
    return e;
}

/* ---- all of it ----------------------------------------------------------- */

static const char *
meaning(int reason)
{
    switch (reason) {
    case EBUSY:
        return "our own has processes, and is not delegated to us";
    case EPERM:
        return "our own has processes that are not of our namespace";
    case ENOENT:
        return "memory and pids are not given to our own";
    case EOPNOTSUPP:
        return "our own is threaded";
    default:
        return strerror(reason);
    }
}

/* The group above ours, if it is ours to use and ours is only a leaf of it. */
static int
open_above(int own, const char *top, unsigned wanted, const char **why)
{
    int above = open_directory(own, "..");
    int usable = 0;
    if (above >= 0 && is_delegated(above, top)) {
        if (!is_unlimited(own))
            *why = "our own is limited";
        else if (give(above, wanted) != 0)
            *why = meaning(errno);
        else
            usable = 1;
    }
    if (!usable)
        io_close(&above);
    return above;
}

int
cgroup_unified(const struct cgroup_host *h, unsigned wanted, const char **why)
{
    char path[PATH_MAX], top[PATH_MAX];
    int own = -1;
    *why = "none with memory and pids is to be seen";
    if (cgroup_own(h->root, NULL, path, top))
        own = open_directory(AT_FDCWD, path);
    if (own < 0 || give(own, wanted) == 0)
        return own;
    int reason = errno;
    if (reason == EBUSY && is_delegated(own, top)) {
        if (leave(own) == 0 && give(own, wanted) == 0)
            return own;
        reason = errno;
    }
    *why = meaning(reason);
    int above = open_above(own, top, wanted, why);
    close(own);
    return above;
}
