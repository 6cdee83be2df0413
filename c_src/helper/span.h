/* SPDX-License-Identifier: Apache-2.0 */
/* span.h - which span the code that asks is in: a contextvars.ContextVar that
 * erlang._trace sets to (request, id of the span, anything).
 *
 * Used by: erlmod, callback.   Does not know: what a span is.
 * State: the variable, for ever.   Threads: the caller holds the GIL. */
#ifndef TERRARIUM_SPAN_H
#define TERRARIUM_SPAN_H

#include "py.h"

/* Make the variable `_span` of the module: 0, or -1 with an exception. */
int span_add(PyObject *module);

/* The id of the current span in *id as a new reference, or NULL: 0, or -1 with
 * an exception. */
int span_current(PyObject **id);

#endif
