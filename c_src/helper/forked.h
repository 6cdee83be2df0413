/* SPDX-License-Identifier: Apache-2.0 */
/* forked.h - a child that user code forks must never speak on the protocol.
 *
 * Used by: helper (set-up), session, dispatch.
 * State: a singleton of the process.   Threads: the main thread. */
#ifndef TERRARIUM_FORKED_H
#define TERRARIUM_FORKED_H

#include "py.h"

/* From now on every fork() closes this descriptor and lets go of the black
 * box in the child.  0 or E_NOMEM. */
int forked_init(int sock);

/* Is this such a child? */
int forked(void);

/* Such a child came back from user code, as from the end of a script: end
 * like one, with this exception if it is not NULL (stolen). */
_Noreturn void forked_exit(PyObject *exc);

#endif
