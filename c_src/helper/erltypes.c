/* SPDX-License-Identifier: Apache-2.0 */
/* erltypes.c - makes the types and exceptions of erltypes.h ready, and the
 * texts of messages. */
#include "py.h"
#include "erltypes.h"

#include "segment.h"

PyObject *DecodeError;
PyObject *EncodeError;
PyObject *StaleReference;
PyObject *SharedMemoryError;

static int
make_exceptions(void)
{
    DecodeError = PyErr_NewExceptionWithDoc(
        "erlang.DecodeError", "Bytes that are not one term we can decode.",
        PyExc_ValueError, NULL);
    PyObject *bases = PyTuple_Pack(2, PyExc_TypeError, PyExc_ValueError);
    if (bases != NULL) {
        EncodeError = PyErr_NewExceptionWithDoc(
            "erlang.EncodeError", "An object that has no Erlang term.", bases,
            NULL);
        Py_DECREF(bases);
    }
    StaleReference = PyErr_NewExceptionWithDoc(
        "erlang.StaleReference",
        "A reference from Erlang to an object that is not in this context.",
        PyExc_LookupError, NULL);
    SharedMemoryError = PyErr_NewExceptionWithDoc(
        "erlang.SharedMemoryError",
        "A segment of shared memory that can not be had, and why.",
        PyExc_RuntimeError, NULL);
    return DecodeError && EncodeError && StaleReference && SharedMemoryError
               ? 0
               : -1;
}

int
erltypes_ready(void)
{
    static int ready;
    if (ready)
        return 0;
    /* Static subtypes need their base at run time on some platforms. */
    Atom_Type.tp_base = &PyUnicode_Type;
    FrozenList_Type.tp_base = &PyTuple_Type;
    PyTypeObject *const types[] = {
        &Atom_Type,       &Pid_Type,       &Ref_Type,       &Port_Type,
        &Fun_Type,        &BitString_Type, &FrozenMap_Type, &ImproperList_Type,
        &FrozenList_Type, &Segment_Type};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (PyType_Ready(types[i]) < 0)
            return -1;
    }
    if (frozen_map_ready() < 0 || make_exceptions() < 0)
        return -1;
    ready = 1;
    return 0;
}

PyObject *
short_repr(PyObject *o)
{
    enum { CHARS = 60 };
    PyObject *repr = PyObject_Repr(o);
    if (repr == NULL) { /* an int with more digits than str() may have, say */
        if (PyErr_ExceptionMatches(PyExc_MemoryError))
            return NULL;
        PyErr_Clear();
        return PyUnicode_FromFormat("<%.100s>", Py_TYPE(o)->tp_name);
    }
    if (PyUnicode_GET_LENGTH(repr) <= CHARS)
        return repr;
    PyObject *cut = PyUnicode_Substring(repr, 0, CHARS);
    Py_DECREF(repr);
    PyObject *text = cut == NULL ? NULL : PyUnicode_FromFormat("%U...", cut);
    Py_XDECREF(cut);
    return text;
}
