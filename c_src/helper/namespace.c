/* SPDX-License-Identifier: Apache-2.0 */
#include "namespace.h"

static PyObject *
new_module(void)
{
    PyObject *m = PyModule_New("__main__");
    if (m != NULL &&
        PyModule_AddObjectRef(m, "__builtins__", PyEval_GetBuiltins()) < 0)
        Py_CLEAR(m);
    return m;
}

PyObject *
namespace_module(PyObject *all, PyObject *number)
{
    if (!PyLong_Check(number)) {
        PyErr_SetString(PyExc_TypeError, "a namespace is a number");
        return NULL;
    }
    PyObject *m = PyDict_GetItemWithError(all, number);
    if (m != NULL || PyErr_Occurred())
        return m;
    m = new_module();
    if (m == NULL || PyDict_SetItem(all, number, m) < 0)
        Py_CLEAR(m);
    Py_XDECREF(m);
    return m;
}

void
namespace_forget(PyObject *all, PyObject *number)
{
    if (PyDict_DelItem(all, number) < 0)
        PyErr_Clear();
}
