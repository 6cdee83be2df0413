/* SPDX-License-Identifier: Apache-2.0 */
/* steps.h - a request whose function returned a continuation goes on with it,
 * step by step, until there is a value.
 *
 * Each step begins where the last one ended, so any number of them takes no
 * stack.  Before a step that is not inline the requests of others that are
 * there go first: the request goes to the end of the line (r->step), the VM is
 * told YIELDED, and STARTED when it goes on.  A nested one does not, since
 * whoever waits for it keeps all others waiting.
 *
 * Used by: dispatch.   Knows: session, continuation.
 * Errors: NULL with an exception, or with r->step: not over yet.
 * Threads: the main thread, holding the GIL. */
#ifndef TERRARIUM_STEPS_H
#define TERRARIUM_STEPS_H

#include "py.h"

struct request;
struct session;

/* From this continuation on, which it takes: the value; or NULL. */
PyObject *steps_run(struct session *s, struct request *r, PyObject *value);
/* What it is to go on with, or NULL with an exception: it was interrupted while
 * it waited in the line. */
PyObject *steps_resume(struct request *r);

#endif
