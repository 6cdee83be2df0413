/* SPDX-License-Identifier: Apache-2.0 */
/* session_write.h - the half of a session that writes: frames to the channel.
 *
 * A frame is drafted apart, since making it may run Python code, which may call
 * Erlang, or let another thread do so; only whole ones are put into the output.
 *
 * Used by: session, dispatch, callback, helper.   Knows: channel, out.
 * Does not know: what frames mean.
 * Ownership: the session owns drafts; one that was begun is committed or
 * discarded by whoever began it.
 * Errors: as session.h.   Threads: any, holding the GIL. */
#ifndef TERRARIUM_SESSION_WRITE_H
#define TERRARIUM_SESSION_WRITE_H

#include "py.h"

#include "out.h"
#include "wire.h"

struct session;

struct draft {
    struct draft *next;
    struct out out; /* write the body here */
};

/* Begin a frame whose body has at most context->max_frame bytes: room for an
 * error is there already. */
int session_begin(struct session *s, const struct wire_header *h,
                  struct draft **d);
/* It is whole: put it behind the output.  E_NOMEM: it is discarded. */
int session_commit(struct session *s, struct draft *d);
void session_discard(struct session *s, struct draft *d);

/* A whole frame with an empty body. */
int session_put_empty(struct session *s, uint8_t opcode, uint64_t id);
/* A whole frame with this term.  0; -1 with an exception, and nothing put. */
int session_put_term(struct session *s, uint8_t opcode, uint64_t id,
                     PyObject *term);

/* The same, but for the commit: what follows may still keep it back. */
int session_draft_term(struct session *s, uint8_t opcode, uint64_t id,
                       PyObject *term, struct draft **d);

/* Write all that is in the output. */
int session_flush(struct session *s);

void session_write_fini(struct session *s);

#endif
