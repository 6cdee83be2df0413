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
#include "nudge.h"
#include "spin.h"

struct idle {
    struct spin spin;
    uint32_t turns; /* waits since the GIL was last released */
    int bet;        /* the next wait begins with polling */
    int want;       /* what the main thread sleeps for; 0: it does not */
    int others; /* threads and event loops that wait for something to read */
    struct nudge
        nudge; /* wakes the main thread; closed until there are others */
};

/* Before an answer is written: shall we poll for what follows it?  If so, and
 * if the VM does not sleep, its bell is held back: a caller that polls as well
 * needs none. */
void idle_begin(struct idle *w, struct channel *c);
/* Poll, if that was decided.  1: there is something. */
int idle_linger(struct idle *w, struct channel *c);

/* Sleep until one of `want` (enum channel_want) is there, for ever if
 * timeout_ms is negative; then let Python's signal handlers run.  1 ready, 0
 * not, E_SYS.  What a handler raised is left set. */
int idle_wait(struct idle *w, struct channel *c, int want, int timeout_ms);
/* ---- other threads ---------------------------------------------------------
 * Whoever holds the GIL may read what has come, for all.  A bell rings once, so
 * whoever has read arms the channel again for those who still sleep, and nudges
 * those for whom there was something: no thread sleeps while what it waits for
 * is there. */

/* Arm for the main thread and the others; 1: there is something. */
int idle_arm(struct idle *w, struct channel *c, int want, short *events);
/* The main thread does not sleep any more. */
void idle_disarm(struct idle *w, struct channel *c);
/* Arm for all who sleep.  1: there is something.  It may be room, which is the
 * main thread's to use: it is nudged, once, and the next call is about the
 * others.  Whoever called would else find room for ever, and as it holds the
 * GIL, the main thread would never use it. */
int idle_arm_for_others(struct idle *w, struct channel *c);
/* Sleep until something is there to be read, or the nudge comes: 1, E_SYS. */
int idle_wait_as_other(struct idle *w, struct channel *c, struct nudge *nudge);

/* There is nobody to raise it for: print it. */
void idle_unraisable(void);

#endif
