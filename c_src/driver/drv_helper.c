/* SPDX-License-Identifier: Apache-2.0 */
/* drv_helper.c - the life of a helper's port. */
#include "drv_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "ctl.h"
#include "err.h"
#include "io.h"

/* A turn of ready_input is bounded, so that one port cannot keep a scheduler:
 * the poll set is level-triggered and comes back. */
enum { MAX_READS = 16 };

static struct helper *
as_helper(struct drv_port *p)
{
    return (struct helper *)p;
}

/* ---- signals and timers ------------------------------------------------- */

ErlDrvTime
helper_now(void)
{
    return erl_drv_monotonic_time(ERL_DRV_MSEC);
}

void
helper_kill(struct helper *h)
{
    h->stats.kills++;
    drv_pidfd_kill(h->pidfd);
}

void
helper_signal(struct helper *h, uint64_t id)
{
    h->stats.interrupts++;
    drv_pidfd_signal(h->pidfd, WIRE_SIGNAL_INTERRUPT, id);
}

void
helper_arm_timer(struct helper *h)
{
    ErlDrvTime at = h->grace_id != 0 ? h->grace_at : 0;
    if (h->frame_at != 0 && (at == 0 || h->frame_at < at))
        at = h->frame_at;
    if (at == 0 || h->state == HELPER_CLOSED) {
        driver_cancel_timer(h->base.port);
        return;
    }
    ErlDrvTime now = helper_now();
    driver_set_timer(h->base.port, at > now ? (unsigned long)(at - now) : 0);
}

static void
helper_timeout(struct drv_port *p)
{
    struct helper *h = as_helper(p);
    ErlDrvTime now = helper_now();
    if (h->grace_id != 0 && now >= h->grace_at) {
        h->grace_id = 0;
        helper_kill(h);
        helper_close(h, "timeout", NULL);
    } else if (h->frame_at != 0 && now >= h->frame_at) {
        helper_kill(h);
        helper_close(h, "protocol", "a frame begun did not end in time");
    } else {
        helper_arm_timer(h);
    }
}

/* ---- the end ------------------------------------------------------------ */

void
helper_close(struct helper *h, const char *why, const char *text)
{
    if (h->channel.fd < 0)
        return;
    h->state = HELPER_CLOSED;
    h->grace_id = 0;
    h->frame_at = 0;
    h->held = NULL;
    h->watching_write = 0;
    helper_arm_timer(h);
    driver_deq(h->base.port, driver_sizeq(h->base.port));
    drv_unwatch_close(&h->base, &h->channel.fd);
    drv_tell_closed(&h->base, why, text);
}

static void
helper_violation(struct helper *h, const char *text)
{
    helper_kill(h);
    helper_close(h, "protocol", text);
}

static void
helper_stop(struct drv_port *p)
{
    struct helper *h = as_helper(p);
    int signaled, status;
    drv_unwatch_close(p, &h->channel.fd);
    drv_output_stop(&h->output, p);
    if (h->pidfd >= 0) {
        /* The port was closed, so nobody needs the helper any more.  If its
         * zygote died it may have become our child: then reap it. */
        drv_pidfd_kill(h->pidfd);
        drv_pidfd_reap(h->pidfd, 0, &signaled, &status);
        close(h->pidfd);
    }
    drv_reader_fini(&h->reader);
    pending_fini(&h->pending);
    waiters_fini(&h->waiters);
    driver_free(h);
}

/* ---- frames from the helper --------------------------------------------- */

static void
tell_hello(struct helper *h, const struct drv_frame *f)
{
    struct ctl_in in;
    struct ctl_map map;
    struct buf etf;
    uint64_t version = 0, fingerprint = 0;
    if (ctl_open(&in, f->body, f->h.length, &map) != 0) {
        helper_violation(h, "the hello is no control message");
        return;
    }
    ctl_get_uint(&map, "version", &version);
    ctl_get_uint(&map, "fingerprint", &fingerprint);
    ctl_close(&in);
    if (version != WIRE_LIMIT_VERSION || fingerprint != WIRE_FINGERPRINT) {
        helper_violation(h, err_str(E_VERSION));
        return;
    }
    buf_init(&etf, WIRE_LIMIT_MAX_CONTROL * 2);
    if (ctl_to_etf(f->body, f->h.length, &etf) == 0) {
        h->state = HELPER_READY;
        drv_tell_binary(&h->base, "hello", etf.data, etf.len);
    } else {
        helper_violation(h, "the hello is malformed");
    }
    buf_fini(&etf);
}

static void
take_booting(struct helper *h, struct drv_frame *f)
{
    if (f->h.opcode == WIRE_HELLO)
        tell_hello(h, f);
    else if (f->h.opcode == WIRE_ERROR && f->h.id == 0)
        drv_tell_binary(&h->base, "boot_error", f->body, f->h.length);
    else
        helper_violation(h, "the first frame is no hello");
    if (f->bin != NULL)
        driver_free_binary(f->bin);
}

static void
take_frame(struct helper *h, struct drv_frame *f)
{
    if (h->state == HELPER_BOOTING)
        take_booting(h, f);
    else if (f->h.opcode == WIRE_HELLO)
        helper_violation(h, "a second hello");
    else if (calls_answer(h, f) != 0)
        helper_violation(h, "an answer to a request that is not waiting");
}

/* All whole frames that have arrived; 0 while the connection goes on. */
static int
take_frames(struct helper *h)
{
    struct drv_frame f;
    int e = E_AGAIN;
    while (h->channel.fd >= 0 && (e = drv_reader_next(&h->reader, &f)) == 0)
        take_frame(h, &f);
    if (h->channel.fd < 0)
        return E_EOF;
    if (e != E_AGAIN)
        helper_violation(h, err_str(e));
    return e == E_AGAIN ? 0 : e;
}

/* Each frame has its own deadline, from the turn in which it began. */
static void
watch_deadline(struct helper *h, uint64_t frames_before)
{
    int midway = drv_reader_midway(&h->reader);
    int fresh = h->reader.frames != frames_before;
    if (!midway && h->frame_at == 0)
        return;
    if (midway && !fresh && h->frame_at != 0)
        return;
    h->frame_at = midway ? helper_now() + h->deadline_ms : 0;
    helper_arm_timer(h);
}

static void
helper_read(struct helper *h)
{
    uint64_t frames = h->reader.frames;
    for (int i = 0; i < MAX_READS; i++) {
        int e = drv_reader_fill(&h->reader, &h->channel);
        if (e == E_AGAIN)
            break;
        if (e == E_NOMEM)
            helper_violation(h, err_str(e));
        else if (e != 0)
            helper_close(h, "eof", NULL);
        if (e != 0 || take_frames(h) != 0)
            return;
        calls_pump(h);
    }
    watch_deadline(h, frames);
}

static void
helper_ready_input(struct drv_port *p, int fd)
{
    struct helper *h = as_helper(p);
    if (!drv_output_ready(&h->output, p, fd) && fd == h->channel.fd)
        helper_read(h);
}

static void
helper_ready_output(struct drv_port *p, int fd)
{
    struct helper *h = as_helper(p);
    if (fd == h->channel.fd)
        helper_flush(h);
}

static void
helper_outputv(struct drv_port *p, ErlIOVec *ev)
{
    calls_body(as_helper(p), ev);
}

static void
helper_process_exit(struct drv_port *p, ErlDrvMonitor *m)
{
    calls_exit(as_helper(p), m);
}

/* ---- port_control ------------------------------------------------------- */

static ErlDrvSSizeT
op_kill(struct helper *h, const uint8_t *body, size_t n, struct drv_reply *r)
{
    (void)body;
    (void)n;
    helper_kill(h);
    return drv_reply(r, DRV_REPLY_OK);
}

static ErlDrvSSizeT
op_interrupt(struct helper *h, const uint8_t *body, size_t n,
             struct drv_reply *r)
{
    (void)body;
    (void)n;
    if (h->pending.first == NULL)
        return drv_reply(r, DRV_REPLY_GONE);
    helper_signal(h, h->pending.first->id);
    return drv_reply(r, DRV_REPLY_OK);
}

static ErlDrvSSizeT
op_more_output(struct helper *h, const uint8_t *body, size_t n,
               struct drv_reply *r)
{
    (void)body;
    (void)n;
    drv_output_more(&h->output, &h->base);
    return drv_reply(r, DRV_REPLY_OK);
}

static ErlDrvSSizeT
op_stderr(struct helper *h, const uint8_t *body, size_t n, struct drv_reply *r)
{
    uint8_t tail[WIRE_LIMIT_STDERR_TAIL];
    (void)body;
    (void)n;
    size_t len = drv_output_tail(&h->output, &h->base, tail);
    return drv_reply_data(r, DRV_REPLY_OK, tail, len);
}

static ErlDrvSSizeT
op_notice(struct helper *h, const uint8_t *body, size_t n, struct drv_reply *r)
{
    if (n < 1 || (body[0] != WIRE_STOP && body[0] != WIRE_RELEASE))
        return drv_reply_refused(r, "notice takes <<Opcode, Body>>");
    if (h->state != HELPER_READY)
        return drv_reply(r, DRV_REPLY_DOWN);
    helper_write_frame(h, body[0], 0, 0, body + 1, n - 1);
    return drv_reply(r, DRV_REPLY_OK);
}

static ErlDrvSSizeT
op_settings(struct helper *h, const uint8_t *body, size_t n,
            struct drv_reply *r)
{
    uint32_t v[4];
    if (n != sizeof v)
        return drv_reply_refused(r, "settings takes four 32-bit numbers");
    memcpy(v, body, sizeof v);
    if (v[2] == 0 || v[2] > WIRE_LIMIT_MAX_FRAME || v[3] == 0)
        return drv_reply_refused(r, "settings out of range");
    h->grace_ms = v[0];
    h->deadline_ms = v[1];
    h->reader.max_frame = v[2];
    h->reader.max_depth = v[3];
    return drv_reply(r, DRV_REPLY_OK);
}

/* A list of integers, each a SMALL_BIG_EXT of 8 digits or a small one. */
static size_t
etf_counter(uint8_t *p, uint64_t v)
{
    uint8_t digits = 0;
    if (v < 1u << 27) {
        p[0] = 98; /* INTEGER_EXT */
        put_be32(p + 1, (uint32_t)v);
        return 5;
    }
    for (; v != 0; v >>= 8)
        p[3 + digits++] = (uint8_t)v;
    p[0] = 110; /* SMALL_BIG_EXT */
    p[1] = digits;
    p[2] = 0;
    return 3 + (size_t)digits;
}

static ErlDrvSSizeT
op_stats(struct helper *h, const uint8_t *body, size_t n, struct drv_reply *r)
{
#define X(name) +1
    enum { COUNT = 0 HELPER_STATS(X) };
#undef X
    uint8_t etf[8 + COUNT * 11] = {131, 108, 0, 0, 0, COUNT};
    size_t at = 6;
    (void)body;
    (void)n;
    h->stats.pending = h->pending.count;
    h->stats.bytes_in = h->reader.bytes;
#define X(name) at += etf_counter(etf + at, h->stats.name);
    HELPER_STATS(X)
#undef X
    etf[at++] = 106; /* NIL_EXT */
    return drv_reply_data(r, DRV_REPLY_OK, etf, at);
}

typedef ErlDrvSSizeT (*helper_op)(struct helper *h, const uint8_t *body,
                                  size_t n, struct drv_reply *r);

static const helper_op ops[] = {
    [DRV_OP_RESERVE] = calls_reserve,
    [DRV_OP_ATTACH] = calls_attach,
    [DRV_OP_CANCEL_CALL] = calls_cancel,
    [DRV_OP_WAIT_READY] = calls_wait_ready,
    [DRV_OP_KILL] = op_kill,
    [DRV_OP_FAIL] = calls_fail,
    [DRV_OP_MORE_OUTPUT] = op_more_output,
    [DRV_OP_INTERRUPT] = op_interrupt,
    [DRV_OP_STATS] = op_stats,
    [DRV_OP_STDERR] = op_stderr,
    [DRV_OP_NOTICE] = op_notice,
    [DRV_OP_SETTINGS] = op_settings,
};

static ErlDrvSSizeT
helper_control(struct drv_port *p, unsigned op, const uint8_t *body, size_t n,
               struct drv_reply *r)
{
    if (op >= 16 && op < 64)
        return calls_submit(as_helper(p), (uint8_t)op, body, n, r);
    if (op >= sizeof ops / sizeof ops[0] || ops[op] == NULL)
        return drv_reply_refused(r, "no such command");
    return ops[op](as_helper(p), body, n, r);
}

/* Data still queued is for a helper that nobody uses any more. */
static void
helper_drop_queue(struct drv_port *p)
{
    driver_deq(p->port, driver_sizeq(p->port));
}

/* ---- start -------------------------------------------------------------- */

static const struct drv_ops helper_ops = {
    .control = helper_control,
    .outputv = helper_outputv,
    .ready_input = helper_ready_input,
    .ready_output = helper_ready_output,
    .timeout = helper_timeout,
    .process_exit = helper_process_exit,
    .flush = helper_drop_queue,
    .stop = helper_stop,
};

enum { SOCKET, STDOUT, STDERR, PIDFD, FDS };

static int
duplicate(const int *from, int *to)
{
    for (int i = 0; i < FDS; i++)
        to[i] = -1;
    for (int i = 0; i < FDS; i++) {
        to[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
        if (to[i] < 0)
            return E_SYS;
    }
    return 0;
}

static struct helper *
helper_new(ErlDrvPort port, uint32_t etf_flags)
{
    struct helper *h = driver_alloc(sizeof *h);
    if (h == NULL)
        return NULL;
    memset(h, 0, sizeof *h);
    if (drv_reader_init(&h->reader, etf_flags) != 0) {
        driver_free(h);
        return NULL;
    }
    h->base.ops = &helper_ops;
    h->base.port = port;
    h->base.term = driver_mk_port(port);
    h->grace_ms = WIRE_LIMIT_GRACE_MS;
    h->deadline_ms = WIRE_LIMIT_FRAME_DEADLINE_MS;
    h->atom_answer = driver_mk_atom("py_answer");
    h->state = HELPER_BOOTING;
    pending_init(&h->pending);
    return h;
}

struct drv_port *
drv_helper_start(ErlDrvPort port, const char *args)
{
    int given[FDS], fds[FDS];
    unsigned flags;
    struct helper *h = NULL;
    if (sscanf(args, "%d %d %d %d %u", &given[SOCKET], &given[STDOUT],
               &given[STDERR], &given[PIDFD], &flags) != 5) {
        errno = EINVAL;
        return NULL;
    }
    if (duplicate(given, fds) != 0)
        goto fail;
    h = helper_new(port, flags);
    if (h == NULL)
        goto fail;
    if (channel_socket_init(&h->channel, fds[SOCKET]) != 0 ||
        drv_output_start(&h->output, &h->base, fds[STDOUT], fds[STDERR]) != 0)
        goto fail;
    h->pidfd = fds[PIDFD];
    drv_watch(&h->base, h->channel.fd, ERL_DRV_READ, 1);
    return &h->base;
fail:
    for (int i = 0; i < FDS; i++)
        io_close(&fds[i]);
    if (h != NULL) {
        drv_reader_fini(&h->reader);
        driver_free(h);
    }
    return NULL;
}
