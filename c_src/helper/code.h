/* SPDX-License-Identifier: Apache-2.0 */
/* code.h - source text to code, compiled once.
 *
 * Used by: context, exec.   Does not know: frames, requests.
 * Every text gets a file name of its own ("<eval-1>") under which linecache
 * holds its lines, so that a traceback shows them.  Both are bounded: the
 * oldest texts are forgotten.
 * Errors: as CPython.   Threads: the caller holds the GIL. */
#ifndef TERRARIUM_CODE_H
#define TERRARIUM_CODE_H

#include "py.h"

struct code_cache {
    const char *mode;    /* "eval" or "exec" */
    PyObject *entries;   /* dict: key => (compiled, file name, characters) */
    PyObject *linecache; /* linecache.cache, or NULL */
    Py_ssize_t chars;    /* of all texts held */
    unsigned long serial;
};

int code_cache_init(struct code_cache *c, const char *mode);
void code_cache_fini(struct code_cache *c);

/* The code object for this text, in the cache's mode; new reference. */
PyObject *code_get(struct code_cache *c, PyObject *text);

/* The expression `text` as a function of the names in this tuple, so that the
 * comprehensions and lambdas in it see them too; new reference.  Only its code
 * is remembered. */
PyObject *code_get_function(struct code_cache *c, PyObject *text,
                            PyObject *names, PyObject *globals);

#endif
