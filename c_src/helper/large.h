/* SPDX-License-Identifier: Apache-2.0 */
/* large.h - a large binary of a request, received into the object that it
 * becomes: a str as long as it is ASCII, else bytes.
 *
 * Used by: session.   Knows: py.h, etf_find, etf_decode's part.
 * Does not know: frames, the channel.
 * The object grows with what has arrived, but in few steps: moving it to a
 * larger place costs fresh pages.
 * Ownership: owns the object until large_take.   Errors: E_NOMEM.
 * Threads: the caller holds the GIL. */
#ifndef TERRARIUM_LARGE_H
#define TERRARIUM_LARGE_H

#include "py.h"
#include "etf_decode.h"
#include "etf_find.h"

enum { LARGE_FROM = 64 << 10 }; /* bytes */

/* All zero: there is none. */
struct large {
    struct etf_part part;
    size_t have; /* bytes that are there */
    size_t room; /* in the object */
};

/* The first n bytes, fewer than there are in all, are at p. */
int large_begin(struct large *l, const struct etf_found *f, const uint8_t *p,
                size_t n);
void large_drop(struct large *l);

static inline int
large_is_begun(const struct large *l)
{
    return l->part.object != NULL;
}
static inline int
large_is_whole(const struct large *l)
{
    return l->have == l->part.length;
}

/* Where the next bytes go, while it is not whole: *cap of them at *p. */
int large_space(struct large *l, uint8_t **p, size_t *cap);
int large_filled(struct large *l, size_t n);

/* It is whole: hand it over, and be empty. */
struct etf_part large_take(struct large *l);

#endif
