/* SPDX-License-Identifier: Apache-2.0 */
/* rd.h - a bounded reader: typed gets that cannot pass the end.
 * Used by: every decoder.   Ownership: borrows the bytes it reads.
 * Errors: E_SHORT (nothing moved), E_TRAILING from rd_end.
 * Threads: one at a time. */
#ifndef TERRARIUM_RD_H
#define TERRARIUM_RD_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

struct rd {
    const uint8_t *p;
    const uint8_t *end;
};

static inline void
rd_init(struct rd *r, const void *p, size_t n)
{
    r->p = p;
    r->end = r->p + n;
}

static inline size_t
rd_left(const struct rd *r)
{
    return (size_t)(r->end - r->p);
}

static inline int
rd_u8(struct rd *r, uint8_t *v)
{
    if (rd_left(r) < 1)
        return E_SHORT;
    *v = *r->p++;
    return 0;
}

static inline int
rd_be16(struct rd *r, uint16_t *v)
{
    if (rd_left(r) < 2)
        return E_SHORT;
    *v = get_be16(r->p);
    r->p += 2;
    return 0;
}

static inline int
rd_be32(struct rd *r, uint32_t *v)
{
    if (rd_left(r) < 4)
        return E_SHORT;
    *v = get_be32(r->p);
    r->p += 4;
    return 0;
}

static inline int
rd_be64(struct rd *r, uint64_t *v)
{
    if (rd_left(r) < 8)
        return E_SHORT;
    *v = get_be64(r->p);
    r->p += 8;
    return 0;
}

/* Borrow n bytes. */
static inline int
rd_bytes(struct rd *r, size_t n, const uint8_t **p)
{
    if (rd_left(r) < n)
        return E_SHORT;
    *p = r->p;
    r->p += n;
    return 0;
}

/* 0 if everything was read, else E_TRAILING. */
static inline int
rd_end(const struct rd *r)
{
    return r->p == r->end ? 0 : E_TRAILING;
}

#endif
