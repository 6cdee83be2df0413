/* SPDX-License-Identifier: Apache-2.0 */
/* continuation.h - the type erlang.Continuation: what is to be called next, as
 * a value that a function returns in place of a result.
 *
 * Used by: dispatch and steps (which run those that requests return), erlmod.
 * Knows: callback, names.   Does not know: requests.
 * Errors: as CPython.   Threads: any, holding the GIL. */
#ifndef TERRARIUM_CONTINUATION_H
#define TERRARIUM_CONTINUATION_H

#include "py.h"

enum continuation_kind {
    CONTINUE_ERLANG, /* a registered function */
    CONTINUE_PYTHON, /* a function of a module, after others had their turn */
    CONTINUE_INLINE  /* the same, at once */
};

struct continuation {
    PyObject_HEAD;
    enum continuation_kind kind;
    PyObject *module;  /* NULL: a registered function */
    PyObject *name;    /* of the function, perhaps dotted */
    PyObject *args;    /* a tuple */
    PyObject *kwargs;  /* a dict */
    PyObject *globals; /* where the name is looked for first; NULL: nowhere */
};

extern PyTypeObject Continuation_Type;

static inline int
continuation_check(PyObject *o)
{
    return Py_IS_TYPE(o, &Continuation_Type);
}

/* Call what it says: what that returns, which may be a continuation. */
PyObject *continuation_step(const struct continuation *c);

#endif
