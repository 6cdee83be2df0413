/* SPDX-License-Identifier: Apache-2.0 */
/* session_read.h - the half of a session that reads: bytes from the channel to
 * requests in the queue.
 *
 * Used by: session.   Knows: channel, frames, queue, large.
 * Does not know: what requests mean.
 * Errors: as session.h.   Threads: the main thread, holding the GIL. */
#ifndef TERRARIUM_SESSION_READ_H
#define TERRARIUM_SESSION_READ_H

struct session;

/* Read all that is there, without waiting. */
int session_read_ahead(struct session *s);

#endif
