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
    uint32_t held; /* waits since the GIL was last released */
};

/* Poll for the next request, if the VM grants it.  1: there is something. */
int idle_linger(struct idle *w, struct channel *c);

/* Sleep until one of `want` (enum channel_want) is there, for ever if
 * timeout_ms is negative; then let Python's signal handlers run.  1 ready, 0
 * not, E_SYS. */
int idle_wait(struct channel *c, int want, int timeout_ms);

#endif
