/* SPDX-License-Identifier: Apache-2.0 */
#include "objref.h"

#include <sys/random.h>

void
objref_renew(struct objref *r)
{
    uint64_t start = 0;
    if (getrandom(&start, sizeof start, GRND_NONBLOCK) < 0)
        start = (uint64_t)(uintptr_t)r;
    /* 63 bits in all; room for 2^32 objects and more. */
    r->next = ((start & 0x3fffffff) << 32) + 1;
}

int
objref_init(struct objref *r)
{
    objref_renew(r);
    r->table = PyDict_New();
    return r->table ? 0 : -1;
}

void
objref_fini(struct objref *r)
{
    Py_CLEAR(r->table);
}

PyObject *
objref_put(struct objref *r, PyObject *o)
{
    PyObject *number = PyLong_FromUnsignedLongLong(r->next);
    if (number == NULL)
        return NULL;
    if (PyDict_SetItem(r->table, number, o) < 0) {
        Py_DECREF(number);
        return NULL;
    }
    r->next++;
    return number;
}

PyObject *
objref_get(const struct objref *r, PyObject *number)
{
    if (!PyLong_CheckExact(number)) {
        PyErr_Format(PyExc_TypeError,
                     "an object reference is an integer, not %.100s",
                     Py_TYPE(number)->tp_name);
        return NULL;
    }
    PyObject *o = PyDict_GetItemWithError(r->table, number);
    Py_XINCREF(o);
    if (o == NULL && !PyErr_Occurred())
        PyErr_Format(PyExc_LookupError, "no object reference %S", number);
    return o;
}

void
objref_release(struct objref *r, PyObject *number)
{
    if (!PyLong_CheckExact(number) || PyDict_DelItem(r->table, number) < 0)
        PyErr_Clear();
}

Py_ssize_t
objref_count(const struct objref *r)
{
    return PyDict_GET_SIZE(r->table);
}
