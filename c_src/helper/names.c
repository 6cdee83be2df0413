/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

PyObject *
names_text(PyObject *o, const char *what)
{
    if (PyUnicode_Check(o))
        return PyUnicode_FromObject(o); /* exact; an Atom is copied */
    PyErr_Format(PyExc_TypeError, "%s must be a string, not %.100s", what,
                 Py_TYPE(o)->tp_name);
    return NULL;
}

PyObject *
names_attribute(PyObject *o, PyObject *name)
{
    PyObject *text = names_text(name, "attribute name");
    PyObject *v = text ? PyObject_GetAttr(o, text) : NULL;
    Py_XDECREF(text);
    return v;
}

/* "a.b.c" of o; new reference. */
static PyObject *
walk(PyObject *o, PyObject *dotted)
{
    Py_ssize_t n = PyUnicode_GET_LENGTH(dotted);
    Py_ssize_t dot = PyUnicode_FindChar(dotted, '.', 0, n, 1);
    if (dot == -1)
        return PyObject_GetAttr(o, dotted);
    if (dot < 0)
        return NULL;
    PyObject *at = NULL;
    PyObject *sep = PyUnicode_FromOrdinal('.');
    PyObject *parts = sep ? PyUnicode_Split(dotted, sep, -1) : NULL;
    if (parts != NULL) {
        at = o;
        Py_INCREF(at);
    }
    for (Py_ssize_t i = 0; at != NULL && i < PyList_GET_SIZE(parts); i++) {
        PyObject *next = PyObject_GetAttr(at, PyList_GET_ITEM(parts, i));
        Py_DECREF(at);
        at = next;
    }
    Py_XDECREF(sep);
    Py_XDECREF(parts);
    return at;
}

static PyObject *
import_and_walk(PyObject *module, PyObject *function)
{
    PyObject *m = PyImport_Import(module);
    PyObject *f = m ? walk(m, function) : NULL;
    Py_XDECREF(m);
    return f;
}

/* Is another thread in the middle of importing it? */
static int
is_initializing(PyObject *m)
{
    PyObject *spec = PyObject_GetAttrString(m, "__spec__");
    PyObject *v = spec ? PyObject_GetAttrString(spec, "_initializing") : NULL;
    int r = v != NULL && PyObject_IsTrue(v) == 1;
    PyErr_Clear();
    Py_XDECREF(spec);
    Py_XDECREF(v);
    return r;
}

static PyObject *
find_function(PyObject *module, PyObject *function)
{
    PyObject *m = PyImport_GetModule(module);
    PyObject *f = NULL;
    if (m == NULL && PyErr_Occurred())
        return NULL;
    if (m == NULL || m == Py_None) { /* None there forbids the import */
        f = import_and_walk(module, function);
        goto out;
    }
    f = walk(m, function);
    if (f == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyObject *exc = py_err_take();
        if (is_initializing(m)) { /* an import waits until it is complete */
            Py_DECREF(exc);
            f = import_and_walk(module, function);
        } else
            py_err_give(exc);
    }
out:
    Py_XDECREF(m);
    return f;
}

PyObject *
names_function(PyObject *module, PyObject *function)
{
    PyObject *f = NULL;
    PyObject *m = names_text(module, "module name");
    PyObject *n = m ? names_text(function, "function name") : NULL;
    if (n != NULL)
        f = find_function(m, n);
    Py_XDECREF(m);
    Py_XDECREF(n);
    return f;
}

static int
keys_are_plain(PyObject *dict)
{
    Py_ssize_t at = 0;
    PyObject *key, *value;
    while (PyDict_Next(dict, &at, &key, &value)) {
        if (!PyUnicode_CheckExact(key))
            return 0;
    }
    return 1;
}

PyObject *
names_keywords(PyObject *dict)
{
    if (!PyDict_Check(dict)) {
        PyErr_Format(PyExc_TypeError, "expected a map of names, not %.100s",
                     Py_TYPE(dict)->tp_name);
        return NULL;
    }
    if (keys_are_plain(dict)) {
        Py_INCREF(dict);
        return dict;
    }
    PyObject *plain = PyDict_New();
    Py_ssize_t at = 0;
    PyObject *key, *value;
    while (plain != NULL && PyDict_Next(dict, &at, &key, &value)) {
        PyObject *text = names_text(key, "name");
        if (text == NULL || PyDict_SetItem(plain, text, value) < 0)
            Py_CLEAR(plain);
        Py_XDECREF(text);
    }
    return plain;
}
