/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "slice.h"

#include "callback.h"
#include "queue.h"

enum { WHOLE = 100 };

static PyObject *variable; /* of what is no request: an int */

int
slice_add(PyObject *module)
{
    (void)module;
    if (variable == NULL)
        variable = PyContextVar_New("erlang._slice", NULL);
    return variable ? 0 : -1;
}

/* 1 to 100, or -1 with an exception. */
static long
percent_of(PyObject *percent)
{
    int overflow;
    long n = PyLong_AsLongAndOverflow(percent, &overflow);
    if (n == -1 && PyErr_Occurred())
        return -1;
    if (overflow == 0 && n >= 1 && n <= WHOLE)
        return n;
    PyErr_Format(PyExc_ValueError, "percent is 1 to %d, not %S", WHOLE,
                 percent);
    return -1;
}

static int
add(long *used, long n)
{
    *used += n;
    if (*used < WHOLE)
        return 0;
    *used = 0;
    return 1;
}

static int
consume_variable(long n)
{
    PyObject *v = NULL, *token = NULL;
    if (PyContextVar_Get(variable, NULL, &v) < 0)
        return -1;
    long used = v != NULL ? PyLong_AsLong(v) : 0;
    int all = add(&used, n);
    Py_XDECREF(v);
    PyObject *new = PyLong_FromLong(used);
    if (new != NULL)
        token = PyContextVar_Set(variable, new);
    Py_XDECREF(new);
    Py_XDECREF(token);
    return token != NULL ? all : -1;
}

int
slice_consume(PyObject *percent)
{
    long n = percent_of(percent);
    if (n < 0)
        return -1;
    struct request *r = callback_of();
    if (r == NULL)
        return consume_variable(n);
    long used = r->slice;
    int all = add(&used, n);
    r->slice = (uint8_t)used;
    return all;
}
