/* SPDX-License-Identifier: Apache-2.0 */
/* erltypes_atom.c - Atom: a str that goes to Erlang as an atom.  It is equal
 * to the str with the same text and has its hash, so a map with atom keys can
 * be read with plain strings. */
#include "py.h"
#include "erltypes.h"

/* 0 if the text can be an atom; -1 with ValueError. */
static int
check(PyObject *text)
{
    Py_ssize_t n = PyUnicode_GetLength(text), bytes;
    if (n < 0)
        return -1;
    if (n > ATOM_MAX_CHARS) {
        PyErr_Format(PyExc_ValueError,
                     "an atom has at most %d characters, not %zd",
                     ATOM_MAX_CHARS, n);
        return -1;
    }
    if (PyUnicode_AsUTF8AndSize(text, &bytes) != NULL)
        return 0;
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
        return -1;
    PyErr_Clear();
    PyErr_SetString(PyExc_ValueError, "an atom cannot hold lone surrogates");
    return -1;
}

PyObject *
atom_new(PyObject *name)
{
    if (check(name) < 0)
        return NULL;
    PyObject *args = PyTuple_Pack(1, name);
    if (args == NULL)
        return NULL;
    PyObject *atom = PyUnicode_Type.tp_new(&Atom_Type, args, NULL);
    Py_DECREF(args);
    return atom;
}

static PyObject *
atom_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", NULL};
    PyObject *name;
    (void)type;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "U:Atom", names, &name))
        return NULL;
    if (Atom_Check(name))
        return Py_NewRef(name);
    return atom_new(name);
}

static PyObject *
atom_repr(PyObject *self)
{
    PyObject *text = PyUnicode_Type.tp_repr(self);
    if (text == NULL)
        return NULL;
    PyObject *repr = PyUnicode_FromFormat("Atom(%U)", text);
    Py_DECREF(text);
    return repr;
}

/* (Atom, (text,)) */
static PyObject *
atom_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *text = PyObject_Str(self);
    return text == NULL ? NULL : Py_BuildValue("O(N)", Py_TYPE(self), text);
}

static PyMethodDef atom_methods[] = {
    {"__reduce__", atom_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(atom_doc, "Atom(name)\n--\n\n"
                       "An Erlang atom: a str of at most 255 characters.");

PyTypeObject Atom_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "erlang.Atom",
    .tp_doc = atom_doc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = atom_tp_new,
    .tp_repr = atom_repr,
    .tp_methods = atom_methods,
};
