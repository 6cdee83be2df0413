/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <string.h>

#include "err.h"

/* The first byte of a record's header.  All of it is one 64-bit word, so that
 * the consumer gets it in one load. */
static uint64_t
header_of(uint32_t length, uint32_t kind)
{
    return (uint64_t)kind << 32 | length;
}

/* ---- producing ----------------------------------------------------------- */

/* Copy in at a position, around the end. */
static void
copy_in(struct ring_writer *w, uint64_t at, const void *p, size_t n)
{
    size_t from = (size_t)(at & (w->size - 1));
    size_t first = w->size - from < n ? w->size - from : n;
    if (n == 0) /* then there may be no p */
        return;
    memcpy(w->data + from, p, first);
    if (first < n)
        memcpy(w->data, (const uint8_t *)p + first, n - first);
}

static int
has_room(struct ring_writer *w, uint64_t need)
{
    if (w->at + need - w->taken <= w->size)
        return 1;
    uint64_t tail = atomic_load_explicit(w->tail, memory_order_acquire);
    /* It moves forward, and never beyond what we wrote. */
    if (tail < w->taken || tail > w->at)
        return E_FORMAT;
    w->taken = tail;
    return w->at + need - tail <= w->size;
}

int
ring_has_room(struct ring_writer *w, uint32_t length)
{
    return has_room(w, ring_record_size(length));
}

/* The record is complete: let the consumer see it. */
static void
publish(struct ring_writer *w, uint64_t size)
{
    w->at += size;
    atomic_store_explicit(w->head, w->at, memory_order_release);
}

int
ring_put(struct ring_writer *w, const struct iovec *v, int count,
         uint32_t length)
{
    uint64_t header = header_of(length, 0);
    int r = has_room(w, ring_record_size(length));
    if (r != 1)
        return r;
    /* Records are aligned, so a header never goes around the end. */
    memcpy(w->data + (w->at & (w->size - 1)), &header, sizeof header);
    uint64_t at = w->at + RING_HEADER;
    for (int i = 0; i < count; i++) {
        copy_in(w, at, v[i].iov_base, v[i].iov_len);
        at += v[i].iov_len;
    }
    publish(w, ring_record_size(length));
    return 1;
}

int
ring_put_marker(struct ring_writer *w, uint32_t length)
{
    uint64_t header = header_of(length, RING_MARKER);
    int r = has_room(w, RING_HEADER);
    if (r != 1)
        return r;
    memcpy(w->data + (w->at & (w->size - 1)), &header, sizeof header);
    publish(w, RING_HEADER);
    return 1;
}

/* ---- consuming ----------------------------------------------------------- */

int
ring_has_data(const struct ring_reader *r)
{
    return r->left > 0 ||
           atomic_load_explicit(r->head, memory_order_acquire) != r->at;
}

static void
copy_out(const struct ring_reader *r, void *p, size_t n)
{
    size_t from = (size_t)(r->at & (r->size - 1));
    size_t first = r->size - from < n ? r->size - from : n;
    memcpy(p, r->data + from, first);
    if (first < n)
        memcpy((uint8_t *)p + first, r->data, n - first);
}

/* What the producer says is there: whole records, no more than fit. */
static int
look(struct ring_reader *r)
{
    uint64_t head = atomic_load_explicit(r->head, memory_order_acquire);
    if (head < r->there || head - r->at > r->size || head % RING_ALIGN != 0)
        return E_FORMAT;
    r->there = head;
    return 0;
}

/* Begin the next record: 1 when it is a marker. */
static int
open_record(struct ring_reader *r, uint32_t *marker)
{
    /* The only load of these bytes; volatile, so that there is no second. */
    const volatile uint64_t *p =
        (const volatile uint64_t *)(r->data + (r->at & (r->size - 1)));
    uint64_t header = *p;
    uint32_t length = (uint32_t)header, kind = (uint32_t)(header >> 32);
    if (length == 0 || kind > RING_MARKER)
        return E_FORMAT;
    if (kind == RING_MARKER) {
        r->at += RING_HEADER;
        *marker = length;
        return 1;
    }
    if (ring_record_size(length) > r->there - r->at)
        return E_FORMAT;
    r->at += RING_HEADER;
    r->left = length;
    r->pad = (uint32_t)(ring_record_size(length) - RING_HEADER - length);
    return 0;
}

static size_t
take_bytes(struct ring_reader *r, uint8_t *p, size_t cap)
{
    size_t n = r->left < cap ? r->left : cap;
    copy_out(r, p, n);
    r->at += n;
    r->left -= (uint32_t)n;
    if (r->left == 0)
        r->at += r->pad;
    return n;
}

int
ring_take(struct ring_reader *r, void *p, size_t cap, size_t *n,
          uint32_t *marker)
{
    uint64_t before = r->at;
    size_t got = 0;
    int e = look(r);
    while (e == 0 && got < cap) {
        if (r->left > 0)
            got += take_bytes(r, (uint8_t *)p + got, cap - got);
        else if (r->at == r->there)
            break;
        else
            e = open_record(r, marker);
    }
    if (e < 0)
        return e;
    if (r->at != before)
        atomic_store_explicit(r->tail, r->at & ~(uint64_t)(RING_ALIGN - 1),
                              memory_order_release);
    *n = got;
    return 0;
}
