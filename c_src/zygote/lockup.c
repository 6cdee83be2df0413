/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "lockup.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"
#include "err.h"
#include "helper.h"
#include "segment.h"
#include "interp.h"
#include "state.h"
#include "tasks.h"

/* ---- environment --------------------------------------------------------- */

/* The block in which the kernel put the environment: its addresses stand in
 * /proc/self/stat, after the name, which may hold anything. */
static void
wipe_block(void)
{
    char text[2048];
    unsigned long start = 0, end = 0;
    FILE *f = fopen("/proc/self/stat", "re");
    size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f != NULL)
        fclose(f);
    text[n] = 0;
    char *at = strrchr(text, ')');
    for (int field = 3; at != NULL && field <= 50; field++)
        at = strchr(at + 1, ' ');
    if (at != NULL && sscanf(at, " %lu %lu", &start, &end) == 2 && start < end)
        memset((void *)start, 0, end - start); // NOLINT: the kernel's numbers
}

/* Python's own copy of a value, where nobody else has it. */
static void
wipe_values(PyObject *vars)
{
    PyObject *data = PyObject_GetAttrString(vars, "_data"), *key, *value;
    Py_ssize_t i = 0;
    while (data != NULL && PyDict_Check(data) &&
           PyDict_Next(data, &i, &key, &value))
        if (PyBytes_CheckExact(value) && Py_REFCNT(value) == 1)
            memset(PyBytes_AS_STRING(value), 0,
                   (size_t)PyBytes_GET_SIZE(value));
    PyErr_Clear();
    Py_XDECREF(data);
}

/* Libraries that start threads by themselves are told not to. */
static int
set_values(PyObject *vars)
{
    static const char *const values[][2] = {{"LANG", "C.UTF-8"},
                                            {"TZ", "UTC"},
                                            {"HOME", "/"},
                                            {"OPENBLAS_NUM_THREADS", "1"},
                                            {"OMP_NUM_THREADS", "1"},
                                            {"MKL_NUM_THREADS", "1"},
                                            {"NUMEXPR_NUM_THREADS", "1"}};
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof values / sizeof values[0]; i++) {
        PyObject *v = PyUnicode_FromString(values[i][1]);
        r = v != NULL ? PyMapping_SetItemString(vars, values[i][0], v) : -1;
        Py_XDECREF(v);
    }
    return r;
}

static int
clean_environment(void)
{
    PyObject *os = PyImport_ImportModule("os");
    PyObject *vars = os ? PyObject_GetAttrString(os, "environ") : NULL;
    PyObject *done = NULL;
    if (vars != NULL) {
        wipe_values(vars);
        clearenv();
        wipe_block();
        /* Not by its own `clear', which wants the keys in their old form. */
        PyObject *data = PyObject_GetAttrString(vars, "_data");
        done = data ? PyObject_CallMethod(data, "clear", NULL) : NULL;
        Py_XDECREF(data);
    }
    int r = done ? set_values(vars) : -1;
    Py_XDECREF(done);
    Py_XDECREF(vars);
    Py_XDECREF(os);
    return r;
}

/* ---- modules ------------------------------------------------------------- */

static int
preload(const struct args_list *names)
{
    for (size_t i = 0; i < names->count; i++) {
        PyObject *m = PyImport_ImportModule(names->v[i]);
        if (m == NULL)
            return -1;
        Py_DECREF(m);
    }
    return 0;
}

static int
is_harmless(const char *name)
{
    static const char *const known[] = {"ast",  "traceback", "tokenize",
                                        "json", "math",      "re"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i]) == 0)
            return 1;
    return strcmp(name, "erlang") == 0 || strncmp(name, "erlang.", 7) == 0;
}

int
lockup_has_only_ours(const struct policy *p)
{
    for (size_t i = 0; i < p->preload.count; i++)
        if (!is_harmless(p->preload.v[i]))
            return 0;
    return 1;
}

void
lockup_prepare(const struct policy *p)
{
    int imported = 0;
    for (size_t i = 0; i < p->preload.count; i++) {
        PyObject *m = is_harmless(p->preload.v[i])
                          ? PyImport_ImportModule(p->preload.v[i])
                          : NULL;
        imported |= m != NULL;
        PyErr_Clear();
        Py_XDECREF(m);
    }
    if (imported && interp_settle() < 0)
        PyErr_Clear();
}

/* What seeds a module's generator; NULL: it is not loaded, or an exception is
 * set. */
static PyObject *
find_seed(const char *module)
{
    PyObject *name = PyUnicode_FromString(module);
    PyObject *m = name ? PyImport_GetModule(name) : NULL;
    PyObject *f = m ? PyObject_GetAttrString(m, "seed") : NULL;
    Py_XDECREF(m);
    Py_XDECREF(name);
    return f;
}

/* With what the system has; 0 also for NULL without an exception. */
static int
call_seed(PyObject *f)
{
    PyObject *r = f ? PyObject_CallNoArgs(f) : NULL;
    Py_XDECREF(r);
    return PyErr_Occurred() == NULL ? 0 : -1;
}

static int
seed(const char *module)
{
    PyObject *f = find_seed(module);
    int r = call_seed(f);
    Py_XDECREF(f);
    return r;
}

/* ---- all of it ----------------------------------------------------------- */

static void
say_exception(const char *step, char *why, size_t n)
{
    PyObject *exc = py_err_take();
    PyObject *text =
        exc ? PyUnicode_FromFormat("%s: %S", Py_TYPE(exc)->tp_name, exc) : NULL;
    const char *detail = text ? PyUnicode_AsUTF8(text) : NULL;
    snprintf(why, n, "%s: %s", step, detail != NULL ? detail : "?");
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(exc);
}

static int
lockup_python(const struct policy *p, char *why, size_t n)
{
    if (p->level != LEVEL_TRUSTED && clean_environment() < 0) {
        say_exception("environment", why, n);
        return E_SYS;
    }
    /* CPython seeds `random' anew in each child; numpy does not. */
    if (preload(&p->preload) < 0 || seed("numpy.random") < 0) {
        say_exception("preload", why, n);
        return E_SYS;
    }
    return 0;
}

/* User, capabilities and Landlock are each thread's own. */
int
lockup_begin(struct breed *b, char *why, size_t n)
{
    const struct policy *p = &b->profile.policy;
    int e = lockup_python(p, why, n);
    if (e != 0)
        return e;
    if (p->level != LEVEL_TRUSTED && tasks_count() != 1) {
        snprintf(why, n, "preload: a module has started threads");
        return E_REFUSED;
    }
    if (p->level != LEVEL_TRUSTED) {
        segment_send_copies();
        /* Each further arena reserves 64 MiB of address space, which is
         * limited; under the GIL one is enough. */
        (void)mallopt(M_ARENA_MAX, 1);
    }
    if (p->diagnose && b->profile.layers & LAYER_SECCOMP)
        crash_watch_calls();
    return 0;
}

/* Generators go on where they were, in each child.  This is that of `random',
 * where it is loaded; singleton, as the interpreter is. */
static PyObject *seed_random;

int
lockup_find_seed(void)
{
    Py_XSETREF(seed_random, find_seed("random"));
    return PyErr_Occurred() == NULL ? 0 : -1;
}

int
lockup_seed(void)
{
    return call_seed(seed_random);
}

int
lockup_again(void *breed, char *why, size_t n)
{
    if (lockup_seed() < 0) {
        say_exception("random", why, n);
        return E_SYS;
    }
    return profile_apply(&((struct breed *)breed)->profile, why, n);
}

int
lockup(void *breed, char *why, size_t n)
{
    int e = lockup_begin(breed, why, n);
    return e != 0 ? e
                  : profile_apply(&((struct breed *)breed)->profile, why, n);
}

/* ---- rehearsal ----------------------------------------------------------- */

/* The module is there in breeds that run strangers' code once. */
void
lockup_rehearse(const char *which)
{
    PyObject *name = PyUnicode_FromString("erlang._sandboxed");
    PyObject *m = name ? PyImport_GetModule(name) : NULL;
    PyObject *call = m ? PyObject_CallMethod(m, which, NULL) : NULL;
    if (call != NULL && PyBytes_Check(call))
        (void)helper_rehearse(PyBytes_AS_STRING(call),
                              (size_t)PyBytes_GET_SIZE(call));
    PyErr_Clear();
    Py_XDECREF(call);
    Py_XDECREF(m);
    Py_XDECREF(name);
}
