/* SPDX-License-Identifier: Apache-2.0 */
/* turn.h - when a call waits in the main thread, and requests of others are
 * there: do they have a turn before it?
 *
 * They should: the context is theirs as well, and the function that the call
 * waits for may wait for one of them, through another process.  But each that
 * is run on top, and waits for a call of its own, keeps those below from going
 * on when they could.
 *
 * Used by: callback.   Knows: session.   Does not know: how to run them.
 * Threads: the main thread, holding the GIL. */
#ifndef TERRARIUM_TURN_H
#define TERRARIUM_TURN_H

#include "py.h"

struct call;
struct session;

/* May others run on top of this call now? */
int turn_of_others(struct session *s, struct call *c);
/* If not, they may after so long at most; -1: the answer will not change. */
int turn_patience_ms(const struct session *s, const struct call *c);

#endif
