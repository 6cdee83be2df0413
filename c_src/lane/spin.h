/* SPDX-License-Identifier: Apache-2.0 */
/* spin.h - whether to poll for the partner's next word, and for how long.
 *
 * Polling is a bet that the partner runs at this moment.  Won, it saves a
 * sleep and a wake-up (tens of microseconds); lost, it has cost its budget.
 * - The budget follows what recent bets took: a partner that mostly answers
 *   in 1 us and has not after 6 us is probably not running.
 * - A lost bet is followed by ever fewer new ones: two more, then one turn in
 *   2, 4, ... SPIN_REST_MAX.  A won bet forgets that.  So in the long run
 *   losing costs a SPIN_REST_MAX-th of the budget per turn, and a partner that
 *   is quick again is noticed after at most SPIN_REST_MAX turns.
 *
 * Used by: driver (for an answer), helper (for a request), tests.
 * Knows: lane.h.   Threads: one at a time. */
#ifndef TERRARIUM_SPIN_H
#define TERRARIUM_SPIN_H

#include <stdint.h>

#include "lane.h"

enum {
    SPIN_REST_MAX = 256,  /* turns */
    SPIN_SLACK_NS = 4000, /* a budget is never smaller, if it may be */
    SPIN_FACTOR = 4       /* of what bets usually take */
};

struct spin {
    uint32_t rest;       /* turns still to be left out */
    uint32_t penalty;    /* how many after the next loss, about */
    uint32_t typical_ns; /* moving average of won bets */
};

/* Is a bet due this turn? */
int spin_is_due(struct spin *s);
/* For how long, at most max_ns. */
uint32_t spin_budget(const struct spin *s, uint32_t max_ns);
void spin_won(struct spin *s);
/* How long a won bet took; need not be told of each. */
void spin_took(struct spin *s, uint64_t ns);
void spin_lost(struct spin *s, uint32_t max_ns);

/* CLOCK_MONOTONIC, in nanoseconds. */
uint64_t spin_now(void);

/* Poll until there is something to read: 1, or 0 when budget_ns have passed
 * since `from`. */
int spin_for_data(const struct lane *l, uint64_t from, uint32_t budget_ns);

#endif
