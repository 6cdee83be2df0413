/* SPDX-License-Identifier: Apache-2.0 */
/* call.h - one call of an Erlang function: asked, waiting, answered.
 *
 * Used by: callback, turn, session (who is waiting).   Knows: session.
 * Does not know: how to wait.
 * Ownership: a call lives on the stack of who waits (callback_begin: on the
 * heap, until its answer is there); its answer is its own.
 * Threads: all with the GIL held. */
#ifndef TERRARIUM_CALL_H
#define TERRARIUM_CALL_H

#include "py.h"

#include <stdint.h>

#include "nudge.h"

struct request;
struct session;

struct call {
    struct call *below; /* the main thread's: the one that waits below */
    struct call *next;  /* all that wait */
    uint64_t number;    /* Python's name for it, in frames */
    struct request *of; /* which waits for it; NULL: no request */
    struct request *answer;
    struct nudge nudge;  /* of another thread; closed: the main thread's */
    int asleep;          /* that thread needs one */
    uint64_t held_since; /* others are not let on top of it (ns); 0: they are */
    PyObject *when_there; /* nobody waits: called with what came of it */
    PyObject *name;       /* for what is told then */
};

struct calls {
    struct call *first;               /* all that wait */
    struct call *top;                 /* the main thread's */
    struct call *ready, **last_ready; /* answered, and nobody waits: to be
                                         told, oldest first */
    uint64_t last;                    /* number */
    uint64_t free_since; /* somebody below could go on (ns); 0: nobody */
    uint32_t hold_ns;    /* so long others are held back then */
};

/* Put the question into the output: 0, or -1 with an exception and the output
 * as it was. */
int call_ask(struct session *s, const struct call *c, PyObject *name,
             PyObject *args, PyObject *kwargs);
/* From now on it waits, and not any more. */
void call_enter(struct session *s, struct call *c);
void call_leave(struct session *s, struct call *c);
/* Does the main thread wait for it? */
int call_is_main(const struct call *c);
/* Has the request that it belongs to been cancelled? */
int call_is_cancelled(const struct call *c);
/* What its answer says: a new reference, or NULL with whatever was raised. */
PyObject *call_value(struct session *s, const struct call *c, PyObject *name);

#endif
