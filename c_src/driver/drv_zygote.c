/* SPDX-License-Identifier: Apache-2.0 */
/* drv_zygote.c - a zygote's port: control messages to and from Erlang terms,
 * descriptors received and kept until a helper's port has taken them over.
 * Knows: ctl.h.   Does not know: what the messages mean, but for the hello,
 * whose pid tells whether the zygote is ours to reap. */
#include "drv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "ctl.h"
#include "drv_held.h"
#include "drv_spawn.h"
#include "err.h"
#include "io.h"
#include "wire.h"

enum { MAX_PACKETS = 32, LAST_TURNS = 16 };

struct zygote_port {
    struct drv_port base;
    int fd;     /* control socket */
    int pidfd;  /* of a zygote that is our child; else -1 */
    int reaped; /* its outcome has been told */
    struct held_table held;
    uint8_t packet[WIRE_LIMIT_MAX_CONTROL];
};

static struct zygote_port *
as_zygote(struct drv_port *p)
{
    return (struct zygote_port *)p;
}

/* ---- the end ------------------------------------------------------------ */

static void
zygote_close(struct zygote_port *z, const char *why, const char *text)
{
    if (z->fd < 0)
        return;
    drv_unwatch_close(&z->base, &z->fd);
    drv_tell_closed(&z->base, why, text);
}

/* {Port, {zygote_exit, {exit_status | signal, N}}} */
static void
tell_exit(struct zygote_port *z, int signaled, int status)
{
    ErlDrvTermData spec[] = {
        ERL_DRV_PORT,  z->base.term,
        ERL_DRV_ATOM,  driver_mk_atom("zygote_exit"),
        ERL_DRV_ATOM,  driver_mk_atom(signaled ? "signal" : "exit_status"),
        ERL_DRV_INT,   (ErlDrvTermData)status,
        ERL_DRV_TUPLE, 2,
        ERL_DRV_TUPLE, 2,
        ERL_DRV_TUPLE, 2};
    erl_drv_output_term(z->base.term, spec,
                        (int)(sizeof spec / sizeof spec[0]));
}

/* Watch the zygote's end if it is our child: also one that the launcher
 * started is, since the launcher became this VM. */
static void
adopt_child(struct zygote_port *z, int pid)
{
    siginfo_t info;
    if (z->pidfd >= 0 || z->reaped)
        return;
    int fd = drv_pidfd_open(pid);
    if (fd < 0)
        return;
    if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
        close(fd);
        return;
    }
    z->pidfd = fd;
    drv_watch(&z->base, z->pidfd, ERL_DRV_READ, 1);
}

static void
zygote_stop(struct drv_port *p)
{
    struct zygote_port *z = as_zygote(p);
    int signaled, status;
    drv_unwatch_close(p, &z->fd);
    if (z->pidfd >= 0) {
        /* Asked nicely before, by `shutdown` and end-of-file; a child that
         * is still there must not stay as a zombie. */
        drv_pidfd_kill(z->pidfd);
        drv_pidfd_reap(z->pidfd, 1, &signaled, &status);
        drv_unwatch_close(p, &z->pidfd);
    }
    held_drop_all(&z->held);
    driver_free(z);
}

/* ---- messages from the zygote ------------------------------------------- */

/* {Port, {control, Etf}} or {Port, {control, Etf, Token, [Fd]}} */
static void
tell_control(struct zygote_port *z, const struct buf *etf, const struct held *x)
{
    ErlDrvTermData spec[20 + 2 * IO_MAX_FDS];
    int k = 0;
    spec[k++] = ERL_DRV_PORT;
    spec[k++] = z->base.term;
    spec[k++] = ERL_DRV_ATOM;
    spec[k++] = driver_mk_atom("control");
    spec[k++] = ERL_DRV_BUF2BINARY;
    spec[k++] = (ErlDrvTermData)etf->data;
    spec[k++] = (ErlDrvTermData)etf->len;
    if (x != NULL) {
        spec[k++] = ERL_DRV_UINT;
        spec[k++] = x->token;
        for (int i = 0; i < x->count; i++) {
            spec[k++] = ERL_DRV_INT;
            spec[k++] = (ErlDrvTermData)x->fds[i];
        }
        spec[k++] = ERL_DRV_NIL;
        spec[k++] = ERL_DRV_LIST;
        spec[k++] = (ErlDrvTermData)x->count + 1;
    }
    spec[k++] = ERL_DRV_TUPLE;
    spec[k++] = x != NULL ? 4 : 2;
    spec[k++] = ERL_DRV_TUPLE;
    spec[k++] = 2;
    erl_drv_output_term(z->base.term, spec, k);
}

static void
look_at_hello(struct zygote_port *z, const uint8_t *p, size_t n)
{
    struct ctl_in in;
    struct ctl_map map;
    uint64_t pid;
    if (ctl_open(&in, p, n, &map) != 0)
        return;
    if (ctl_is(&map, CTL_hello) && ctl_get_uint(&map, "pid", &pid) &&
        pid <= INT32_MAX)
        adopt_child(z, (int)pid);
    ctl_close(&in);
}

static void
take_packet(struct zygote_port *z, size_t n, int *fds, int count)
{
    struct buf etf;
    struct held *x = NULL;
    buf_init(&etf, WIRE_LIMIT_MAX_CONTROL * 2);
    int e = ctl_to_etf(z->packet, n, &etf);
    if (e == 0 && count > 0) {
        x = held_put(&z->held, fds, count);
        if (x == NULL)
            e = E_LIMIT;
    }
    if (e == 0) {
        if (z->pidfd < 0)
            look_at_hello(z, z->packet, n);
        tell_control(z, &etf, x);
    } else {
        held_close(fds, count);
        zygote_close(z, "protocol", err_str(e));
    }
    buf_fini(&etf);
}

static void
read_packets(struct zygote_port *z)
{
    for (int i = 0; i < MAX_PACKETS && z->fd >= 0; i++) {
        int fds[IO_MAX_FDS];
        int count = 0;
        size_t n = 0;
        int e =
            io_recv_packet(z->fd, z->packet, sizeof z->packet, &n, fds, &count);
        if (e == E_AGAIN)
            return;
        if (e == 0)
            take_packet(z, n, fds, count);
        else if (e == E_LIMIT)
            zygote_close(z, "protocol", err_str(e));
        else
            zygote_close(z, "eof", NULL);
    }
}

/* A dead zygote's last words come before the news of its death. */
static void
read_rest(struct zygote_port *z)
{
    for (int i = 0; i < LAST_TURNS; i++)
        read_packets(z);
}

static void
reap(struct zygote_port *z)
{
    int signaled, status;
    int r = drv_pidfd_reap(z->pidfd, 0, &signaled, &status);
    if (r == 0)
        return;
    drv_unwatch_close(&z->base, &z->pidfd);
    z->reaped = 1;
    read_rest(z);
    /* A VM that ignores SIGCHLD leaves the reaping to the kernel, which keeps
     * no status: the end is told all the same. */
    if (r == 1)
        tell_exit(z, signaled, status);
    else
        tell_exit(z, 0, -1);
}

static void
zygote_ready_input(struct drv_port *p, int fd)
{
    struct zygote_port *z = as_zygote(p);
    if (fd == z->fd)
        read_packets(z);
    else if (fd == z->pidfd)
        reap(z);
}

/* ---- port_control ------------------------------------------------------- */

static int
use_socket(struct zygote_port *z, int fd)
{
    if (io_set_nonblock(fd, 1) != 0 || io_set_cloexec(fd, 1) != 0)
        return E_SYS;
    z->fd = fd;
    drv_watch(&z->base, fd, ERL_DRV_READ, 1);
    return 0;
}

static int
is_seqpacket(int fd)
{
    int type = 0, domain = 0;
    socklen_t n = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) != 0)
        return 0;
    n = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) != 0)
        return 0;
    return type == SOCK_SEQPACKET && domain == AF_UNIX;
}

static ErlDrvSSizeT
op_adopt(struct zygote_port *z, const uint8_t *body, size_t n,
         struct drv_reply *r)
{
    int32_t fd;
    if (z->fd >= 0 || n != sizeof fd)
        return drv_reply_refused(r, "adopt takes <<Fd:32>>, once");
    memcpy(&fd, body, sizeof fd);
    /* The number comes from the environment: make sure that it is what the
     * launcher left, and nobody else's descriptor. */
    if (!is_seqpacket(fd))
        return drv_reply_refused(r, "the descriptor is no control socket");
    if (use_socket(z, fd) != 0)
        return drv_reply_refused(r, strerror(errno));
    return drv_reply(r, DRV_REPLY_OK);
}

static ErlDrvSSizeT
op_spawn(struct zygote_port *z, const uint8_t *body, size_t n,
         struct drv_reply *r)
{
    int sv[2];
    pid_t pid = 0;
    if (z->fd >= 0)
        return drv_reply_refused(r, "there is a zygote already");
    if (io_vouched_pair(sv) != 0)
        return drv_reply_refused(r, strerror(errno));
    int e = drv_spawn(body, n, sv[1], &pid);
    close(sv[1]);
    if (e != 0 || use_socket(z, sv[0]) != 0) {
        close(sv[0]);
        return drv_reply_refused(r, strerror(e != 0 ? e : errno));
    }
    adopt_child(z, pid);
    uint32_t answer = (uint32_t)pid;
    return drv_reply_data(r, DRV_REPLY_OK, &answer, sizeof answer);
}

static ErlDrvSSizeT
op_send(struct zygote_port *z, const uint8_t *body, size_t n,
        struct drv_reply *r)
{
    struct buf packed;
    if (z->fd < 0)
        return drv_reply(r, DRV_REPLY_DOWN);
    buf_init(&packed, WIRE_LIMIT_MAX_CONTROL);
    int e = ctl_from_etf(body, n, &packed);
    ErlDrvSSizeT reply;
    if (e != 0) {
        reply = drv_reply_refused(r, err_str(e));
    } else {
        e = io_send_packet(z->fd, packed.data, packed.len, NULL, 0);
        reply = e == 0         ? drv_reply(r, DRV_REPLY_OK)
                : e == E_AGAIN ? drv_reply(r, DRV_REPLY_BUSY)
                               : drv_reply(r, DRV_REPLY_DOWN);
    }
    buf_fini(&packed);
    return reply;
}

/* A helper that nobody takes over reads end-of-file and ends, if it reads. */
static void
doom(const struct held *x)
{
    enum { PIDFD = 3 }; /* of what comes with `spawned` */
    if (x->count > PIDFD)
        drv_pidfd_kill(x->fds[PIDFD]);
}

static ErlDrvSSizeT
op_drop_fds(struct zygote_port *z, unsigned op, const uint8_t *body, size_t n,
            struct drv_reply *r)
{
    uint32_t token;
    if (n != sizeof token)
        return drv_reply_refused(r, "drop_fds takes <<Token:32>>");
    memcpy(&token, body, sizeof token);
    struct held *x = held_find(&z->held, token);
    if (x == NULL)
        return drv_reply(r, DRV_REPLY_GONE);
    if (op == DRV_OP_DOOM)
        doom(x);
    held_drop(x);
    return drv_reply(r, DRV_REPLY_OK);
}

/* {Port, {helper, HelperPort}} */
static void
tell_helper(struct zygote_port *z, ErlDrvTermData to, ErlDrvTermData helper)
{
    ErlDrvTermData spec[] = {ERL_DRV_PORT,  z->base.term,
                             ERL_DRV_ATOM,  driver_mk_atom("helper"),
                             ERL_DRV_PORT,  helper,
                             ERL_DRV_TUPLE, 2,
                             ERL_DRV_TUPLE, 2};
    erl_drv_send_term(z->base.term, to, spec,
                      (int)(sizeof spec / sizeof spec[0]));
}

/* The descriptors become the new port's; in any case they are not held here any
 * more. */
static ErlDrvSSizeT
op_take(struct zygote_port *z, const uint8_t *body, size_t n,
        struct drv_reply *r)
{
    uint32_t v[3]; /* token, flags, lane */
    if (n != sizeof v)
        return drv_reply_refused(r,
                                 "take takes <<Token:32, Flags:32, Lane:32>>");
    memcpy(v, body, sizeof v);
    struct held *x = held_find(&z->held, v[0]);
    if (x == NULL)
        return drv_reply(r, DRV_REPLY_GONE);
    ErlDrvTermData owner = driver_caller(z->base.port);
    struct drv_port *p =
        drv_helper_take(z->base.port, owner, x->fds, x->count, v[1], v[2] != 0);
    int error = errno;
    held_drop(x);
    if (p == NULL)
        return drv_reply_refused(r, erl_errno_id(error));
    tell_helper(z, owner, p->term);
    return drv_reply(r, DRV_REPLY_OK);
}

static ErlDrvSSizeT
op_kill_zygote(struct zygote_port *z, struct drv_reply *r)
{
    if (z->pidfd < 0)
        return drv_reply(r, DRV_REPLY_GONE);
    drv_pidfd_kill(z->pidfd);
    return drv_reply(r, DRV_REPLY_OK);
}

static ErlDrvSSizeT
zygote_control(struct drv_port *p, unsigned op, const uint8_t *body, size_t n,
               struct drv_reply *r)
{
    struct zygote_port *z = as_zygote(p);
    switch (op) {
    case DRV_OP_ADOPT:
        return op_adopt(z, body, n, r);
    case DRV_OP_SPAWN:
        return op_spawn(z, body, n, r);
    case DRV_OP_SEND:
        return op_send(z, body, n, r);
    case DRV_OP_DROP_FDS:
    case DRV_OP_DOOM:
        return op_drop_fds(z, op, body, n, r);
    case DRV_OP_TAKE:
        return op_take(z, body, n, r);
    case DRV_OP_KILL_ZYGOTE:
        return op_kill_zygote(z, r);
    default:
        return drv_reply_refused(r, "no such command");
    }
}

/* ---- callbacks that a zygote's port does not use ------------------------- */

static void
no_outputv(struct drv_port *p, ErlIOVec *ev)
{
    (void)p;
    (void)ev;
}

static void
no_ready_output(struct drv_port *p, int fd)
{
    (void)p;
    (void)fd;
}

static void
no_event(struct drv_port *p)
{
    (void)p;
}

static void
no_process_exit(struct drv_port *p, ErlDrvMonitor *m)
{
    (void)p;
    (void)m;
}

static const struct drv_ops zygote_ops = {
    .control = zygote_control,
    .outputv = no_outputv,
    .ready_input = zygote_ready_input,
    .ready_output = no_ready_output,
    .timeout = no_event,
    .process_exit = no_process_exit,
    .flush = no_event,
    .stop = zygote_stop,
};

struct drv_port *
drv_zygote_start(ErlDrvPort port, const char *args)
{
    struct zygote_port *z;
    (void)args;
    z = driver_alloc(sizeof *z);
    if (z == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    memset(z, 0, sizeof *z);
    z->base.ops = &zygote_ops;
    z->base.port = port;
    z->base.term = driver_mk_port(port);
    z->fd = -1;
    z->pidfd = -1;
    return &z->base;
}
