/* SPDX-License-Identifier: Apache-2.0 */
/* ring.h - one end of a single-producer single-consumer ring of records in
 * memory that is shared with somebody who is not trusted.
 *
 * Positions count bytes since the beginning and never wrap (2^64 bytes take
 * centuries); a record is a header of 8 bytes and its bytes, padded to 8.
 * The producer writes `head` (release) after the record is there; the consumer
 * writes `tail` (release) after it has copied the bytes out.  Each side keeps
 * its own position in private memory and only ever stores it; the other's it
 * loads (acquire), checks, and keeps a private copy of.
 *
 * Knows: nothing.   Errors: E_FORMAT: the peer's numbers can't be.
 * Threads: one at a time. */
#ifndef TERRARIUM_RING_H
#define TERRARIUM_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    RING_HEADER = 8,
    RING_ALIGN = 8,
    RING_MARKER = 1 /* the record has no bytes: `length` come elsewhere */
};

struct ring_writer {
    uint8_t *data;
    uint32_t size; /* a power of two */
    _Atomic uint64_t *head;
    const _Atomic uint64_t *tail;
    uint64_t at;    /* what *head is */
    uint64_t taken; /* what *tail was when last looked at */
};

struct ring_reader {
    const uint8_t *data;
    uint32_t size;
    const _Atomic uint64_t *head;
    _Atomic uint64_t *tail;
    uint64_t at;    /* where the next byte is taken; *tail is never beyond */
    uint64_t there; /* what *head was when last looked at */
    uint32_t left;  /* bytes of the record under way not yet taken */
    uint32_t pad;   /* behind them, up to the next record */
};

/* Bytes that a record with this payload takes. */
static inline uint64_t
ring_record_size(uint32_t length)
{
    return RING_HEADER +
           (((uint64_t)length + RING_ALIGN - 1) & ~(uint64_t)(RING_ALIGN - 1));
}

/* One record of these bytes, `length` in all.  1 written, 0 no room now,
 * E_FORMAT. */
int ring_put(struct ring_writer *w, const struct iovec *v, int count,
             uint32_t length);
/* A marker for `length` bytes. */
int ring_put_marker(struct ring_writer *w, uint32_t length);
/* Is there room for a record of this payload?  1, 0, E_FORMAT. */
int ring_has_room(struct ring_writer *w, uint32_t length);

/* Copy out up to cap bytes, of as many records as there are, up to the next
 * marker.  Sets *n; *marker is set to the marker's length when one was taken
 * (then it is the last thing taken).  0 or E_FORMAT. */
int ring_take(struct ring_reader *r, void *p, size_t cap, size_t *n,
              uint32_t *marker);
/* Is anything there?  One load. */
int ring_has_data(const struct ring_reader *r);

#endif
