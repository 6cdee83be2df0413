/* SPDX-License-Identifier: Apache-2.0 */
/* pyerr_format.h - the text of a traceback, as Python's own module makes it.
 * Used by: pyerr_story.   Ownership: a new reference.
 * Errors: NULL, with no exception set.   Threads: as pyerr. */
#ifndef TERRARIUM_PYERR_FORMAT_H
#define TERRARIUM_PYERR_FORMAT_H

#include "py.h"

/* chain: with the causes and contexts of the exception. */
PyObject *pyerr_format(PyObject *exc, int chain);

#endif
