/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "budget.h"
#include "err.h"
#include "fresh.h"
#include "groups.h"
#include "handoff.h"
#include "helper.h"
#include "io.h"
#include "lane.h"
#include "lockup.h"
#include "mem.h"
#include "nest.h"
#include "wire.h"

/* The helper's ends of what connects it; its black box is in the child. */
struct ends {
    int socket;
    int hatch;
    int out;
    int err;
};

static void
ends_close(struct ends *e)
{
    io_close(&e->socket);
    io_close(&e->hatch);
    io_close(&e->out);
    io_close(&e->err);
}

/* ---- descriptors -------------------------------------------------------- */

static int
open_blackbox(int *fd)
{
    int seals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    *fd = memfd_create("terrarium-blackbox", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0 || ftruncate(*fd, WIRE_LIMIT_BLACKBOX_SIZE) != 0 ||
        fcntl(*fd, F_ADD_SEALS, seals) != 0)
        return E_SYS;
    return 0;
}

/* Both buffers are as large as the system allows (it caps without an error):
 * the boot frame must fit, and large values then cost fewer wake-ups.  The
 * VM's end does not block, for we write the boot frame into it. */
static int
open_socket(int *vm, int *helper)
{
    int pair[2], size = 8 * WIRE_LIMIT_MAX_CONTROL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return E_SYS;
    *vm = pair[0];
    *helper = pair[1];
    for (int i = 0; i < 2; i++)
        if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) != 0)
            return E_SYS;
    return io_set_nonblock(*vm, 1);
}

/* Nobody ever reads at the VM's end: what a helper says there is unheard. */
static int
open_hatch(int *vm, int *helper)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return E_SYS;
    *vm = pair[0];
    *helper = pair[1];
    if (shutdown(pair[0], SHUT_RD) != 0)
        return E_SYS;
    int e = io_set_nonblock(*vm, 1);
    return e != 0 ? e : io_set_nonblock(*helper, 1);
}

static int
open_pipe(int *read_end, int *write_end)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0)
        return E_SYS;
    *read_end = pair[0];
    *write_end = pair[1];
    return 0;
}

/* Where none was ever wanted, as single-use helpers have no use for one, there
 * is something else in its place. */
static int
open_lane(const struct breed *b, int *fd)
{
    if (b->lanes)
        return lane_segment_create(fd);
    *fd = eventfd(0, EFD_CLOEXEC);
    return *fd >= 0 ? 0 : E_SYS;
}

static int
open_all(struct child *c, struct ends *e)
{
    int r = open_blackbox(&c->blackbox);
    if (r == 0)
        r = open_socket(&c->fds[CHILD_SOCKET], &e->socket);
    if (r == 0)
        r = open_pipe(&c->fds[CHILD_STDOUT], &e->out);
    if (r == 0)
        r = open_pipe(&c->fds[CHILD_STDERR], &e->err);
    if (r == 0)
        r = open_lane(c->breed, &c->fds[CHILD_LANE]);
    if (r == 0)
        r = open_hatch(&c->fds[CHILD_HATCH], &e->hatch);
    return r;
}

/* ---- the child ---------------------------------------------------------- */

/* Whatever it uses from here on counts. */
static void
join_group(const struct zygote *z, const struct child *self)
{
    if (self->group.number == 0 || cgroup_join(&z->cgroups, &self->group) == 0)
        return;
    dprintf(STDERR_FILENO, "sandbox: control group: %s\n", strerror(errno));
    _exit(HANDOFF_EXIT_SANDBOX);
}

/* Order: first nothing may outlive the zygote, then nothing of the zygote may
 * stay, then Python learns about the fork (its hooks may print). */
static _Noreturn void
be_helper(struct zygote *z, struct child *self, struct ends *e)
{
    const struct profile *profile = &self->breed->profile;
    const int fds[FRESH_FDS] = {[FRESH_SOCKET] = e->socket,
                                [FRESH_HATCH] = e->hatch,
                                [FRESH_BLACKBOX] = self->blackbox,
                                [FRESH_LANE] = self->fds[CHILD_LANE]};
    self->fds[CHILD_LANE] = -1; /* the only one of the VM's that it keeps */
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* It died before the line above.  From within a namespace of process ids
     * it is not to be seen, but such a one dies with it as a whole. */
    if (getppid() != (profile->cell.pids < 0 ? z->pid : 0))
        _exit(HANDOFF_EXIT_SYSTEM);
    if (dup2(e->out, STDOUT_FILENO) < 0 || dup2(e->err, STDERR_FILENO) < 0)
        _exit(HANDOFF_EXIT_SYSTEM);
    io_close(&e->out);
    io_close(&e->err);
    join_group(z, self);
    state_close_in_child(z, self);
    setrlimit(RLIMIT_NOFILE, &z->files);
    signals_give_back(&z->signals);
    cell_close_pids(&self->breed->profile.cell);
    /* What preloaded modules had open was opened with rights that it loses. */
    if (profile->policy.level != LEVEL_TRUSTED)
        fresh_close_others(profile, fds, z->program_fd);
    if (profile->policy.exec)
        fresh_exec(z, self->breed, fds);
    io_close(&z->program_fd);
    PyOS_AfterFork_Child();
    struct helper_lock lock = {lockup, self->breed};
    helper_main(fds[FRESH_SOCKET], fds[FRESH_BLACKBOX], fds[FRESH_LANE],
                fds[FRESH_HATCH], self->breed == &z->plain ? NULL : &lock);
}

/* ---- the parent --------------------------------------------------------- */

static struct child *
child_new(struct breed *b)
{
    struct child *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return NULL;
    *c = (struct child){.breed = b, .state = CHILD_SPARE, .blackbox = -1};
    for (int i = 0; i < CHILD_FDS; i++)
        c->fds[i] = -1;
    return c;
}

void
spawn_release(struct child *c)
{
    for (int i = 0; i < CHILD_FDS; i++)
        io_close(&c->fds[i]);
    io_close(&c->blackbox);
    budget_end(c);
}

void
spawn_free(struct child *c)
{
    spawn_release(c);
    mem_free(c);
}

/* 1 where it was; 0: it has to be forked from here; or an error.  What was
 * given away for nothing is opened anew. */
static int
fork_nested(struct zygote *z, struct child *c, struct ends *e)
{
    int fds[NEST_MOST_FDS] = {
        [NEST_SOCKET] = e->socket,     [NEST_HATCH] = e->hatch,
        [NEST_OUT] = e->out,           [NEST_ERR] = e->err,
        [NEST_BLACKBOX] = c->blackbox, [NEST_LANE] = c->fds[CHILD_LANE]};
    if (c->breed == &z->plain || !nest_is_ready(&c->breed->nest))
        return 0;
    int groups = cgroup_doors(&z->cgroups, &c->group, fds + NEST_GROUPS);
    if (groups < 0)
        return 0;
    c->pid =
        nest_fork(c->breed, fds, NEST_GROUPS + groups, c->fds[CHILD_SOCKET]);
    c->nested = c->pid > 0;
    e->socket = fds[NEST_SOCKET];
    while (groups > 0)
        io_close(&fds[NEST_GROUPS + --groups]);
    if (c->nested)
        return 1;
    spawn_release(c);
    ends_close(e);
    return open_all(c, e);
}

static int
fork_child(struct zygote *z, struct child *c, struct ends *e)
{
    int lost, nested = fork_nested(z, c, e);
    if (nested != 0)
        return nested > 0 ? 0 : nested;
    PyOS_BeforeFork();
    c->pid = cell_fork(&c->breed->profile.cell, &lost);
    if (c->pid == 0)
        be_helper(z, c, e);
    int saved = errno;
    PyOS_AfterFork_Parent();
    errno = saved;
    /* Else the next of another kind would begin in it: such a zygote ends. */
    if (lost)
        z->end = HANDOFF_EXIT_SYSTEM;
    return c->pid < 0 ? E_SYS : 0;
}

int
spawn_fork(struct zygote *z, struct breed *b, struct child **out, char *why,
           size_t n)
{
    struct ends e = {-1, -1, -1, -1};
    const char *step = "descriptors";
    struct child *c = child_new(b);
    int r = c == NULL ? E_NOMEM : open_all(c, &e);
    if (r != 0)
        goto out;
    step = "control group";
    r = groups_begin(z, c);
    if (r != 0)
        goto out;
    step = "fork";
    r = fork_child(z, c, &e);
    if (r != 0)
        goto out;
    c->born_ms = now_ms();
    c->next = z->children;
    z->children = c;
    b->spares++;
    b->children++;
    *out = c;
    c->fds[CHILD_PIDFD] = (int)syscall(SYS_pidfd_open, c->pid, 0);
    if (c->fds[CHILD_PIDFD] < 0) {
        step = "pidfd";
        r = E_SYS;
    }
out:
    if (r != 0)
        snprintf(why, n, "%s: %s", step,
                 r == E_SYS ? strerror(errno) : err_str(r));
    ends_close(&e);
    if (r != 0 && c != NULL && c->pid > 0)
        spawn_doom(c);
    else if (r != 0 && c != NULL)
        groups_end(z, c); /* it was counted nowhere */
    return r;
}

int
spawn_boot(struct child *c, const struct buf *frame)
{
    size_t at = 0;
    while (at < frame->len) {
        struct iovec v = {frame->data + at, frame->len - at};
        size_t k;
        int e = io_writev(c->fds[CHILD_SOCKET], &v, 1, &k);
        if (e != 0)
            return e;
        at += k;
    }
    return 0;
}

void
spawn_kill(const struct child *c)
{
    kill(-c->pid, SIGKILL);
    kill(c->pid, SIGKILL);
}

void
spawn_doom(struct child *c)
{
    if (c->state == CHILD_SPARE)
        c->breed->spares--;
    c->state = CHILD_DOOMED;
    spawn_kill(c);
    for (int i = 0; i < CHILD_FDS; i++)
        io_close(&c->fds[i]);
}
