/* SPDX-License-Identifier: Apache-2.0 */
/* detached.h - requests whose value is awaited on the event loop: the main
 * thread says DETACHED and goes on with the next one, and the loop's thread
 * answers when the value is there.
 *
 * The table says which requests are still to be answered; whoever takes one out
 * answers it, so each is answered once.
 * Used by: dispatch (begins), erlmod (the loop's side), session_read (CANCEL).
 * Knows: session, dispatch, erlang._loop by name.
 * Does not know: asyncio.
 * Ownership: the session's; its objects live as long as the process.
 * Errors: as CPython where Python called, as session.h elsewhere.
 * Threads: any, holding the GIL. */
#ifndef TERRARIUM_DETACHED_H
#define TERRARIUM_DETACHED_H

#include "py.h"

#include <stdint.h>

#include "nudge.h"

struct request;
struct session;

struct detached {
    PyObject *waiting;   /* dict: id => flags of its frame; NULL: none yet */
    PyObject *cancelled; /* list: ids that the loop has not heard of yet */
    struct nudge nudge;  /* wakes the loop for those; closed at first */
    int closed;          /* the end has begun: nothing is answered any more */
};

void detached_init(struct session *s);
void detached_close(void);

/* Can it be awaited? */
int detached_can_be(PyObject *result);

/* Say DETACHED and give the awaitable, which it takes, to the loop; or answer
 * with what went wrong.  0, or a code that is final. */
int detached_begin(struct session *s, const struct request *r,
                   PyObject *awaitable);

/* The request was cancelled: 1 if it is one of these.  Runs no Python code. */
int detached_cancel(struct detached *d, uint64_t id);

/* ---- the loop's side ----------------------------------------------------- */

/* Answer request `id`: with the exception `error`, or with `value` if that is
 * None.  1; 0 if it is answered already; -1 with an exception. */
int detached_answer(PyObject *id, PyObject *error, PyObject *value);
/* A new list of ids that were cancelled since. */
PyObject *detached_take_cancelled(void);
/* Readable when there are some; -1 with an exception. */
int detached_fd(void);

#endif
