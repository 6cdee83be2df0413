/* SPDX-License-Identifier: Apache-2.0 */
/* callback.h - Python calls an Erlang function and waits for what it returns.
 *
 * A request that has been cancelled calls as other threads do, in nobody's
 * name: its caller runs nothing any more.
 *
 * While the main thread waits it serves: first what the process that runs the
 * function asks for (nested requests), then what others do, when it is their
 * turn (turn.h).  So calls nest to any depth, and none waits for ever because
 * others keep coming.
 *
 * Other threads' calls belong to no request.  Such a thread reads for itself,
 * and for all, what comes from the VM, so it needs no main thread that listens.
 *
 * Used by: erlmod (Python's side), session (gives answers, asks what waits).
 * Knows: session.   Does not know: what the functions are.
 * Ownership: a call lives on the stack of who waits (callback_begin: on the
 * heap, until its answer is there); its answer is its own.
 * Threads: all with the GIL held; released while one waits. */
#ifndef TERRARIUM_CALLBACK_H
#define TERRARIUM_CALLBACK_H

#include "py.h"

#include <stdint.h>

#include "call.h"

/* The connection that calls go through; before that there is none. */
void callback_init(struct session *s);

/* Call the function of this name: its value as a new reference; NULL with
 * whatever it raised. */
PyObject *callback_call(PyObject *name, PyObject *args, PyObject *kwargs);

/* The same without waiting: when_there(error, value) is called with what came
 * of it, one of them None, by whichever thread reads it.  0, or -1 with an
 * exception. */
int callback_begin(PyObject *name, PyObject *args, PyObject *kwargs,
                   PyObject *when_there);
/* Read what there is, for those who called callback_begin: an event loop calls
 * this when one of callback_fds is readable.  In the main thread, nested
 * requests are run as well.  0, or -1 with an exception. */
int callback_pump(void);
/* A tuple of descriptors, or NULL with an exception. */
PyObject *callback_fds(void);
/* Read what there is, for whoever it is; nothing has said that there is. */
int callback_look(void);

/* Is the code of a request running, in the thread that asks, and not only while
 * it waits for something else; and is somebody there who would answer, which is
 * not so once it was cancelled?  The largest body of a frame then, else 0. */
uint32_t callback_room(void);

/* That request, borrowed, or NULL. */
struct request *callback_of(void);
/* Its id as a new reference, or 0. */
PyObject *callback_request(void);
/* The largest body of a frame, whoever asks. */
uint32_t callback_max_frame(void);
/* Does anybody want to know of spans? */
int callback_traced(void);

/* A CALLED or RAISED frame; takes r.  Nobody may wait for it any more. */
void callback_answered(struct session *s, struct request *r);
/* Tell those who called callback_begin.  May run any Python code. */
void callback_tell(struct session *s);

#endif
