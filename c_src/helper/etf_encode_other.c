/* SPDX-License-Identifier: Apache-2.0 */
/* etf_encode_other.c - objects that are known by what they can do: dataclass
 * instances, mappings, numbers, sized iterables, buffers.  Everything else is
 * an error that names the type; so are those that look like one of these but
 * are not data: classes, members of an Enum that are no int or str, iterators,
 * which could be read only once. */
#include "py.h"
#include "etf_enc.h"

/* The classes to ask and the attribute to look for; made when first needed,
 * kept for the process. */
static struct {
    PyObject *fields;
    PyObject *mapping;
    PyObject *enumeration;
    PyObject *integral;
    PyObject *real;
    PyObject *rational;
} known;

static int
import_class(const char *module, const char *name, PyObject **to)
{
    if (*to != NULL)
        return 0;
    PyObject *m = PyImport_ImportModule(module);
    *to = m == NULL ? NULL : PyObject_GetAttrString(m, name);
    Py_XDECREF(m);
    return *to == NULL ? -1 : 0;
}

static int
import_known(void)
{
    if (known.rational != NULL)
        return 0;
    if (known.fields == NULL)
        known.fields = PyUnicode_InternFromString("__dataclass_fields__");
    if (known.fields == NULL)
        return -1;
    if (import_class("collections.abc", "Mapping", &known.mapping) < 0 ||
        import_class("enum", "Enum", &known.enumeration) < 0 ||
        import_class("numbers", "Integral", &known.integral) < 0 ||
        import_class("numbers", "Real", &known.real) < 0)
        return -1;
    return import_class("numbers", "Rational", &known.rational);
}

static int
iterate(struct enc *e, PyObject *it, Py_ssize_t n)
{
    Py_ssize_t i = 0;
    PyObject *item;
    while ((item = PyIter_Next(it)) != NULL) {
        int r = i < n ? enc_any(e, item) : 0;
        Py_DECREF(item);
        if (i == n)
            break;
        if (r < 0) {
            enc_at_index(e, i);
            return -1;
        }
        i++;
    }
    if (item == NULL && PyErr_Occurred())
        return -1;
    if (item != NULL || i != n)
        return enc_fail(e, "an iterable has not as many items as its len()");
    return 0;
}

static int
enc_iterable(struct enc *e, PyObject *o)
{
    struct enc_open self;
    Py_ssize_t n = PyObject_Size(o);
    if (n < 0 || enc_enter(e, o, &self) < 0)
        return -1;
    PyObject *it = PyObject_GetIter(o);
    if (it == NULL)
        return -1;
    int r = n > 0 ? enc_count(e, ETF_LIST, n) : 0;
    if (r == 0)
        r = iterate(e, it, n);
    Py_DECREF(it);
    if (r < 0 || enc_u8(e, ETF_NIL) < 0)
        return -1;
    enc_leave(e, &self);
    return 0;
}

static int
enc_integral(struct enc *e, PyObject *o)
{
    PyObject *v = PyNumber_Index(o);
    if (v == NULL)
        return -1;
    int r = enc_integer(e, v);
    Py_DECREF(v);
    return r;
}

/* 1: a number, encoded; 0: none; -1. */
static int
enc_number(struct enc *e, PyObject *o)
{
    int is = PyObject_IsInstance(o, known.integral);
    if (is != 0)
        return is < 0 || enc_integral(e, o) < 0 ? -1 : 1;
    /* A Fraction is exact, its float is not. */
    is = PyObject_IsInstance(o, known.rational);
    if (is != 0)
        return is < 0 ? -1 : enc_fail_type(e, o);
    is = PyObject_IsInstance(o, known.real);
    if (is <= 0)
        return is;
    double v = PyFloat_AsDouble(o);
    if (v == -1.0 && PyErr_Occurred())
        return -1;
    return enc_float(e, v) < 0 ? -1 : 1;
}

static int
is_sized_iterable(PyObject *o)
{
    PyTypeObject *t = Py_TYPE(o);
    int sized =
        (t->tp_as_sequence != NULL && t->tp_as_sequence->sq_length != NULL) ||
        (t->tp_as_mapping != NULL && t->tp_as_mapping->mp_length != NULL);
    return sized && t->tp_iter != NULL && !PyIter_Check(o);
}

/* 1: one of the kinds that are never data; 0, or -1. */
static int
is_no_data(PyObject *o)
{
    return PyType_Check(o) ? 1 : PyObject_IsInstance(o, known.enumeration);
}

int
enc_other(struct enc *e, PyObject *o)
{
    if (PyAnySet_Check(o) || PyRange_Check(o))
        return enc_iterable(e, o);
    if (import_known() < 0)
        return -1;
    int is = is_no_data(o);
    if (is != 0)
        return is < 0 ? -1 : enc_fail_type(e, o);
    if (PyObject_HasAttr((PyObject *)Py_TYPE(o), known.fields))
        return enc_dataclass(e, o);
    is = PyObject_IsInstance(o, known.mapping);
    if (is != 0)
        return is < 0 ? -1 : enc_mapping(e, o);
    is = enc_number(e, o);
    if (is != 0)
        return is < 0 ? -1 : 0;
    if (is_sized_iterable(o))
        return enc_iterable(e, o);
    return PyObject_CheckBuffer(o) ? enc_buffer(e, o) : enc_fail_type(e, o);
}
