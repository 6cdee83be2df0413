/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include "etf_texts.h"

/* The text of an Atom.  One that comes again is the same str each time, whose
 * hash is known, and which the interpreter's own caches recognize. */
static PyObject *
plain_text(PyObject *o)
{
    if (!PyUnicode_IS_ASCII(o))
        return PyUnicode_FromObject(o);
    return etf_text(PyUnicode_1BYTE_DATA(o), (size_t)PyUnicode_GET_LENGTH(o));
}

PyObject *
names_text(PyObject *o, const char *what)
{
    if (PyUnicode_CheckExact(o))
        return Py_NewRef(o);
    if (PyUnicode_Check(o))
        return plain_text(o);
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

/* As PyObject_GetAttr.  What lies in a module's dict is had from there: the
 * type of modules puts only names with underscores before that, and nobody can
 * add others to it. */
static PyObject *
attribute(PyObject *o, PyObject *name)
{
    if (PyModule_CheckExact(o) && PyUnicode_GET_LENGTH(name) > 0 &&
        PyUnicode_READ_CHAR(name, 0) != '_') {
        PyObject *v = PyDict_GetItemWithError(PyModule_GetDict(o), name);
        if (v != NULL)
            return Py_NewRef(v);
        PyErr_Clear();
    }
    return PyObject_GetAttr(o, name);
}

static PyObject *
part(PyObject *dotted, Py_ssize_t from, Py_ssize_t to)
{
    if (!PyUnicode_IS_COMPACT_ASCII(dotted))
        return PyUnicode_Substring(dotted, from, to);
    return etf_text(PyUnicode_1BYTE_DATA(dotted) + from, (size_t)(to - from));
}

/* "a.b.c" of o; new reference. */
static PyObject *
walk(PyObject *o, PyObject *dotted)
{
    Py_ssize_t n = PyUnicode_GET_LENGTH(dotted), from = 0;
    Py_ssize_t dot = PyUnicode_FindChar(dotted, '.', 0, n, 1);
    if (dot == -1)
        return attribute(o, dotted);
    PyObject *at = Py_NewRef(o);
    while (at != NULL && from <= n) {
        if (dot < 0)
            dot = n;
        PyObject *name = part(dotted, from, dot);
        Py_SETREF(at, name ? attribute(at, name) : NULL);
        Py_XDECREF(name);
        from = dot + 1;
        if (from <= n)
            dot = PyUnicode_FindChar(dotted, '.', from, n, 1);
    }
    return at;
}

/* Does another thread import it just now?  As the interpreter asks; 1 also
 * where that is not plain. */
static int
is_initializing(PyObject *m)
{
    static PyObject *spec_name, *flag_name;
    PyObject *flag = NULL;
    if (spec_name == NULL)
        spec_name = PyUnicode_InternFromString("__spec__");
    if (flag_name == NULL)
        flag_name = PyUnicode_InternFromString("_initializing");
    if (spec_name == NULL || flag_name == NULL)
        return 1;
    PyObject *spec = PyDict_GetItemWithError(PyModule_GetDict(m), spec_name);
    if (spec == NULL || spec == Py_None)
        return PyErr_Occurred() != NULL;
    Py_INCREF(spec);
    int r = py_optional_attr(spec, flag_name, &flag);
    Py_DECREF(spec);
    Py_XDECREF(flag);
    return r != 0 && flag != Py_False;
}

/* The last module that was seen to be complete, as it then stays: another call
 * of it need not ask again.  Ours, so that no other can have its address. */
static PyObject *complete;

/* New reference; NULL, perhaps with an exception: it is not, or not known to
 * be. */
static PyObject *
if_complete(PyObject *m)
{
    Py_INCREF(m);
    if (m == complete)
        return m;
    if (!is_initializing(m)) {
        Py_XSETREF(complete, Py_NewRef(m));
        return m;
    }
    Py_DECREF(m);
    return NULL;
}

/* From sys.modules, where it is an ordinary module that is complete, as it
 * mostly is; else NULL, without an exception. */
static PyObject *
loaded(PyObject *name)
{
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *m = NULL, *found = NULL;
    if (modules != NULL && PyDict_CheckExact(modules))
        m = PyDict_GetItemWithError(modules, name);
    if (m != NULL && PyModule_CheckExact(m))
        found = if_complete(m);
    if (found == NULL)
        PyErr_Clear();
    return found;
}

/* New reference.  None in sys.modules forbids the import, which says so. */
static PyObject *
find_module(PyObject *name)
{
    PyObject *m = loaded(name);
    if (m == NULL)
        m = PyImport_GetModule(name); /* waits until it is complete */
    if (m == Py_None)
        Py_CLEAR(m);
    return m != NULL || PyErr_Occurred() ? m : PyImport_Import(name);
}

static PyObject *
find_function(PyObject *module, PyObject *function)
{
    PyObject *m = find_module(module);
    PyObject *f = m ? walk(m, function) : NULL;
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

PyObject *
names_function_of(PyObject *module, PyObject *function)
{
    PyObject *n = names_text(function, "function name");
    PyObject *f = n ? walk(module, n) : NULL;
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
