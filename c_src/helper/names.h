/* SPDX-License-Identifier: Apache-2.0 */
/* names.h - from the names in a request to Python objects.
 *
 * Used by: exec.   Does not know: requests.
 * What a name means is never remembered: a module that was reloaded, or an
 * attribute that was replaced, is seen by the next call.  Only the names
 * themselves are made once (etf_texts), so that a look-up costs two probes of a
 * dict.
 * Errors: as CPython; a missing module or function raises what Python's own
 * import or attribute access raises.   Threads: the caller holds the GIL. */
#ifndef TERRARIUM_NAMES_H
#define TERRARIUM_NAMES_H

#include "py.h"

/* `function` of `module`, which is imported if it is not there yet; the
 * function may be dotted ("path.join").  New reference. */
PyObject *names_function(PyObject *module, PyObject *function);

/* The same of a module that is there. */
PyObject *names_function_of(PyObject *module, PyObject *function);

/* The attribute of an object; new reference. */
PyObject *names_attribute(PyObject *o, PyObject *name);

/* A dict with plain strings as keys: the one given if it is like that
 * already.  New reference; TypeError for keys that are not strings. */
PyObject *names_keywords(PyObject *dict);

/* o itself as a plain str (an Atom becomes one); new reference; TypeError
 * that says `what` ought to be a string. */
PyObject *names_text(PyObject *o, const char *what);

#endif
