/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch.h - from a request's opcode to the function that runs it, and from
 * that function's result to the answer.
 *
 * Used by: session.   Knows: exec, info, etf, pyerr.
 * Errors: whatever Python raises is an ERROR frame; only session's own errors
 * are returned.   Threads: the main thread but where
 * it says more, holding the GIL. */
#ifndef TERRARIUM_DISPATCH_H
#define TERRARIUM_DISPATCH_H

#include "session.h"

/* Run it, and append exactly one answer to the output, or say that it will be
 * answered later (detached.h), or let others go first (steps.h; r->step). */
int dispatch_request(struct session *s, struct request *r);

/* Append the answer to a request with these flags; takes result, NULL: an
 * exception is set.  Any thread. */
int dispatch_answer(struct session *s, uint64_t id, uint8_t flags,
                    PyObject *result);

/* The RELEASE and the FORGET notice. */
void dispatch_notice(struct context *c, const struct request *r);

/* Append an ERROR frame that tells of exc (borrowed; NULL: of no memory). */
int dispatch_error(struct session *s, uint64_t id, PyObject *exc);

#endif
