/* SPDX-License-Identifier: Apache-2.0 */
/* session_read.c - see session_read.h.  Three ways for bytes: small frames
 * gather in the reader's buffer and are copied out of it; a large frame lies
 * alone in the buffer, which goes with it; a large binary is received into the
 * object that it becomes, and the frame around it is read as one without. */
#include "py.h"

#include "session_read.h"

#include "err.h"
#include "message.h"
#include "session.h"

enum { READ_MIN = 64 << 10 }; /* offered to a read */

/* Bytes that the frame begun still needs; 0 when not even its header is
 * there. */
static size_t
missing(const struct frame_reader *in)
{
    struct wire_header h;
    size_t there = in->in.len - in->at;
    if (there < WIRE_LIMIT_HEADER_SIZE ||
        wire_get_header(in->in.data + in->at, &h) != 0)
        return 0;
    size_t whole = (size_t)h.length + WIRE_LIMIT_HEADER_SIZE;
    return whole > there ? whole - there : 0;
}

/* The frame begun, if it is a request whose body is not all there; its header,
 * and how much of the body is. */
static int
begun(const struct frame_reader *in, struct wire_header *h, size_t *have)
{
    size_t there = in->in.len - in->at;
    if (there < WIRE_LIMIT_HEADER_SIZE ||
        wire_get_header(in->in.data + in->at, h) != 0)
        return 0;
    *have = there - WIRE_LIMIT_HEADER_SIZE;
    return wire_is_request(h->opcode) && h->length <= in->max_body &&
           h->length > *have;
}

/* Looking costs time in proportion to what is there: not at each small piece
 * that arrives, but when there is twice as much as the last time. */
static int
is_due(struct session *s, size_t have)
{
    if (have >= s->looked && have < 2 * s->looked)
        return 0;
    s->looked = have;
    return 1;
}

/* A large binary of the frame begun is received into the object that it
 * becomes.  In the reader the frame is from now on one without it. */
static int
receive_apart(struct session *s)
{
    struct frame_reader *in = &s->in;
    struct wire_header h;
    struct etf_found f;
    size_t have;
    if (!begun(in, &h, &have) || h.length < LARGE_FROM || !is_due(s, have))
        return 0;
    uint8_t *frame = in->in.data + in->at;
    uint8_t *body = frame + WIRE_LIMIT_HEADER_SIZE;
    if (!etf_find(body, have, h.length, LARGE_FROM, &f))
        return 0;
    int r = large_begin(&s->large, &f, body + f.at, have - f.at);
    if (r != 0)
        return r;
    in->in.len = in->at + WIRE_LIMIT_HEADER_SIZE + f.at;
    h.length -= (uint32_t)f.length;
    wire_put_header(frame, &h);
    return 0;
}

static int
receiving_apart(const struct session *s)
{
    return large_is_begun(&s->large) && !large_is_whole(&s->large);
}

static int
read_apart(struct session *s, int *drained)
{
    uint8_t *p;
    size_t cap, n;
    int r = large_space(&s->large, &p, &cap);
    if (r == 0)
        r = channel_read(&s->channel, p, cap, &n);
    if (r == 0)
        r = large_filled(&s->large, n);
    if (r == 0)
        *drained = n < cap && !channel_has_lane(&s->channel);
    return r;
}

/* One read.  A large frame is read up to its end and not beyond, so that it
 * lies alone in the buffer and need not be copied out of it; the space for it
 * grows with what has arrived. */
static int
read_some(struct session *s, int *drained)
{
    uint8_t *p;
    int r = large_is_begun(&s->large) ? 0 : receive_apart(s);
    if (r != 0)
        return r;
    if (receiving_apart(s))
        return read_apart(s, drained);
    size_t cap, n, rest = missing(&s->in);
    size_t there = s->in.in.len - s->in.at;
    size_t want = rest > READ_MIN && there > READ_MIN ? there : READ_MIN;
    int large = rest + there > READ_MIN;
    if (large && want > rest)
        want = rest;
    r = frame_reader_space(&s->in, want, &p, &cap);
    if (r != 0)
        return r;
    if (large && cap > rest)
        cap = rest;
    r = channel_read(&s->channel, p, cap, &n);
    if (r != 0)
        return r;
    frame_reader_filled(&s->in, n);
    /* A lane gives what lies before a marker, and then what is behind it. */
    *drained = n < cap && !channel_has_lane(&s->channel);
    return 0;
}

/* A request that runs can not be cancelled by a frame, but one that has not
 * begun to; one that waits for a callback, or below another one, or that is
 * detached, will see it. */
static void
cancel(struct session *s, uint64_t id)
{
    struct request *r = s->current;
    session_wake_main(s);
    if (detached_cancel(&s->detached, id))
        return;
    while (r != NULL && r->h.id != id)
        r = r->below;
    if (r == NULL)
        r = queue_find(&s->queue, id);
    if (r == NULL)
        r = queue_find(&s->nested, id);
    if (r != NULL)
        r->cancelled = 1;
}

static void
put_frame(struct session *s, struct request *r)
{
    if (r->h.opcode == WIRE_CALLED || r->h.opcode == WIRE_RAISED)
        callback_answered(s, r);
    else if (r->h.opcode == WIRE_GONE)
        queue_put(&s->gone, r);
    else {
        queue_put(r->h.flags & WIRE_FLAG_NESTED ? &s->nested : &s->queue, r);
        session_wake_main(s);
    }
}

static int
sort_frames(struct session *s)
{
    struct frame f;
    int e;
    if (receiving_apart(s))
        return 0;
    while ((e = frame_next(&s->in, &f)) == 0) {
        if (f.h.opcode == WIRE_CANCEL) {
            cancel(s, f.h.id);
            continue;
        }
        struct request *r = request_new(&f, &s->in);
        if (r == NULL)
            return E_NOMEM;
        r->part = large_take(&s->large);
        s->looked = 0;
        put_frame(s, r);
    }
    return e == E_AGAIN ? 0 : e;
}

static int
read_all(struct session *s)
{
    int drained = 0;
    while (!drained) {
        int r = read_some(s, &drained);
        if (r == E_AGAIN)
            return 0;
        if (r == 0)
            r = sort_frames(s);
        if (r != 0)
            return r;
    }
    return 0;
}

/* Once in a request that other threads wait for, the main thread does not read
 * any more: then they do, and must be woken. */
int
session_read_ahead(struct session *s)
{
    int e = read_all(s);
    while (e == 0 && s->idle.others > 0 &&
           idle_arm_for_others(&s->idle, &s->channel))
        e = read_all(s);
    if (s->calls.ready != NULL)
        callback_tell(s);
    if (s->gone.first != NULL)
        message_tell(s);
    return e;
}
