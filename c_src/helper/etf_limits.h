/* SPDX-License-Identifier: Apache-2.0 */
/* etf_limits.h - how deep and how large a term may be, for both directions.
 * Used by: etf_decode, etf_encode and their callers.   Knows: wire.h. */
#ifndef TERRARIUM_ETF_LIMITS_H
#define TERRARIUM_ETF_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

enum {
    /* What the driver's checker can follow; a deeper max_depth is cut. */
    ETF_DEPTH_CAP = 1024,
    /* Bytes of an integer's magnitude: more would not pass the checker. */
    ETF_MAX_BIG = 1 << 20,
    ETF_MAX_STRANGE_BIG = 4096 /* the same, in sandboxed helpers */
};

struct objref;
struct segment_list;

struct etf_limits {
    uint32_t max_depth;        /* open containers around a term */
    int handles;               /* ids are sent as handles, funs not at all */
    size_t max_inflated;       /* bytes of a compressed term, inflated */
    const struct objref *refs; /* what references in a term stand for; NULL:
                                  they are tuples like others */
    struct segment_list *segments; /* where segments of shared memory that are
                                      still to be opened go; NULL: tuples */
};

static inline struct etf_limits
etf_limits_default(void)
{
    struct etf_limits lim = {.max_depth = WIRE_LIMIT_MAX_DEPTH,
                             .max_inflated = WIRE_LIMIT_MAX_INFLATED};
    return lim;
}

/* A copy of *lim (NULL: the defaults) within what is possible. */
static inline struct etf_limits
etf_limits_of(const struct etf_limits *lim)
{
    struct etf_limits l = lim != NULL ? *lim : etf_limits_default();
    if (l.max_depth > ETF_DEPTH_CAP)
        l.max_depth = ETF_DEPTH_CAP;
    return l;
}

#endif
