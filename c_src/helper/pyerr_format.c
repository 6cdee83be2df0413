/* SPDX-License-Identifier: Apache-2.0 */
/* pyerr_format.c - traceback.format_exception, where what the exception is
 * linked to is no more than anyone would read.  That function looks at all of
 * it, whatever it is asked to leave out, and for a chain of a hundred thousand
 * it takes a minute. */
#include "pyerr_format.h"

#include "pyerr.h"
#include "pyerr_frames.h"
#include "pyerr_story.h"

/* ---- how much there is --------------------------------------------------- */

struct reach {
    PyObject *v[PYERR_REACH]; /* owned */
    int count;
    int over;
};

/* Once each: chains may be rings.  Steals exc, which may be NULL. */
static void
reach_add(struct reach *r, PyObject *exc)
{
    if (exc == NULL || !PyExceptionInstance_Check(exc)) {
        Py_XDECREF(exc);
        return;
    }
    for (int i = 0; i < r->count; i++) {
        if (r->v[i] == exc) {
            Py_DECREF(exc);
            return;
        }
    }
    if (r->count == PYERR_REACH) {
        r->over = 1;
        Py_DECREF(exc);
        return;
    }
    r->v[r->count++] = exc;
}

/* The members of an exception group (PEP 654). */
static void
reach_members(struct reach *r, PyObject *exc)
{
    PyObject *members = PyObject_GetAttrString(exc, "exceptions");
    Py_ssize_t n =
        members && PyTuple_Check(members) ? PyTuple_GET_SIZE(members) : 0;
    PyErr_Clear();
    for (Py_ssize_t i = 0; i < n && !r->over; i++)
        reach_add(r, Py_NewRef(PyTuple_GET_ITEM(members, i)));
    Py_XDECREF(members);
}

static int
reaches_far(PyObject *exc)
{
    struct reach r = {.count = 0};
    reach_add(&r, Py_NewRef(exc));
    for (int i = 0; i < r.count && !r.over; i++) {
        reach_add(&r, PyException_GetCause(r.v[i]));
        reach_add(&r, PyException_GetContext(r.v[i]));
        reach_members(&r, r.v[i]);
    }
    for (int i = 0; i < r.count; i++)
        Py_DECREF(r.v[i]);
    return r.over;
}

/* ---- the text ------------------------------------------------------------ */

/* format_exception(type, exc, tb, limit, chain) */
static PyObject *
all_lines(PyObject *module, PyObject *exc, PyObject *tb, int chain)
{
    return PyObject_CallMethod(module, "format_exception", "OOOiO",
                               (PyObject *)Py_TYPE(exc), exc, tb, -PYERR_FRAMES,
                               chain ? Py_True : Py_False);
}

/* Put a new reference at that place; nothing happens where there is none. */
static void
insert(PyObject *lines, Py_ssize_t at, PyObject *line)
{
    if (line != NULL && PyList_Insert(lines, at, line) < 0)
        PyErr_Clear();
    Py_XDECREF(line);
}

/* The same of the exception alone. */
static PyObject *
own_lines(PyObject *module, PyObject *exc, PyObject *tb)
{
    PyObject *lines =
        PyObject_CallMethod(module, "format_tb", "Oi", tb, -PYERR_FRAMES);
    if (lines == NULL || !PyList_Check(lines))
        return lines;
    PyObject *type = pyerr_type_name(exc, "__qualname__");
    PyObject *text = pyerr_text(exc, PYERR_MESSAGE_CHARS);
    insert(lines, PY_SSIZE_T_MAX,
           PyUnicode_FromFormat("%V: %V\n", type, "?", text, "?"));
    insert(
        lines, 0,
        PyUnicode_FromFormat("[more than %d linked exceptions: only the last "
                             "one is shown]\n"
                             "Traceback (most recent call last):\n",
                             PYERR_REACH));
    Py_XDECREF(type);
    Py_XDECREF(text);
    return lines;
}

PyObject *
pyerr_format(PyObject *exc, int chain)
{
    PyObject *module = PyImport_ImportModule("traceback");
    PyObject *tb = pyerr_traceback(exc);
    PyObject *empty = PyUnicode_New(0, 0), *lines = NULL, *text = NULL;
    PyObject *tb_or_none = tb != NULL ? tb : Py_None;
    if (module != NULL && empty != NULL)
        lines = reaches_far(exc) ? own_lines(module, exc, tb_or_none)
                                 : all_lines(module, exc, tb_or_none, chain);
    if (lines != NULL)
        text = pyerr_told(PyUnicode_Join(empty, lines));
    PyErr_Clear();
    Py_XDECREF(module);
    Py_XDECREF(tb);
    Py_XDECREF(empty);
    Py_XDECREF(lines);
    return text;
}
