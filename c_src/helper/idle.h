/* SPDX-License-Identifier: Apache-2.0 */
/* idle.h - how a helper waits for the VM: polls the lane for a moment, then
 * sleeps.
 *
 * Used by: session.   Knows: channel, spin, interrupt, the GIL.
 * Does not know: frames.
 * Errors: E_SYS.   Threads: the main thread, holding the GIL; released while
 * it waits for more than a moment. */
#ifndef TERRARIUM_IDLE_H
#define TERRARIUM_IDLE_H

#include "channel.h"
#include "spin.h"

struct idle {
    struct spin spin;
    uint32_t turns; /* waits since the GIL was last released */
    int bet;        /* the next wait begins with polling */
};

/* Before an answer is written: shall we poll for what follows it?  If so, and
 * if the VM does not sleep, its bell is held back: a caller that polls as well
 * needs none. */
void idle_begin(struct idle *w, struct channel *c);
/* Poll, if that was decided.  1: there is something. */
int idle_linger(struct idle *w, struct channel *c);

/* Sleep until one of `want` (enum channel_want) is there, for ever if
 * timeout_ms is negative; then let Python's signal handlers run.  1 ready, 0
 * not, E_SYS. */
int idle_wait(struct channel *c, int want, int timeout_ms);

#endif
