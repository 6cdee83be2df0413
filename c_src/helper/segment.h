/* SPDX-License-Identifier: Apache-2.0 */
/* segment.h - a segment of shared memory that the VM holds, as a Python object.
 *
 * `{py_shm, Handle, Secret, Size, Format, Shape}`, as
 * erl/context/value/py_shm.erl has it, becomes a read-only memoryview over a
 * Segment (erlang.SharedMemory). The decoder only reserves its addresses;
 * whoever decoded has the VM hand over the descriptor before anybody sees the
 * view (segment_open.h).  So decoding never calls anybody, and a view never
 * points at nothing.
 *
 * Used by: the codec, segment_open, erlmod.   Does not know: the connection.
 * Ownership: a Segment owns its mapping, until the last view of it is gone.
 * Errors: as CPython.   Threads: the caller holds the GIL. */
#ifndef TERRARIUM_SEGMENT_H
#define TERRARIUM_SEGMENT_H

#include "py.h"

#include <stdint.h>

enum {
    SEGMENT_PARTS = 6,       /* of the tuple */
    SEGMENT_MAX_FORMAT = 15, /* characters of a format */
    SEGMENT_MAX_DIMS = 32
};

struct segment {
    PyObject_HEAD void *map; /* of length segment_length() */
    size_t size;             /* bytes of data */
    uint64_t token;   /* what the VM's hold of it is called; 0: it has none */
    uint64_t sent;    /* when the VM was last sent its term; 0: never.
                         CLOCK_MONOTONIC, in ns */
    PyObject *term;   /* bytes: the tuple in the external format, without 131 */
    PyObject *secret; /* bytes */
    int ndim;
    Py_ssize_t itemsize;
    Py_ssize_t shape[SEGMENT_MAX_DIMS], strides[SEGMENT_MAX_DIMS];
    char format[SEGMENT_MAX_FORMAT + 1];
};

extern PyTypeObject Segment_Type;

/* Those that are decoded and not yet open; segments_init before, fini after. */
struct segment_list {
    PyObject *all; /* list of Segment, or NULL: none */
};

static inline int
segment_check(PyObject *o)
{
    return Py_TYPE(o) == &Segment_Type;
}

static inline size_t
segment_length(const struct segment *s)
{
    return s->size > 0 ? s->size : 1; /* nothing can not be mapped */
}

/* Is it {py_shm, ...}? */
int segment_is_term(PyObject *tuple);
/* The view for such a tuple.  What is wrong with it is ValueError.  One that is
 * open here already is not opened again. */
PyObject *segment_view(PyObject *tuple, struct segment_list *unopened);
/* From now on this tuple is what it is for the VM; 0, or -1. */
int segment_name(struct segment *s, PyObject *tuple);

/* A new one of this size and shape, whose addresses are reserved. */
struct segment *segment_new(size_t size, const char *format,
                            Py_ssize_t itemsize, int ndim,
                            const Py_ssize_t *shape);
/* Map what the descriptor is of, to be read; 0, or -1 with an exception. */
int segment_map(struct segment *s, int fd);
/* It is open: found again by its secret. */
int segment_remember(struct segment *s);

/* Its term is to go to the VM now: 1; 0: its bytes do. */
int segment_send(struct segment *s);
/* From now on the bytes, always: the VM takes no references from this process.
 */
void segment_send_copies(void);
/* The Segment that a memoryview shows, all of it and as it is; borrowed. */
struct segment *segment_of_view(PyObject *view);

#endif
