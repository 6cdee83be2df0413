/* SPDX-License-Identifier: Apache-2.0 */
/* drv_latency.h - how long requests took, in buckets of powers of two.
 *
 * Bucket i holds what took less than 2^(i + LATENCY_FIRST) nanoseconds and not
 * less than half of that; the last one everything longer.  An answer that was
 * polled for took about a microsecond, so a look at the clock for each would
 * show: one in LATENCY_ONE_IN is measured and counts for so many.  All others
 * are measured; they cost wake-ups anyway.
 *
 * Used by: drv_calls, drv_answers, drv_ops.   Threads: the port's. */
#ifndef TERRARIUM_DRV_LATENCY_H
#define TERRARIUM_DRV_LATENCY_H

#include <stdint.h>

enum { LATENCY_BUCKETS = 28, LATENCY_FIRST = 9, LATENCY_ONE_IN = 8 };

struct latency {
    uint64_t bucket[LATENCY_BUCKETS];
    uint32_t polled; /* answers that were polled for, measured or not */
};

/* Is this answer, which was polled for, to be measured? */
static inline int
latency_is_due(struct latency *l)
{
    return l->polled++ % LATENCY_ONE_IN == 0;
}

static inline void
latency_add(struct latency *l, uint64_t ns, uint32_t weight)
{
    unsigned bits = 64u - (unsigned)__builtin_clzll(ns | 1);
    unsigned i = bits < LATENCY_FIRST ? 0 : bits - LATENCY_FIRST;
    if (i >= LATENCY_BUCKETS)
        i = LATENCY_BUCKETS - 1;
    l->bucket[i] += weight;
}

#endif
