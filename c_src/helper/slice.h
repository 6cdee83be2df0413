/* SPDX-License-Identifier: Apache-2.0 */
/* slice.h - how much of its time slice Python code says it has used.
 *
 * A slice is of a request, from its begin or from its last step on (steps.h);
 * outside of requests it is of a context of variables: of a task, a thread.
 * Used by: erlmod.   Knows: callback (which request runs).
 * Errors: as CPython.   Threads: any, holding the GIL. */
#ifndef TERRARIUM_SLICE_H
#define TERRARIUM_SLICE_H

#include "py.h"

/* Make what it keeps: 0, or -1 with an exception. */
int slice_add(PyObject *module);
/* So many per cent more: 1 if that is all of it, and a new one begins; 0; or
 * -1 with an exception. */
int slice_consume(PyObject *percent);

#endif
