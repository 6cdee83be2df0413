/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ctl.h"
#include "mem.h"
#include "wire.h"
#include "pyerr_frames.h"

enum { LEAST_MAX_FRAME = 1024 }; /* an ERROR has to fit */

static PyObject *
text(const char *p, size_t n)
{
    return PyUnicode_DecodeFSDefaultAndSize(p, (Py_ssize_t)n);
}

/* The i-th string of a list; NULL with an exception. */
static PyObject *
item(const struct ctl_map *m, const char *key, size_t i)
{
    const char *p;
    size_t n;
    if (ctl_list_bytes(m, key, i, &p, &n))
        return text(p, n);
    PyErr_Format(PyExc_TypeError, "boot: %s[%zu] is not a string", key, i);
    return NULL;
}

/* What ps and top call the process. */
static void
set_name(const struct ctl_map *m)
{
    char *name = ctl_dup(m, "name");
    if (name != NULL)
        prctl(PR_SET_NAME, name);
    mem_free(name);
}

/* ---- environment --------------------------------------------------------- */

static int
set_env(PyObject *vars, const struct ctl_map *env)
{
    const char *k, *v;
    size_t kn, vn;
    int r = 0;
    for (size_t i = 0; r == 0 && ctl_pair(env, i, &k, &kn, &v, &vn); i++) {
        PyObject *key = text(k, kn);
        PyObject *value = key ? text(v, vn) : NULL;
        r = value ? PyObject_SetItem(vars, key, value) : -1;
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return r;
}

static int
unset_env(PyObject *vars, const struct ctl_map *m)
{
    size_t n = ctl_list_len(m, "unset");
    for (size_t i = 0; i < n; i++) {
        PyObject *key = item(m, "unset", i);
        PyObject *old = NULL;
        if (key != NULL)
            old = PyObject_CallMethod(vars, "pop", "OO", key, Py_None);
        Py_XDECREF(key);
        if (old == NULL)
            return -1;
        Py_DECREF(old);
    }
    return 0;
}

/* The C library reads TZ only when it is told to. */
static int
reset_time_zone(void)
{
    PyObject *m = PyImport_ImportModule("time");
    PyObject *r = m ? PyObject_CallMethod(m, "tzset", NULL) : NULL;
    Py_XDECREF(m);
    Py_XDECREF(r);
    return r ? 0 : -1;
}

/* Through os.environ, so that Python and C see the same. */
static int
apply_env(const struct ctl_map *m)
{
    struct ctl_map env;
    int has_env = ctl_get_map(m, "env", &env);
    if (!has_env && ctl_list_len(m, "unset") == 0)
        return 0;
    PyObject *os = PyImport_ImportModule("os");
    PyObject *vars = os ? PyObject_GetAttrString(os, "environ") : NULL;
    int r = vars ? unset_env(vars, m) : -1;
    if (r == 0 && has_env)
        r = set_env(vars, &env);
    if (r == 0)
        r = reset_time_zone();
    Py_XDECREF(os);
    Py_XDECREF(vars);
    return r;
}

/* ---- the rest ------------------------------------------------------------ */

static int
apply_cwd(const struct ctl_map *m)
{
    const char *p;
    size_t n;
    if (!ctl_get_bytes(m, "cwd", &p, &n))
        return 0;
    PyObject *os = PyImport_ImportModule("os");
    PyObject *dir = os ? text(p, n) : NULL;
    PyObject *r = dir ? PyObject_CallMethod(os, "chdir", "O", dir) : NULL;
    Py_XDECREF(os);
    Py_XDECREF(dir);
    Py_XDECREF(r);
    return r ? 0 : -1;
}

static int
apply_paths(const struct ctl_map *m)
{
    size_t n = ctl_list_len(m, "paths");
    PyObject *path = n > 0 ? PySys_GetObject("path") : NULL; /* borrowed */
    if (n > 0 && (path == NULL || !PyList_Check(path))) {
        PyErr_SetString(PyExc_RuntimeError, "sys.path is not a list");
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        PyObject *dir = item(m, "paths", i);
        int r = dir ? PyList_Insert(path, (Py_ssize_t)i, dir) : -1;
        Py_XDECREF(dir);
        if (r < 0)
            return -1;
    }
    return 0;
}

static int
apply_argv(const struct ctl_map *m)
{
    size_t n = ctl_list_len(m, "argv");
    if (n == 0)
        return 0;
    PyObject *argv = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; argv != NULL && i < n; i++) {
        PyObject *arg = item(m, "argv", i);
        if (arg == NULL)
            Py_CLEAR(argv);
        else
            PyList_SET_ITEM(argv, (Py_ssize_t)i, arg);
    }
    int r = argv ? PySys_SetObject("argv", argv) : -1;
    Py_XDECREF(argv);
    return r;
}

/* erlang._logging._configure(level) */
static int
apply_logging(const struct ctl_map *m)
{
    uint64_t level;
    if (!ctl_get_uint(m, "log_level", &level))
        return 0;
    PyObject *module = PyImport_ImportModule("erlang._logging");
    PyObject *r = module ? PyObject_CallMethod(module, "_configure", "K",
                                               (unsigned long long)level)
                         : NULL;
    Py_XDECREF(module);
    Py_XDECREF(r);
    return r ? 0 : -1;
}

static int
apply_imports(const struct ctl_map *m)
{
    size_t n = ctl_list_len(m, "imports");
    for (size_t i = 0; i < n; i++) {
        PyObject *name = item(m, "imports", i);
        PyObject *module = name ? PyImport_Import(name) : NULL;
        Py_XDECREF(name);
        Py_XDECREF(module);
        if (module == NULL)
            return -1;
    }
    return 0;
}

/* Run text of that name in the context's namespace. */
static int
run_code(struct context *c, const char *text, const char *file)
{
    PyObject *code = Py_CompileString(text, file, Py_file_input);
    PyObject *r =
        code ? PyEval_EvalCode(code, c->namespace, c->namespace) : NULL;
    Py_XDECREF(code);
    Py_XDECREF(r);
    return r ? 0 : -1;
}

/* What all contexts begin with, then what this one does. */
static int
apply_code(struct context *c, const struct ctl_map *m)
{
    static const char *const keys[][2] = {{"preload", "<preload>"},
                                          {"preload_code", "<preload_code>"}};
    const char *p;
    size_t n;
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof keys / sizeof *keys; i++) {
        if (!ctl_get_bytes(m, keys[i][0], &p, &n))
            continue;
        char *text = ctl_dup(m, keys[i][0]);
        if (text == NULL)
            PyErr_NoMemory();
        r = text ? run_code(c, text, keys[i][1]) : -1;
        mem_free(text);
    }
    return r;
}

static void
apply_limits(struct context *c, const struct ctl_map *m)
{
    uint64_t v;
    int flag;
    if (ctl_get_uint(m, "max_depth", &v) && v > 0)
        c->limits.max_depth = v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
    c->limits.handles = ctl_get_bool(m, "handles", &flag) && flag;
    if (c->limits.handles)
        pyerr_frames_of_strangers();
    if (ctl_get_uint(m, "max_frame", &v) && v > 0) {
        c->max_frame =
            v < WIRE_LIMIT_MAX_FRAME ? (uint32_t)v : WIRE_LIMIT_MAX_FRAME;
        if (c->max_frame < LEAST_MAX_FRAME)
            c->max_frame = LEAST_MAX_FRAME;
    }
}

/* Imports last, and code behind them: they see everything else as it shall be.
 */
static int
apply(struct context *c, const struct ctl_map *m)
{
    set_name(m);
    apply_limits(c, m);
    if (apply_env(m) < 0 || apply_cwd(m) < 0 || apply_paths(m) < 0 ||
        apply_argv(m) < 0 || apply_logging(m) < 0 || apply_imports(m) < 0 ||
        apply_code(c, m) < 0)
        return 1;
    return 0;
}

int
boot_apply(struct context *c, const uint8_t *p, size_t n)
{
    struct ctl_in in;
    struct ctl_map m;
    int r = ctl_open(&in, p, n, &m);
    if (r != 0)
        return r;
    r = apply(c, &m);
    ctl_close(&in);
    return r;
}

int
boot_wants_lane(const uint8_t *p, size_t n, int *wanted)
{
    struct ctl_in in;
    struct ctl_map m;
    int r = ctl_open(&in, p, n, &m);
    if (r != 0)
        return r;
    if (!ctl_get_bool(&m, "lane", wanted))
        *wanted = 0;
    ctl_close(&in);
    return 0;
}

int
boot_hello(struct buf *out)
{
    struct ctl_out o;
    ctl_begin(&o);
    ctl_put_uint(&o, "version", WIRE_LIMIT_VERSION);
    ctl_put_uint(&o, "fingerprint", WIRE_FINGERPRINT);
    ctl_put_uint(&o, "pid", (uint64_t)getpid());
    ctl_put_str(&o, "python", PY_VERSION);
    int r = ctl_end(&o);
    if (r == 0)
        r = buf_put(out, o.bytes.data, o.bytes.len);
    ctl_free(&o);
    return r;
}
