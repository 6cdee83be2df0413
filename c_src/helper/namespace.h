/* SPDX-License-Identifier: Apache-2.0 */
/* namespace.h - namespaces beside the context's own, one for each process that
 * asks for its own.
 *
 * Used by: context, exec.   Does not know: frames, processes.
 * A namespace is a module called __main__ that stands in no sys.modules; it is
 * made when its number comes for the first time.  A request that was already
 * under way when its process died may make an empty one again, which then stays
 * as long as the helper.
 * Errors: as CPython.   Threads: the caller holds the GIL. */
#ifndef TERRARIUM_NAMESPACE_H
#define TERRARIUM_NAMESPACE_H

#include "py.h"

/* The one with this number in `all`, a dict; borrowed. */
PyObject *namespace_module(PyObject *all, PyObject *number);
/* Let go of it; an unknown number is ignored. */
void namespace_forget(PyObject *all, PyObject *number);

#endif
