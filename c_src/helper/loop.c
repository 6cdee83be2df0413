/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - only asyncio's own C functions are called: no bytecode is run, so
 * what a signal raises is not raised here. */
#include "loop.h"

/* Most code knows nothing of asyncio, and shall not pay for it. */
static PyObject *
module_if_loaded(const char *name)
{
    PyObject *n = PyUnicode_InternFromString(name);
    PyObject *m = n ? PyImport_GetModule(n) : NULL;
    Py_XDECREF(n);
    return m;
}

/* The task that a loop runs becomes this one; the one before.  Where there is
 * no such function (before 3.12) each loop has a task of its own. */
static PyObject *
swap_task(PyObject *loop, PyObject *task)
{
    PyObject *m = module_if_loaded("asyncio.tasks");
    PyObject *f = m ? PyObject_GetAttrString(m, "_swap_current_task") : NULL;
    PyObject *before =
        f ? PyObject_CallFunctionObjArgs(f, loop, task, NULL) : NULL;
    Py_XDECREF(m);
    Py_XDECREF(f);
    if (f == NULL)
        PyErr_Clear();
    else if (before == NULL)
        PyErr_WriteUnraisable(loop);
    return before ? before : Py_NewRef(Py_None);
}

static void
set_running(PyObject *events, PyObject *loop)
{
    PyObject *r = PyObject_CallMethod(events, "_set_running_loop", "O", loop);
    if (r == NULL)
        PyErr_WriteUnraisable(loop);
    Py_XDECREF(r);
}

PyObject *
loop_hide(void)
{
    PyObject *hidden = NULL, *events = module_if_loaded("asyncio.events");
    PyObject *loop =
        events ? PyObject_CallMethod(events, "_get_running_loop", NULL) : NULL;
    PyErr_Clear();
    if (loop != NULL && loop != Py_None) {
        PyObject *task = swap_task(loop, Py_None);
        hidden = PyTuple_Pack(3, events, loop, task);
        Py_DECREF(task);
        if (hidden != NULL)
            set_running(events, Py_None);
        else
            PyErr_Clear();
    }
    Py_XDECREF(loop);
    Py_XDECREF(events);
    return hidden;
}

void
loop_show(PyObject *hidden)
{
    if (hidden == NULL)
        return;
    PyObject *loop = PyTuple_GET_ITEM(hidden, 1);
    set_running(PyTuple_GET_ITEM(hidden, 0), loop);
    Py_DECREF(swap_task(loop, PyTuple_GET_ITEM(hidden, 2)));
    Py_DECREF(hidden);
}
