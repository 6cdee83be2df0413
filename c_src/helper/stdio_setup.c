/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "stdio_setup.h"

#include <stdio.h>

/* stream.reconfigure(line_buffering=True), if it is on this descriptor: what
 * holds on to the stream already, such as a logging handler of a preloaded
 * module, keeps working.  1 done, 0 not one of that kind. */
static int
reconfigure(PyObject *stream, int fd)
{
    PyObject *n = PyObject_CallMethod(stream, "fileno", NULL);
    int same = n != NULL && PyLong_Check(n) && PyLong_AsLong(n) == fd;
    PyObject *f = same ? PyObject_GetAttrString(stream, "reconfigure") : NULL;
    PyObject *none = PyTuple_New(0);
    PyObject *kw = Py_BuildValue("{sO}", "line_buffering", Py_True);
    PyObject *r = f && none && kw ? PyObject_Call(f, none, kw) : NULL;
    PyErr_Clear();
    Py_XDECREF(n);
    Py_XDECREF(f);
    Py_XDECREF(none);
    Py_XDECREF(kw);
    Py_XDECREF(r);
    return r != NULL;
}

/* open(fd, "w", 1, "utf-8", errors, None, closefd=False), under both names. */
static int
replace(int fd, const char *name, const char *original, const char *errors)
{
    PyObject *io = PyImport_ImportModule("io");
    PyObject *stream =
        io ? PyObject_CallMethod(io, "open", "isissOO", fd, "w", 1, "utf-8",
                                 errors, Py_None, Py_False)
           : NULL;
    int r = stream ? PySys_SetObject(name, stream) : -1;
    if (r == 0)
        r = PySys_SetObject(original, stream);
    Py_XDECREF(io);
    Py_XDECREF(stream);
    return r;
}

static int
set_up_stream(int fd, const char *name, const char *original,
              const char *errors)
{
    PyObject *stream = PySys_GetObject(name); /* borrowed */
    if (stream != NULL && stream != Py_None && reconfigure(stream, fd))
        return 0;
    return replace(fd, name, original, errors);
}

int
stdio_setup(void)
{
    /* C code's printf: in order with Python's lines, as on a terminal.  A
     * buffer that was in use before the fork (a preloaded module printed)
     * would go on as it was, so there is a new one. */
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
    if (set_up_stream(1, "stdout", "__stdout__", "surrogateescape") < 0)
        return -1;
    return set_up_stream(2, "stderr", "__stderr__", "backslashreplace");
}
