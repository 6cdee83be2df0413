/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "nest.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "brood.h"
#include "copy.h"
#include "handoff.h"
#include "io.h"
#include "lockup.h"
#include "program.h"
#include "state.h"

/* P_PIDFD, which older headers lack. */
enum { NEST_PIDFD = 3 };

void
nest_init(struct nest *n)
{
    *n = (struct nest){.state = NEST_NONE,
                       .socket = -1,
                       .pidfd = -1,
                       .patience_ms = NEST_PATIENCE_MS};
}

void
nest_close(struct nest *n)
{
    io_close(&n->socket);
    io_close(&n->pidfd);
}

/* By its pidfd: it may be dead, and its pid another's.  It is reaped at once,
 * for the first process of its namespace can not end before. */
void
nest_end(struct nest *n)
{
    siginfo_t how;
    if (n->pidfd >= 0) {
        syscall(SYS_pidfd_send_signal, n->pidfd, SIGKILL, NULL, 0);
        while (waitid((idtype_t)NEST_PIDFD, (id_t)n->pidfd, &how, WEXITED) !=
                   0 &&
               errno == EINTR)
            continue;
    }
    nest_close(n);
    n->state = NEST_NONE;
}

void
nest_give_up(struct nest *n)
{
    nest_end(n);
    n->state = NEST_FAILED;
}

/* Modules of users may have their own ideas of what a fork is: libc's and
 * CPython's hooks for it do not run between nest and helper. */
static int
can_have_one(const struct zygote *z, const struct breed *b)
{
    return z->options.preload.count == 0 && !b->profile.policy.exec &&
           copy_is_possible() && lockup_has_only_ours(&b->profile.policy);
}

/* Returns in the parent only: the pid, negative for none. */
static pid_t
fork_nest(struct zygote *z, struct breed *b, int ours, int theirs)
{
    int lost;
    PyOS_BeforeFork();
    pid_t pid = cell_fork(&b->profile.cell, &lost);
    if (pid == 0) {
        close(ours);
        brood_main(z, b, theirs);
    }
    PyOS_AfterFork_Parent();
    if (lost) /* as in spawn.c */
        z->end = HANDOFF_EXIT_SYSTEM;
    return pid;
}

void
nest_begin(struct zygote *z, struct breed *b)
{
    struct nest *n = &b->nest;
    int pair[2];
    if (n->state != NEST_NONE)
        return;
    n->state = NEST_FAILED;
    if (!can_have_one(z, b) ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return;
    program_enlarge();
    pid_t pid = fork_nest(z, b, pair[0], pair[1]);
    close(pair[1]);
    n->socket = pair[0];
    n->pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (n->pidfd < 0 || io_set_nonblock(n->socket, 1) != 0)
        nest_give_up(n); /* it ends at end-of-file */
    else
        n->state = NEST_GROWING;
}

/* 1 with what it says; 0: nothing within this time, or before `other' (-1:
 * none) has hung up; -1: it is gone. */
static int
hear(const struct nest *n, int other, int timeout, int32_t *what)
{
    struct pollfd p[2] = {{.fd = n->socket, .events = POLLIN}, {.fd = other}};
    int fds[IO_MAX_FDS], count = 0;
    size_t k = 0;
    if (poll(p, 2, timeout) <= 0)
        return 0;
    /* Who has hung up may have spoken before, after we had looked. */
    if (p[0].revents == 0 && poll(p, 1, 0) <= 0)
        return 0;
    int e = io_recv_packet(n->socket, what, sizeof *what, &k, fds, &count);
    while (count > 0)
        io_close(&fds[--count]);
    return e == 0 && k == sizeof *what ? 1 : -1;
}

int
nest_is_ready(struct nest *n)
{
    int32_t what;
    if (n->state != NEST_GROWING)
        return n->state == NEST_READY;
    int r = hear(n, -1, 0, &what);
    if (r > 0)
        n->state = NEST_READY;
    else if (r < 0)
        nest_give_up(n);
    return r > 0;
}

pid_t
nest_fork(struct breed *b, int *fds, int count, int other)
{
    struct nest *n = &b->nest;
    char order = BROOD_FORK;
    int32_t pid;
    int e = io_send_packet(n->socket, &order, 1, fds, count);
    io_close(&fds[NEST_SOCKET]);
    if (e == 0 && hear(n, other, n->patience_ms, &pid) > 0 && pid > 0)
        return pid;
    /* A helper that was forked too late can not tell its pid, and ends. */
    nest_give_up(n);
    return 0;
}
