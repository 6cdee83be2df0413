/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "host.h"

#include <string.h>

#include "err.h"

/* The loader follows links through /etc/alternatives. */
static const char *const fixed[] = {"/lib",
                                    "/lib64",
                                    "/usr/lib",
                                    "/usr/lib64",
                                    "/usr/local/lib",
                                    "/etc/alternatives",
                                    "/etc/ld.so.cache",
                                    "/etc/localtime",
                                    "/usr/share/zoneinfo"};

static int
add(struct profile_host *h, PyObject *path)
{
    PyObject *bytes = NULL;
    int e = 0;
    if (path != NULL && PyUnicode_FSConverter(path, &bytes)) {
        const char *p = PyBytes_AS_STRING(bytes);
        if (p[0] == '/')
            e = args_list_dup(&h->readable, p, strlen(p));
    }
    PyErr_Clear();
    Py_XDECREF(bytes);
    return e;
}

/* The last path added, without what follows its last slash. */
static void
take_directory(struct profile_host *h)
{
    char *last = h->readable.v[h->readable.count - 1];
    char *slash = strrchr(last, '/');
    if (slash != NULL && slash > last)
        *slash = 0;
    h->prefix = last;
}

/* Of the standard library: the directory in which os.py lies. */
static int
add_own(struct profile_host *h)
{
    PyObject *os = PyImport_ImportModule("os");
    PyObject *file = os ? PyObject_GetAttrString(os, "__file__") : NULL;
    size_t before = h->readable.count;
    int e = add(h, file);
    if (e == 0 && h->readable.count > before)
        take_directory(h);
    Py_XDECREF(file);
    Py_XDECREF(os);
    PyErr_Clear();
    return e;
}

int
host_find(struct profile_host *h)
{
    int e = 0;
    PyObject *path = PySys_GetObject("path"); /* borrowed */
    for (size_t i = 0; e == 0 && i < sizeof fixed / sizeof fixed[0]; i++)
        e = args_list_dup(&h->readable, fixed[i], strlen(fixed[i]));
    if (e == 0)
        e = add_own(h);
    for (Py_ssize_t i = 0; e == 0 && path != NULL && PyList_Check(path) &&
                           i < PyList_GET_SIZE(path);
         i++)
        e = add(h, PyList_GET_ITEM(path, i));
    return e;
}
