/* SPDX-License-Identifier: Apache-2.0 */
/* drv_ops.c - what port_control does on a helper's port, but for requests. */
#include "drv_helper.h"

#include <signal.h>
#include <string.h>

#include "buf.h"

static ErlDrvSSizeT
op_kill(struct helper *h, const uint8_t *body, size_t n, struct drv_reply *r)
{
    if (n == 1 && body[0] == 1)
        helper_violation(h, "an identifier that it was not given");
    else
        helper_kill(h);
    return drv_reply(r, DRV_REPLY_OK);
}

static ErlDrvSSizeT
op_interrupt(struct helper *h, const uint8_t *body, size_t n,
             struct drv_reply *r)
{
    (void)body;
    (void)n;
    const struct pending *q = callbacks_top(h);
    if (q == NULL)
        return drv_reply(r, DRV_REPLY_GONE);
    helper_signal(h, q->id);
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

static int
is_notice(uint8_t opcode)
{
    return opcode == WIRE_STOP || opcode == WIRE_RELEASE ||
           opcode == WIRE_FORGET || opcode == WIRE_GONE;
}

static ErlDrvSSizeT
op_notice(struct helper *h, const uint8_t *body, size_t n, struct drv_reply *r)
{
    if (n < 1 || !is_notice(body[0]))
        return drv_reply_refused(r, "notice takes <<Opcode, Body>>");
    if (h->state != HELPER_READY)
        return drv_reply(r, DRV_REPLY_DOWN);
    helper_write_frame(h, body[0], 0, 0, body + 1, n - 1);
    return drv_reply(r, DRV_REPLY_OK);
}

static ErlDrvSSizeT
op_backtrace(struct helper *h, const uint8_t *body, size_t n,
             struct drv_reply *r)
{
    if (n != 8)
        return drv_reply_refused(r, "backtrace takes <<Token:64>>");
    if (h->state != HELPER_READY)
        return drv_reply(r, DRV_REPLY_DOWN); /* nobody would handle it */
    drv_pidfd_signal(h->pidfd, WIRE_SIGNAL_BACKTRACE, calls_id(body));
    return drv_reply(r, DRV_REPLY_OK);
}

static ErlDrvSSizeT
op_settings(struct helper *h, const uint8_t *body, size_t n,
            struct drv_reply *r)
{
    uint32_t v[9];
    if (n != sizeof v)
        return drv_reply_refused(r, "settings takes nine 32-bit numbers");
    memcpy(v, body, sizeof v);
    if (v[2] == 0 || v[2] > WIRE_LIMIT_MAX_FRAME || v[3] == 0 ||
        v[4] > WIRE_LIMIT_MAX_SPIN_US)
        return drv_reply_refused(r, "settings out of range");
    h->grace_ms = v[0];
    h->deadline_ms = v[1];
    h->reader.max_frame = v[2];
    h->reader.max_depth = v[3];
    h->bet.max_ns = v[4] * 1000;
    h->reader.term_depth = v[5];
    h->reader.max_words = v[6];
    h->limits.callbacks = v[7];
    h->limits.depth = v[8];
    helper_begin(h);
    return drv_reply(r, DRV_REPLY_OK);
}

static ErlDrvSSizeT
op_watch(struct helper *h, const uint8_t *body, size_t n, struct drv_reply *r)
{
    uint32_t place;
    if (n != sizeof h->tell_at + sizeof place)
        return drv_reply_refused(r, "watch takes <<Calls:64, Place:32>>");
    memcpy(&place, body + sizeof h->tell_at, sizeof place);
    if (load_begin(&h->load, place) != 0)
        return drv_reply_refused(r, "no such place");
    memcpy(&h->tell_at, body, sizeof h->tell_at);
    return drv_reply(r, DRV_REPLY_OK);
}

/* Those who wait because the port is busy go elsewhere.  <<1>>: for now
 * requests about objects are still taken. */
static ErlDrvSSizeT
op_drain(struct helper *h, const uint8_t *body, size_t n, struct drv_reply *r)
{
    int objects = n == 1 && body[0] == 1;
    if (objects && h->draining == DRAIN_NO)
        h->draining = DRAIN_OBJECTS;
    else if (!objects && h->draining < DRAIN_BEGUN)
        h->draining = DRAIN_BEGUN;
    waiters_release_all(&h->waiters, &h->base);
    calls_tell_drained(h);
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
    uint8_t etf[8 + (COUNT + LATENCY_BUCKETS) * 11] = {
        131, 108, 0, 0, 0, COUNT + LATENCY_BUCKETS};
    size_t at = 6;
    (void)body;
    (void)n;
    h->stats.pending = h->pending.count;
    h->stats.bytes_in = h->reader.bytes;
    h->stats.bells = h->channel.lane.count.bells;
    h->stats.bulk_bytes = h->channel.lane.count.bulk;
#define X(name) at += etf_counter(etf + at, h->stats.name);
    HELPER_STATS(X)
#undef X
    for (int i = 0; i < LATENCY_BUCKETS; i++)
        at += etf_counter(etf + at, h->latency.bucket[i]);
    etf[at++] = 106; /* NIL_EXT */
    return drv_reply_data(r, DRV_REPLY_OK, etf, at);
}

static ErlDrvSSizeT
op_ended(struct helper *h, const uint8_t *body, size_t n, struct drv_reply *r)
{
    (void)body;
    (void)n;
    return drv_reply_data(r, DRV_REPLY_OK, (const uint8_t *)&h->ended,
                          sizeof h->ended);
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
    [DRV_OP_RESUME] = callbacks_resume,
    [DRV_OP_REPLY] = callbacks_reply,
    [DRV_OP_SERVED] = callbacks_served,
    [DRV_OP_COURIER] = courier_begin,
    [DRV_OP_SENT] = courier_sent,
    [DRV_OP_DRAIN] = op_drain,
    [DRV_OP_WATCH] = op_watch,
    [DRV_OP_BACKTRACE] = op_backtrace,
    [DRV_OP_PASS] = hatch_pass,
    [DRV_OP_ENDED] = op_ended,
};

ErlDrvSSizeT
helper_control(struct drv_port *p, unsigned op, const uint8_t *body, size_t n,
               struct drv_reply *r)
{
    struct helper *h = (struct helper *)p;
    ErlDrvSSizeT size;
    uint8_t opcode = (uint8_t)op, flags = (uint8_t)(op >> 8);
    if (opcode >= 16 && opcode < 64 && op >> 16 == 0)
        size = calls_submit(h, opcode, flags, body, n, r);
    else if (op >= sizeof ops / sizeof ops[0] || ops[op] == NULL)
        size = drv_reply_refused(r, "no such command");
    else
        size = ops[op](h, body, n, r);
    helper_leave(h);
    return size;
}
