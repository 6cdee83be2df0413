/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - the loop: wait, read ahead, run, answer.
 *
 * An answer never waits for the next request: the output is written before
 * each run and before each wait.  Answers that need no run (cancelled
 * requests) gather and go out together. */
#include "py.h"

#include "session.h"

#include <string.h>

#include "crash.h"
#include "dispatch.h"
#include "err.h"
#include "exec.h"
#include "forked.h"
#include "interrupt.h"
#include "pyerr.h"
#include "session_read.h"
#include "warm.h"

enum {
    OUT_KEEP = 1 << 20,    /* memory kept when the output is empty */
    OUT_GATHER = 64 << 10, /* answers gathered at most */
    PIECES = 16,           /* written at once */
    LOOK_AROUND_MS = 20    /* how often to read while the VM does not */
};

int
session_init(struct session *s, int sock, struct context *context)
{
    memset(s, 0, sizeof *s);
    s->context = context;
    queue_init(&s->queue);
    frame_reader_init(&s->in, WIRE_DOWN, context->max_frame);
    out_init(&s->out, SIZE_MAX / 2);
    return channel_socket_init(&s->channel, sock);
}

int
session_use_lane(struct session *s, int segment)
{
    struct channel over;
    int r = channel_lane_init(&over, LANE_HELPER, segment, s->channel.fd);
    if (r == 0)
        s->channel = over;
    return r;
}

void
session_fini(struct session *s)
{
    channel_close(&s->channel);
    frame_reader_fini(&s->in);
    large_drop(&s->large);
    queue_fini(&s->queue);
    out_fini(&s->out);
}

void
session_apply_limits(struct session *s)
{
    s->in.max_body = s->context->max_frame;
}

/* ---- waiting ------------------------------------------------------------- */

/* For a request.  Once nothing has come for a while, memory that large values
 * left is given back; when a signal ends the wait, a little too early. */
static int
sleep_long(struct session *s)
{
    int ms = warm_patience();
    if (ms > 0) {
        int e = idle_wait(&s->channel, CHANNEL_READ, ms);
        if (e != 0)
            return e;
        Py_BEGIN_ALLOW_THREADS warm_trim();
        Py_END_ALLOW_THREADS
    }
    return idle_wait(&s->channel, CHANNEL_READ, -1);
}

int
session_next(struct session *s, struct request **r)
{
    while ((*r = queue_take(&s->queue)) == NULL) {
        int e = idle_linger(&s->idle, &s->channel);
        if (e == 0)
            e = sleep_long(s);
        if (e > 0)
            e = session_read_ahead(s);
        if (e != 0)
            return e;
    }
    return 0;
}

/* ---- writing ------------------------------------------------------------- */

int
session_open_frame(struct session *s, const struct wire_header *h,
                   struct out_mark *mark)
{
    struct buf *b = &s->out.bytes;
    int r = buf_reserve(b, WIRE_LIMIT_HEADER_SIZE + PYERR_ROOM);
    if (r != 0)
        return r;
    *mark = out_mark(&s->out);
    wire_put_header(b->data + b->len, h);
    b->len += WIRE_LIMIT_HEADER_SIZE;
    return 0;
}

void
session_close_frame(struct session *s, struct out_mark mark)
{
    struct wire_header h;
    uint8_t *p = s->out.bytes.data + mark.bytes;
    if (wire_get_header(p, &h) != 0)
        return; /* we wrote it: cannot be */
    h.length = (uint32_t)(out_since(&s->out, mark) - WIRE_LIMIT_HEADER_SIZE);
    wire_put_header(p, &h);
}

void
session_drop_frame(struct session *s, struct out_mark mark)
{
    out_rewind(&s->out, mark);
}

/* There is no room.  While the VM does not read, read what it writes, or both
 * could wait for ever. */
static int
wait_writable(struct session *s)
{
    int r = idle_wait(&s->channel, CHANNEL_WRITE, LOOK_AROUND_MS);
    return r < 0 ? r : session_read_ahead(s);
}

int
session_flush(struct session *s)
{
    if (forked()) /* by a destructor, say */
        forked_exit(NULL);
    while (out_left(&s->out) > 0) {
        struct iovec v[PIECES];
        size_t n = 0;
        int count = out_view(&s->out, v, PIECES);
        int r = channel_writev(&s->channel, v, count, &n);
        if (r == E_AGAIN)
            r = wait_writable(s);
        if (r != 0)
            return r;
        out_consume(&s->out, n, OUT_KEEP);
    }
    return 0;
}

/* ---- running ------------------------------------------------------------- */

static int
answer_cancelled(struct session *s, const struct request *r)
{
    struct wire_header h = {.opcode = WIRE_CANCELLED, .id = r->h.id};
    struct out_mark mark;
    int e = session_open_frame(s, &h, &mark);
    if (e != 0)
        return e;
    session_close_frame(s, mark);
    return out_left(&s->out) >= OUT_GATHER ? session_flush(s) : 0;
}

/* The order matters: once the id is published an interrupt finds it; a CANCEL
 * frame that was written before is in the socket by then. */
static int
run_request(struct session *s, struct request *r)
{
    if (r->cancelled)
        return answer_cancelled(s, r);
    int e = session_flush(s);
    if (e != 0)
        return e;
    s->current = r;
    interrupt_begin(r->h.id);
    crash_begin(r->h.id, r->h.opcode);
    e = session_read_ahead(s);
    if (e == 0)
        e = r->cancelled ? answer_cancelled(s, r) : dispatch_request(s, r);
    crash_end();
    interrupt_end();
    s->current = NULL;
    return e;
}

/* 0 go on, 1 stop. */
static int
notice(struct session *s, struct request *r)
{
    switch (r->h.opcode) {
    case WIRE_RELEASE:
        dispatch_release(s->context, r);
        return 0;
    case WIRE_STOP:
        return 1;
    default:
        return E_FORMAT; /* BOOT, a second time */
    }
}

static int
flush_before_wait(struct session *s)
{
    idle_begin(&s->idle, &s->channel);
    return session_flush(s);
}

int
session_run(struct session *s)
{
    for (;;) {
        struct request *r = NULL;
        int e = s->queue.first ? 0 : flush_before_wait(s);
        if (e == 0)
            e = session_next(s, &r);
        if (e == 0)
            e = wire_is_request(r->h.opcode) ? run_request(s, r) : notice(s, r);
        request_free(r);
        if (e > 0)
            return session_flush(s);
        if (e < 0)
            return e;
    }
}
