/* SPDX-License-Identifier: Apache-2.0 */
/* objref.h - Python objects that Erlang holds on to, by number.
 *
 * Used by: context, exec.   Does not know: frames.
 * Numbers are never used twice, and start somewhere else in every helper: a
 * reference that outlived its helper does not name another object.
 * Ownership: the table owns one reference to each object.
 * Errors: as CPython.   Threads: the caller holds the GIL. */
#ifndef TERRARIUM_OBJREF_H
#define TERRARIUM_OBJREF_H

#include "py.h"

struct objref {
    PyObject *table; /* dict: number => object */
    uint64_t next;
};

int objref_init(struct objref *r); /* 0, or -1 with an exception */
/* In a process forked from one that has it, empty: begin elsewhere. */
void objref_renew(struct objref *r);
void objref_fini(struct objref *r);

/* Keep o; its number as a new int, or NULL. */
PyObject *objref_put(struct objref *r, PyObject *o);
/* New reference; NULL with LookupError naming the number, or TypeError. */
PyObject *objref_get(const struct objref *r, PyObject *number);
/* Let go of it; an unknown number is ignored. */
void objref_release(struct objref *r, PyObject *number);
Py_ssize_t objref_count(const struct objref *r);

#endif
