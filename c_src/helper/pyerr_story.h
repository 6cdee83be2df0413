/* SPDX-License-Identifier: Apache-2.0 */
/* pyerr_story.h - the long form of an exception: the map in an ERROR's Story,
 * and the small writers it is made with.
 * Used by: pyerr.   Errors: buf's; what the exception refuses to tell is left
 * empty.   Threads: as pyerr. */
#ifndef TERRARIUM_PYERR_STORY_H
#define TERRARIUM_PYERR_STORY_H

#include "py.h"
#include "buf.h"

/* Append the map, with its leading 131. */
int pyerr_story_put(struct buf *out, PyObject *exc, const char *stack,
                    size_t n);

/* New references to plain strings that UTF-8 can hold, cut to `chars`
 * characters; never NULL without memory running out, no exception set. */
PyObject *pyerr_type_name(PyObject *exc, const char *attribute);
PyObject *pyerr_text(PyObject *o, Py_ssize_t chars);

#endif
