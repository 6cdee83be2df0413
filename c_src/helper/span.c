/* SPDX-License-Identifier: Apache-2.0 */
#include "span.h"

static PyObject *variable;

int
span_add(PyObject *module)
{
    if (variable == NULL)
        variable = PyContextVar_New("erlang._span", NULL);
    return variable ? PyModule_AddObjectRef(module, "_span", variable) : -1;
}

int
span_current(PyObject **id)
{
    PyObject *v = NULL;
    *id = NULL;
    if (PyContextVar_Get(variable, Py_None, &v) < 0)
        return -1;
    if (PyTuple_Check(v) && PyTuple_GET_SIZE(v) == 3)
        *id = Py_NewRef(PyTuple_GET_ITEM(v, 1));
    Py_DECREF(v);
    return 0;
}
