/* SPDX-License-Identifier: Apache-2.0 */
/* brood.c - the nest itself, and the first steps of a helper that it forks.
 *
 * Such a fork is a copy and nothing else (copy.h).  What PyOS_AfterFork_Child
 * would repair is whole as well: the one thread held the GIL and no other lock.
 * Hooks for forks have threading, logging and random; the first two only renew
 * locks, and lockup_again has random seeded. */
#include "py.h"

#include "brood.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "copy.h"
#include "handoff.h"
#include "helper.h"
#include "holes.h"
#include "image.h"
#include "interp.h"
#include "io.h"
#include "lockup.h"
#include "nest.h"
#include "self.h"
#include "shut.h"
#include "state.h"

/* ---- memory -------------------------------------------------------------- */

static struct image image; /* singleton, as the process's memory is */

/* In a child that nobody will ever use: what a helper does that all do. */
static _Noreturn void
try_a_life(struct image *seen)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    *seen = image;
    if (helper_try() == 0 && lockup_seed() == 0) {
        lockup_rehearse("least");
        image_look(seen);
    }
    _exit(HANDOFF_EXIT_OK);
}

/* Have our memory in a file, and find out what of it helpers write. */
static int
settle_memory(int *tid)
{
    if (image_take(&image) != 0)
        return -1;
    struct image *seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (image.count == 0 || seen == MAP_FAILED)
        return 0;
    pid_t pid = copy_fork(tid, 0, NULL);
    if (pid == 0)
        try_a_life(seen);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    image = *seen;
    munmap(seen, sizeof *seen);
    return 0;
}

/* ---- a helper ------------------------------------------------------------ */

/* As in spawn.c. */
static int
is_orphan(const struct zygote *z, const struct breed *b)
{
    return getppid() != ((b->profile.layers & LAYER_PIDS) ? 0 : z->pid);
}

/* Whatever it uses from here on counts. */
static void
join_groups(const int *doors, int count)
{
    for (int i = 0; i < count; i++) {
        int door = doors[i];
        if (cgroup_go(door) != 0) {
            dprintf(STDERR_FILENO, "sandbox: control group: %s\n",
                    strerror(errno));
            _exit(HANDOFF_EXIT_SANDBOX);
        }
        io_close(&door);
    }
}

static _Noreturn void
be_helper(const struct zygote *z, struct breed *b, int orders, const int *fds,
          int count)
{
    struct helper_lock lock = {lockup_again, b};
    int32_t pid = b->profile.outer = self_outer_pid(b->profile.proc);
    int out = fds[NEST_OUT], err = fds[NEST_ERR];
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (is_orphan(z, b) ||
        io_send_packet(orders, &pid, sizeof pid, NULL, 0) != 0)
        _exit(HANDOFF_EXIT_SYSTEM);
    close(orders);
    if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(HANDOFF_EXIT_SYSTEM);
    io_close(&out);
    io_close(&err);
    join_groups(fds + NEST_GROUPS, count - NEST_GROUPS);
    image_warm(&image);
    helper_main(fds[NEST_SOCKET], fds[NEST_BLACKBOX], fds[NEST_LANE],
                fds[NEST_HATCH], &lock);
}

/* ---- the nest ------------------------------------------------------------ */

static void
close_all_but(const struct profile *p, int orders)
{
    int keep[2 + CELL_NAMESPACES] = {orders, p->landlock};
    for (int i = 0; i < CELL_NAMESPACES; i++)
        keep[2 + i] = p->cell.fds[i];
    shut_all_but(keep, sizeof keep / sizeof keep[0]);
}

/* What is said here nobody hears: the zygote then forks a helper by itself, and
 * that one says it again. */
static int
get_ready(struct zygote *z, struct breed *b, int orders, int *tid)
{
    char why[512];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (is_orphan(z, b) || dup2(STDIN_FILENO, STDOUT_FILENO) < 0 ||
        dup2(STDIN_FILENO, STDERR_FILENO) < 0)
        return -1;
    setrlimit(RLIMIT_NOFILE, &z->files);
    signals_give_back(&z->signals);
    cell_close_pids(&b->profile.cell);
    close_all_but(&b->profile, orders);
    PyOS_AfterFork_Child();
    if (helper_prepare() != 0 || lockup_begin(b, why, sizeof why) != 0)
        return -1;
    lockup_rehearse("rehearsal");
    if (lockup_find_seed() < 0 || interp_settle() < 0)
        return -1;
    holes_fill();
    if (settle_memory(tid) != 0)
        return -1;
    return profile_begin(&b->profile);
}

/* Orders until the zygote closes its end. */
static void
serve(const struct zygote *z, struct breed *b, int orders, int *tid)
{
    for (;;) {
        int fds[IO_MAX_FDS], count = 0;
        char order = 0;
        size_t n = 0;
        int e = io_recv_packet(orders, &order, 1, &n, fds, &count);
        if (e != 0 || order != BROOD_FORK || count < NEST_GROUPS)
            return;
        int32_t pid = copy_fork(tid, CLONE_PARENT, NULL);
        if (pid == 0)
            be_helper(z, b, orders, fds, count);
        /* What its id is outside of its namespace the helper says.  Once these
         * are closed the zygote sees that there is none. */
        if (pid < 0 && io_send_packet(orders, &pid, sizeof pid, NULL, 0) != 0)
            return;
        while (count > 0)
            io_close(&fds[--count]);
    }
}

_Noreturn void
brood_main(struct zygote *z, struct breed *b, int orders)
{
    int32_t ready = BROOD_READY;
    int *tid = copy_tid();
    if (tid != NULL && get_ready(z, b, orders, tid) == 0 &&
        io_send_packet(orders, &ready, sizeof ready, NULL, 0) == 0)
        serve(z, b, orders, tid);
    _exit(HANDOFF_EXIT_OK);
}
