/* SPDX-License-Identifier: Apache-2.0 */
/* drv_write.c - bytes to the helper.  What the channel does not take at once
 * waits in the ERTS driver queue, in order, until it is writable.
 *
 * A request larger than the window is alone on the wire, but for nested ones,
 * and its last byte is held back until the rest is written.  Should its caller
 * give up meanwhile, that byte and the CANCEL frame go out in one small write,
 * which the reader gets as one: so the request is never run. */
#include "drv_helper.h"
#include "err.h"

enum { MAX_IOV = 64 };

/* Write directly when nothing is queued; *done says how much went. */
static void
write_now(struct helper *h, const struct iovec *v, int count, size_t *done)
{
    *done = 0;
    if (driver_sizeq(h->base.port) > 0)
        return;
    int e = channel_writev(&h->channel, v, count, done);
    if (e != 0 && e != E_AGAIN)
        h->write_failed = e;
    h->stats.bytes_out += *done;
}

static void
enqueue_rest(struct helper *h, const struct iovec *v, int count, size_t done)
{
    for (int i = 0; i < count; i++) {
        size_t n = v[i].iov_len;
        size_t skip = done < n ? done : n;
        done -= skip;
        if (n > skip)
            driver_enq(h->base.port, (char *)v[i].iov_base + skip, n - skip);
    }
}

static void
put_cancel(uint8_t *p, uint64_t id)
{
    struct wire_header h = {.opcode = WIRE_CANCEL, .id = id};
    wire_put_header(p, &h);
}

/* The last byte of the request under way, and its cancellation if it was
 * cancelled. */
static void
release_held(struct helper *h)
{
    uint8_t bytes[1 + WIRE_LIMIT_HEADER_SIZE] = {h->held_byte};
    struct iovec v = {bytes, h->held->cancelled ? sizeof bytes : 1};
    size_t done;
    put_cancel(bytes + 1, h->held->id);
    h->held = NULL;
    write_now(h, &v, 1, &done);
    if (!h->write_failed && done < v.iov_len)
        enqueue_rest(h, &v, 1, done);
}

const char *
helper_write_wrong(const struct helper *h)
{
    switch (h->write_failed) {
    case E_FORMAT:
        return "the lane's numbers cannot be";
    case E_LIMIT:
        return "what it is told is not read";
    default:
        return NULL;
    }
}

void
helper_forget_held(struct helper *h, const struct pending *q)
{
    if (h->held == q)
        h->held = NULL;
}

void
helper_write_frame(struct helper *h, uint8_t opcode, uint8_t flags, uint64_t id,
                   const void *body, size_t n)
{
    uint8_t head[WIRE_LIMIT_HEADER_SIZE];
    struct wire_header wh = {
        .length = (uint32_t)n, .opcode = opcode, .flags = flags, .id = id};
    struct iovec v[2] = {{head, sizeof head}, {(void *)body, n}};
    size_t done;
    if (h->state == HELPER_CLOSED || h->write_failed)
        return;
    if (h->held != NULL)
        release_held(h); /* keep the order */
    wire_put_header(head, &wh);
    write_now(h, v, 2, &done);
    if (!h->write_failed && done < sizeof head + n)
        enqueue_rest(h, v, 2, done);
    if (driver_sizeq(h->base.port) > helper_backlog(h))
        h->write_failed = E_LIMIT; /* it does not read what it asks for */
}

/* All but the last byte of a large body. */
static void
hold_last_byte(struct helper *h, struct pending *q)
{
    int last = q->body->count - 1;
    size_t end = q->body->part[last].at + --q->body->part[last].len;
    h->held_byte = (uint8_t)q->body->part[last].bin->orig_bytes[end];
    h->held = q;
}

void
helper_enqueue_request(struct helper *h, struct pending *q)
{
    uint8_t head[WIRE_LIMIT_HEADER_SIZE];
    struct wire_header wh = {.length =
                                 (uint32_t)(q->bytes - WIRE_LIMIT_HEADER_SIZE),
                             .opcode = q->opcode,
                             .flags = q->flags,
                             .id = q->id};
    if (h->state == HELPER_CLOSED || h->write_failed)
        return;
    if (h->held != NULL)
        release_held(h); /* a nested one comes behind it */
    if (q->bytes > WIRE_LIMIT_WINDOW_BYTES)
        hold_last_byte(h, q);
    wire_put_header(head, &wh);
    driver_enq(h->base.port, (char *)head, sizeof head);
    for (int i = 0; i < q->body->count; i++)
        if (q->body->part[i].len > 0)
            driver_enq_bin(h->base.port, q->body->part[i].bin,
                           (ErlDrvSizeT)q->body->part[i].at,
                           (ErlDrvSizeT)q->body->part[i].len);
}

/* Write the queue: 1 when it is empty. */
static int
drain(struct helper *h)
{
    while (driver_sizeq(h->base.port) > 0) {
        int count;
        size_t n = 0;
        SysIOVec *v = driver_peekq(h->base.port, &count);
        int e = channel_writev(&h->channel, (struct iovec *)v,
                               count < MAX_IOV ? count : MAX_IOV, &n);
        if (e == E_AGAIN)
            return 0;
        if (e != 0) {
            h->write_failed = e;
            driver_deq(h->base.port, driver_sizeq(h->base.port));
            return 1;
        }
        h->stats.bytes_out += n;
        driver_deq(h->base.port, n);
    }
    return 1;
}

void
helper_flush(struct helper *h)
{
    int empty = drain(h);
    if (empty && h->held != NULL && !h->write_failed) {
        release_held(h);
        empty = driver_sizeq(h->base.port) == 0;
    }
    if (empty && h->resignal)
        calls_resignal(h);
}
