/* SPDX-License-Identifier: Apache-2.0 */
#include "pyerr_frames.h"

#include "interp.h"

enum { HIDDEN_MAX = 8 }; /* user code may have tied the list into a ring */

/* Set once, before any code of a user has run. */
static int strangers;

void
pyerr_frames_of_strangers(void)
{
    strangers = 1;
}

/* Of the function that this entry is about: is it not to be seen? */
static int
is_hidden(PyObject *tb)
{
    PyObject *frame = PyObject_GetAttrString(tb, "tb_frame");
    PyObject *globals =
        frame != NULL ? PyObject_GetAttrString(frame, "f_globals") : NULL;
    int hidden = globals != NULL && PyDict_Check(globals) &&
                 PyDict_GetItemString(globals, "__erlang_hidden__") != NULL;
    PyErr_Clear();
    Py_XDECREF(globals);
    Py_XDECREF(frame);
    return hidden;
}

PyObject *
pyerr_traceback(PyObject *exc)
{
    PyObject *tb = PyException_GetTraceback(exc);
    for (int i = 0; i < HIDDEN_MAX && tb != NULL && is_hidden(tb); i++) {
        PyObject *next = (PyObject *)((PyTracebackObject *)tb)->tb_next;
        Py_XINCREF(next);
        Py_DECREF(tb);
        tb = next;
    }
    return tb;
}

PyObject *
pyerr_told(PyObject *s)
{
    if (s == NULL || !strangers || interp_package()[0] == '\0')
        return s;
    PyObject *from = PyUnicode_FromFormat("%s/", interp_package());
    PyObject *to = PyUnicode_New(0, 0), *told = NULL;
    if (from != NULL && to != NULL)
        told = PyUnicode_Replace(s, from, to, -1);
    PyErr_Clear();
    Py_XDECREF(from);
    Py_XDECREF(to);
    Py_DECREF(s);
    return told;
}

/* All that it has in lines that do not name this file. */
static PyObject *
lines_without(PyObject *s, PyObject *file)
{
    PyObject *lines = PyUnicode_Splitlines(s, 1), *empty = PyUnicode_New(0, 0);
    PyObject *left = NULL;
    Py_ssize_t i = lines != NULL ? PyList_GET_SIZE(lines) : 0;
    while (i-- > 0) {
        PyObject *line = PyList_GET_ITEM(lines, i);
        if (PyUnicode_Find(line, file, 0, PY_SSIZE_T_MAX, 1) >= 0 &&
            PySequence_DelItem(lines, i) < 0)
            break;
    }
    if (lines != NULL && empty != NULL)
        left = PyUnicode_Join(empty, lines);
    PyErr_Clear();
    Py_XDECREF(empty);
    Py_XDECREF(lines);
    return left;
}

PyObject *
pyerr_told_stack(PyObject *s)
{
    PyObject *told = pyerr_told(s);
    if (told == NULL || !strangers)
        return told;
    PyObject *file = PyUnicode_FromString("\"erlang/_sandboxed.py\"");
    PyObject *left = file != NULL ? lines_without(told, file) : NULL;
    PyErr_Clear();
    Py_XDECREF(file);
    Py_DECREF(told);
    return left;
}
