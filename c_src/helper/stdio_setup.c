/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "stdio_setup.h"

#include <stdio.h>

#include "stream.h"

/* io.TextIOWrapper(stream, ...).  Written through: whether a line is finished
 * is for the stream to know. */
static PyObject *
text_on(PyObject *stream, const char *errors)
{
    PyObject *io = PyImport_ImportModule("io");
    PyObject *f = io ? PyObject_GetAttrString(io, "TextIOWrapper") : NULL;
    PyObject *text = f ? PyObject_CallFunction(f, "OsssOO", stream, "utf-8",
                                               errors, "\n", Py_False, Py_True)
                       : NULL;
    Py_XDECREF(f);
    Py_XDECREF(io);
    return text;
}

/* Under both names. */
static int
set_up_stream(int fd, const char *name, const char *original,
              const char *errors)
{
    PyObject *stream = stream_new(fd);
    PyObject *text = stream ? text_on(stream, errors) : NULL;
    PyObject *mode = PyUnicode_FromString(fd == 0 ? "r" : "w");
    int r = text && mode ? PyObject_SetAttrString(text, "mode", mode) : -1;
    if (r == 0)
        r = PySys_SetObject(name, text);
    if (r == 0)
        r = PySys_SetObject(original, text);
    Py_XDECREF(mode);
    Py_XDECREF(text);
    Py_XDECREF(stream);
    return r;
}

int
stdio_setup(void)
{
    static const struct {
        const char *name, *original, *errors;
    } all[] = {{"stdin", "__stdin__", "surrogateescape"},
               {"stdout", "__stdout__", "surrogateescape"},
               {"stderr", "__stderr__", "backslashreplace"}};
    for (int fd = 0; fd <= 2; fd++)
        if (set_up_stream(fd, all[fd].name, all[fd].original, all[fd].errors) <
            0)
            return -1;
    return 0;
}

void
stdio_setup_c(void)
{
    /* C code's printf: in order with Python's lines, as on a terminal.  A
     * buffer that was in use before the fork (a preloaded module printed)
     * would go on as it was, so there is a new one. */
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
}
