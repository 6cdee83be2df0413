/* SPDX-License-Identifier: Apache-2.0 */
/* py.h - the only place that includes <Python.h>, and the differences between
 * CPython 3.10 and 3.14 that we meet.
 *
 * Used by: zygote, helper.   Include it before any system header.
 * Errors: as CPython: NULL or -1 with an exception set.
 * Threads: the caller holds the GIL. */
#ifndef TERRARIUM_PY_H
#define TERRARIUM_PY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030b0000
#include <longintrepr.h>
#endif

#if PY_VERSION_HEX < 0x030a0000 || PY_VERSION_HEX >= 0x030f0000
#error "Terrarium needs CPython 3.10 to 3.14"
#endif

/* 1, and the value of an int or its subclass if it is a small one, which is
 * then had without a call. */
static inline int
py_long_small(PyObject *o, Py_ssize_t *v)
{
#if PY_VERSION_HEX >= 0x030c0000
    if (!PyUnstable_Long_IsCompact((PyLongObject *)o))
        return 0;
    *v = PyUnstable_Long_CompactValue((PyLongObject *)o);
#else
    Py_ssize_t n = Py_SIZE(o);
    if (n < -1 || n > 1)
        return 0;
    *v = n == 0 ? 0 : n * (Py_ssize_t)((PyLongObject *)o)->ob_digit[0];
#endif
    return 1;
}

/* An attribute that need not be there: 1 and a new reference, 0 and NULL, or -1
 * with an exception. */
static inline int
py_optional_attr(PyObject *o, PyObject *name, PyObject **v)
{
#if PY_VERSION_HEX >= 0x030d0000
    return PyObject_GetOptionalAttr(o, name, v);
#else
    return _PyObject_LookupAttr(o, name, v);
#endif
}

/* Bits of the magnitude of an int, 0 for 0. */
static inline size_t
py_long_bits(PyObject *v)
{
    return (size_t)_PyLong_NumBits(v);
}

/* The n little-endian bytes of a non-negative int.  Works on the digits: the
 * limit on int to str conversion has no part in it. */
static inline int
py_long_to_bytes(PyObject *v, uint8_t *p, size_t n)
{
#if PY_VERSION_HEX >= 0x030d0000
    return _PyLong_AsByteArray((PyLongObject *)v, p, n, 1, 0, 1);
#else
    return _PyLong_AsByteArray((PyLongObject *)v, p, n, 1, 0);
#endif
}

/* The non-negative int with these little-endian bytes; new reference. */
static inline PyObject *
py_long_from_bytes(const uint8_t *p, size_t n)
{
    return _PyLong_FromByteArray(p, n, 1, 0);
}

/* Take the exception that is set, normalized and with its traceback: new
 * reference, or NULL if there is none. */
static inline PyObject *
py_err_take(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *tb;
    PyErr_Fetch(&type, &value, &tb);
    if (type == NULL)
        return NULL;
    PyErr_NormalizeException(&type, &value, &tb);
    if (tb != NULL)
        PyException_SetTraceback(value, tb);
    Py_DECREF(type);
    Py_XDECREF(tb);
    return value;
#endif
}

/* Set this exception (steals it; NULL clears what is set). */
static inline void
py_err_give(PyObject *exc)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_SetRaisedException(exc);
#else
    if (exc == NULL) {
        PyErr_Clear();
        return;
    }
    PyObject *type = (PyObject *)Py_TYPE(exc);
    Py_INCREF(type);
    PyErr_Restore(type, exc, PyException_GetTraceback(exc));
#endif
}

#endif
