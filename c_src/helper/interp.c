/* SPDX-License-Identifier: Apache-2.0 */
/* interp.c - PyConfig, the builtin module, sys.path and the preload list. */
#include "py.h"

#include "interp.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "erlmod.h" /* PyInit__erlang */
#include "stdio_setup.h"

static void
reason_put(char *reason, size_t cap, const char *what, const char *detail)
{
    if (cap > 0)
        snprintf(reason, cap, "%s%s%s", what, detail[0] ? ": " : "", detail);
}

static void
reason_from_status(char *reason, size_t cap, PyStatus s)
{
    reason_put(reason, cap, s.func ? s.func : "Python did not start",
               s.err_msg ? s.err_msg : "it wanted to exit");
}

/* "What: Type: message" of the exception that is set, which is cleared. */
static void
reason_from_exception(char *reason, size_t cap, const char *what)
{
    PyObject *exc = py_err_take();
    PyObject *text =
        exc ? PyUnicode_FromFormat("%s: %S", Py_TYPE(exc)->tp_name, exc) : NULL;
    const char *detail = text ? PyUnicode_AsUTF8(text) : NULL;
    reason_put(reason, cap, what, detail ? detail : "");
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(exc);
}

/* What `python` with this executable would see as its own name decides where
 * it looks for pyvenv.cfg, site-packages and the standard library. */
static PyStatus
set_names(PyConfig *c, const char *executable)
{
    PyStatus s = PyConfig_SetBytesString(c, &c->program_name, executable);
    if (!PyStatus_Exception(s))
        s = PyConfig_SetBytesString(c, &c->executable, executable);
    return s;
}

/* Output of Python is bytes for somebody's log, whatever the locale is. */
static PyStatus
set_stdio(PyConfig *c)
{
    PyStatus s = PyConfig_SetString(c, &c->stdio_encoding, L"utf-8");
    if (!PyStatus_Exception(s))
        s = PyConfig_SetString(c, &c->stdio_errors, L"surrogateescape");
    return s;
}

/* argv NULL: nothing to parse, sys.argv is ['']. */
static PyStatus
start(const char *executable, int argc, char **argv)
{
    PyConfig c;
    if (PyImport_AppendInittab("_erlang", PyInit__erlang) != 0)
        return PyStatus_NoMemory();
    PyConfig_InitPythonConfig(&c);
    c.parse_argv = argv != NULL;
    PyStatus s = set_names(&c, executable);
    if (!PyStatus_Exception(s) && argv == NULL)
        s = set_stdio(&c);
    if (!PyStatus_Exception(s) && argv != NULL)
        s = PyConfig_SetBytesArgv(&c, argc, argv);
    if (!PyStatus_Exception(s))
        s = Py_InitializeFromConfig(&c);
    PyConfig_Clear(&c);
    return s;
}

/* sys.path.insert(at, dir) */
static int
path_insert(Py_ssize_t at, const char *dir, size_t n)
{
    PyObject *path = PySys_GetObject("path"); /* borrowed */
    PyObject *s = PyUnicode_DecodeFSDefaultAndSize(dir, (Py_ssize_t)n);
    int r = -1;
    if (s == NULL)
        return -1;
    if (path == NULL || !PyList_Check(path))
        PyErr_SetString(PyExc_RuntimeError, "sys.path is not a list");
    else
        r = PyList_Insert(path, at, s);
    Py_DECREF(s);
    return r;
}

/* Where it was found; empty until then.  A helper that is locked up could not
 * look for it any more. */
static char package[PATH_MAX + sizeof "/py"];

/* The package `erlang` lies in py/ beside this program. */
static int
path_insert_package(Py_ssize_t at)
{
    char exe[sizeof package];
    ssize_t n = readlink("/proc/self/exe", exe, PATH_MAX);
    if (n <= 0 || n >= PATH_MAX)
        return 0;
    exe[n] = '\0';
    char *slash = strrchr(exe, '/');
    if (slash == NULL)
        return 0;
    memcpy(slash, "/py", sizeof "/py");
    if (access(exe, F_OK) != 0)
        return 0;
    memcpy(package, exe, sizeof package);
    return path_insert(at, exe, strlen(exe));
}

const char *
interp_package(void)
{
    return package;
}

static int
insert_paths(const struct interp_options *o)
{
    Py_ssize_t at = 0;
    for (size_t i = 0; i < o->path_count; i++) {
        if (path_insert(at++, o->paths[i], strlen(o->paths[i])) < 0)
            return -1;
    }
    return path_insert_package(at);
}

static int
import_by_name(const char *name)
{
    PyObject *s = PyUnicode_DecodeFSDefault(name);
    PyObject *m = s ? PyImport_Import(s) : NULL;
    Py_XDECREF(s);
    Py_XDECREF(m);
    return m ? 0 : -1;
}

static int
preload(const struct interp_options *o, char *reason, size_t cap)
{
    for (size_t i = 0; i < o->preload_count; i++) {
        if (import_by_name(o->preload[i]) == 0)
            continue;
        char what[256];
        snprintf(what, sizeof what, "cannot preload %.200s", o->preload[i]);
        reason_from_exception(reason, cap, what);
        return E_SYS;
    }
    return 0;
}

static int
call_no_args(PyObject *module, const char *name)
{
    PyObject *r = PyObject_CallMethod(module, name, NULL);
    Py_XDECREF(r);
    return r ? 0 : -1;
}

static void
flush(const char *name)
{
    PyObject *file = PySys_GetObject(name); /* borrowed */
    if (file != NULL && file != Py_None && call_no_args(file, "flush") < 0)
        PyErr_Clear();
}

/* What is alive now lives for ever: keep the collector from touching it, so
 * that its pages stay shared with every helper; and leave nothing in a buffer
 * that each of them would write again. */
int
interp_settle(void)
{
    flush("stdout");
    flush("stderr");
    PyObject *gc = PyImport_ImportModule("gc");
    int r = gc ? 0 : -1;
    if (r == 0)
        r = call_no_args(gc, "collect");
    if (r == 0)
        r = call_no_args(gc, "freeze");
    Py_XDECREF(gc);
    return r;
}

/* Modules that every helper needs sooner or later: an error's traceback, its
 * source lines, the crash handler.  Once here they are shared. */
static int
preload_own(void)
{
    static const char *const own[] = {"_erlang", "faulthandler", "traceback",
                                      "signal",  "linecache",    "os",
                                      "io"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (import_by_name(own[i]) < 0)
            return -1;
    }
    return 0;
}

int
interp_init(const struct interp_options *o, char *reason, size_t cap)
{
    const char *executable = o->executable ? o->executable : TERRARIUM_PYTHON;
    PyStatus status = start(executable, 0, NULL);
    if (PyStatus_Exception(status)) {
        reason_from_status(reason, cap, status);
        return E_SYS;
    }
    if (insert_paths(o) < 0 || preload_own() < 0 || stdio_setup() < 0) {
        reason_from_exception(reason, cap, "cannot prepare Python");
        return E_SYS;
    }
    int r = preload(o, reason, cap);
    if (r == 0 && interp_settle() < 0) {
        reason_from_exception(reason, cap, "cannot freeze the collector");
        r = E_SYS;
    }
    return r;
}

int
interp_python_main(int argc, char **argv)
{
    PyStatus status = start(TERRARIUM_PYTHON, argc, argv);
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status); /* as python does; also for --help */
    if (path_insert_package(0) < 0)
        PyErr_Print();
    return Py_RunMain();
}
