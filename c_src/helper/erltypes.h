/* SPDX-License-Identifier: Apache-2.0 */
/* erltypes.h - the Python types for what Erlang has and Python has not.
 *
 * Used by: the codec, erlmod, exec (Atom), tests.   Knows: py.h, no ETF tags
 * but those of ids (erltypes_ident.c).   Does not know: how terms are coded.
 * All types are immutable, final and hashable where their parts are; they are
 * static types and, with the two exceptions, documented singletons of the
 * process (one interpreter per process).
 * Threads: the caller holds the GIL. */
#ifndef TERRARIUM_ERLTYPES_H
#define TERRARIUM_ERLTYPES_H

#include "py.h"

enum { ATOM_MAX_CHARS = 255, ATOM_MAX_BYTES = 1020 };

extern PyTypeObject Atom_Type;         /* str subclass */
extern PyTypeObject Pid_Type;          /* struct ident */
extern PyTypeObject Ref_Type;          /* struct ident */
extern PyTypeObject Port_Type;         /* struct ident */
extern PyTypeObject Fun_Type;          /* struct ident */
extern PyTypeObject BitString_Type;    /* struct bitstring */
extern PyTypeObject ImproperList_Type; /* struct improper */
extern PyTypeObject FrozenList_Type;   /* tuple subclass */
extern PyTypeObject FrozenMap_Type;    /* struct frozen_map */
extern PyObject *DecodeError;          /* ValueError */
extern PyObject *EncodeError;          /* TypeError and ValueError */
extern PyObject *SharedMemoryError;    /* a segment that can not be had */
extern PyObject *StaleReference;       /* an object that is not here */

/* Make all of the above ready; any number of times.  -1 with an exception. */
int erltypes_ready(void);
/* Make one type ready; what erltypes_ready calls. */
int frozen_map_ready(void);

/* A pid, reference, port or fun: its ETF without the leading 131, in the one
 * form that etf_copy writes. */
struct ident {
    PyObject_VAR_HEAD Py_hash_t hash; /* -1: not computed yet */
    uint8_t etf[];
};
struct bitstring {
    PyObject_HEAD PyObject *data; /* bytes, unused bits zero */
    Py_ssize_t bits;              /* in all */
};
struct improper {
    PyObject_HEAD PyObject *items; /* tuple, not empty */
    PyObject *tail;
};
struct frozen_map {
    PyObject_HEAD PyObject *dict; /* never changed, never handed out */
    Py_hash_t hash;               /* -1: not computed yet */
};

static inline int
Atom_Check(PyObject *o)
{
    return Py_TYPE(o) == &Atom_Type;
}
static inline int
ident_check(PyObject *o)
{
    PyTypeObject *t = Py_TYPE(o);
    return t == &Pid_Type || t == &Ref_Type || t == &Port_Type ||
           t == &Fun_Type;
}

/* For messages: the start of an object's repr, or its type where it has none;
 * new reference, or NULL with MemoryError. */
PyObject *short_repr(PyObject *o);

/* Each: new reference, or NULL with an exception set. */
PyObject *atom_new(PyObject *name); /* a str; ValueError if it is no atom */
PyObject *ident_new(PyTypeObject *type, const uint8_t *etf, size_t n);
PyObject *bitstring_new(const uint8_t *data, size_t n, size_t bits);
PyObject *improper_new(PyObject *items, PyObject *tail); /* items: a tuple */
PyObject *frozen_list_new(PyObject *items);              /* a tuple */
PyObject *frozen_map_new(PyObject *dict);                /* takes over dict */

#endif
