/* SPDX-License-Identifier: Apache-2.0 */
/* exec.h - run what a request asks for.
 *
 * Used by: dispatch.
 * Knows: the shapes of request bodies (wire.def), the context.
 * Does not know: frames, ids, how a result travels.
 * Each takes the decoded body and returns a new reference to the result, or
 * NULL with the exception that the caller shall hear about.
 * Threads: the main thread, holding the GIL. */
#ifndef TERRARIUM_EXEC_H
#define TERRARIUM_EXEC_H

#include "py.h"
#include "context.h"

PyObject *exec_call(struct context *c, PyObject *body);
PyObject *exec_eval(struct context *c, PyObject *body);
PyObject *exec_exec(struct context *c, PyObject *body);
PyObject *exec_method(struct context *c, PyObject *body);
PyObject *exec_getattr(struct context *c, PyObject *body);
PyObject *exec_to_term(struct context *c, PyObject *body);

/* The RELEASE notice. */
void exec_release(struct context *c, PyObject *body);
/* The FORGET notice. */
void exec_forget(struct context *c, PyObject *body);

#endif
