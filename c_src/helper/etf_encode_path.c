/* SPDX-License-Identifier: Apache-2.0 */
/* etf_encode_path.c - what could not be encoded, and where it is. */
#include "py.h"
#include "etf_enc.h"

#include "err.h"
#include "erltypes.h"

enum { SHOWN_FIRST = 24, SHOWN_LAST = 4 };

int
enc_fail(struct enc *e, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    Py_XSETREF(e->message, PyUnicode_FromFormatV(format, ap));
    va_end(ap);
    return -1;
}

int
enc_fail_type(struct enc *e, PyObject *o)
{
    return enc_fail(e, "cannot encode object of type %.200s",
                    Py_TYPE(o)->tp_name);
}

int
enc_fail_buf(struct enc *e, int code)
{
    if (code == E_NOMEM) {
        PyErr_NoMemory();
        return -1;
    }
    return enc_fail(e, "cannot encode more than %zu bytes", e->max);
}

/* Takes over the text.  Only an error of our own has a path: an exception of
 * user code goes up as it is. */
static void
add(struct enc *e, PyObject *text)
{
    if (text != NULL && e->path == NULL)
        e->path = PyList_New(0);
    if (text == NULL || e->path == NULL || PyList_Append(e->path, text) < 0)
        PyErr_Clear();
    Py_XDECREF(text);
}

void
enc_at_index(struct enc *e, Py_ssize_t i)
{
    if (e->message != NULL)
        add(e, PyUnicode_FromFormat("[%zd]", i));
}

void
enc_at_nth_key(struct enc *e, Py_ssize_t i)
{
    if (e->message != NULL)
        add(e, PyUnicode_FromFormat(".keys()[%zd]", i));
}

void
enc_at_name(struct enc *e, PyObject *name)
{
    if (e->message != NULL)
        add(e, PyUnicode_FromFormat(".%U", name));
}

/* Only of types whose repr runs no user code. */
static PyObject *
key_text(PyObject *key)
{
    if (PyUnicode_CheckExact(key) || Atom_Check(key) ||
        PyLong_CheckExact(key) || PyFloat_CheckExact(key) ||
        PyBytes_CheckExact(key) || PyBool_Check(key) || key == Py_None)
        return short_repr(key);
    return PyUnicode_FromFormat("<%.100s>", Py_TYPE(key)->tp_name);
}

void
enc_at_key(struct enc *e, PyObject *key)
{
    if (e->message == NULL)
        return;
    PyObject *text = key_text(key);
    add(e, text == NULL ? NULL : PyUnicode_FromFormat("[%U]", text));
    Py_XDECREF(text);
}

/* The path from the outermost on; a long one without its middle. */
static PyObject *
path_text(struct enc *e)
{
    Py_ssize_t n = e->path == NULL ? 0 : PyList_GET_SIZE(e->path);
    if (n == 0)
        return PyUnicode_FromString("");
    if (PyList_Reverse(e->path) < 0)
        return NULL;
    if (n > SHOWN_FIRST + SHOWN_LAST) {
        PyObject *dots = Py_BuildValue("[s]", "...");
        int r = dots == NULL ? -1
                             : PyList_SetSlice(e->path, SHOWN_FIRST,
                                               n - SHOWN_LAST, dots);
        Py_XDECREF(dots);
        if (r < 0)
            return NULL;
    }
    PyObject *empty = PyUnicode_FromString("");
    PyObject *text = empty == NULL ? NULL : PyUnicode_Join(empty, e->path);
    Py_XDECREF(empty);
    return text;
}

void
enc_raise(struct enc *e)
{
    PyObject *path = path_text(e);
    if (path == NULL)
        return;
    if (PyUnicode_GET_LENGTH(path) == 0)
        PyErr_SetObject(EncodeError, e->message);
    else
        PyErr_Format(EncodeError, "%U at %U", e->message, path);
    Py_DECREF(path);
}
