/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h - an event loop that waits while its thread runs something else, which
 * may be a loop of its own.
 *
 * Used by: callback.   Knows: the private part of asyncio.   Does not know:
 * requests.
 * Ownership: what loop_hide returns goes to loop_show.
 * Errors: none; what goes wrong is printed.   Threads: holding the GIL. */
#ifndef TERRARIUM_LOOP_H
#define TERRARIUM_LOOP_H

#include "py.h"

/* From now on no loop runs in this thread; NULL: none did. */
PyObject *loop_hide(void);
/* It runs again; takes what was hidden, or NULL. */
void loop_show(PyObject *hidden);

#endif
