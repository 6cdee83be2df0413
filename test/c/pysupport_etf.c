/* SPDX-License-Identifier: Apache-2.0 */
#include "pysupport_etf.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "etf_encode.h"

#define GOLDEN_DIR "test/data/etf"

/* ---- golden terms -------------------------------------------------------- */

/* The file's bytes and a NUL; NULL if there is none. */
static char *
read_file(const char *name, const char *extension, size_t *len)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s%s", GOLDEN_DIR, name, extension);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *p = malloc(*len + 1);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(fread(p, 1, *len, f), *len);
    p[*len] = '\0';
    fclose(f);
    return p;
}

/* A text file without its last newline. */
static char *
read_text(const char *name, const char *extension)
{
    size_t n;
    char *p = read_file(name, extension, &n);
    if (p != NULL && n > 0 && p[n - 1] == '\n')
        p[n - 1] = '\0';
    return p;
}

static void
one_golden(const char *name, void (*each)(const struct golden *g))
{
    struct golden g = {.etf = NULL};
    snprintf(g.name, sizeof g.name, "%s", name);
    g.etf = read_file(name, ".etf", &g.etf_len);
    g.back = read_file(name, ".back", &g.back_len);
    g.repr = read_text(name, ".repr");
    g.error = read_text(name, ".error");
    ck_assert_msg(g.etf != NULL && (g.repr != NULL) != (g.error != NULL),
                  "%s is incomplete", name);
    each(&g);
    ck_assert_msg(!PyErr_Occurred(), "%s left an exception", name);
    free(g.etf);
    free(g.back);
    free(g.repr);
    free(g.error);
}

static int
is_term(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 4 && strcmp(d->d_name + n - 4, ".etf") == 0;
}

void
each_golden(const char *prefix, int least, void (*each)(const struct golden *g))
{
    struct dirent **names;
    int n = scandir(GOLDEN_DIR, &names, is_term, alphasort), seen = 0;
    ck_assert_msg(n > 0, "no golden terms: run in the repository's root");
    for (int i = 0; i < n; i++) {
        names[i]->d_name[strlen(names[i]->d_name) - 4] = '\0';
        if (strncmp(names[i]->d_name, prefix, strlen(prefix)) == 0) {
            one_golden(names[i]->d_name, each);
            seen++;
        }
        free(names[i]);
    }
    free(names);
    ck_assert_int_ge(seen, least);
}

/* ---- expressions --------------------------------------------------------- */

PyObject *
eval_erlang(const char *expression)
{
    PyObject *module = PyImport_ImportModule("_erlang");
    ck_assert_ptr_nonnull(module);
    PyObject *globals = PyDict_Copy(PyModule_GetDict(module));
    ck_assert_ptr_nonnull(globals);
    PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins());
    PyObject *o = PyRun_String(expression, Py_eval_input, globals, globals);
    if (o == NULL)
        PyErr_Print();
    ck_assert_msg(o != NULL, "%s raised", expression);
    Py_DECREF(globals);
    Py_DECREF(module);
    return o;
}

void
encode_expression(const char *expression, struct buf *out)
{
    PyObject *o = eval_erlang(expression);
    int r = etf_encode(o, out, NULL);
    if (r < 0)
        PyErr_Print();
    ck_assert_msg(r == 0, "%s was not encoded", expression);
    Py_DECREF(o);
}

char *
repr_of(PyObject *o)
{
    PyObject *repr = PyObject_Repr(o);
    ck_assert_ptr_nonnull(repr);
    const char *text = PyUnicode_AsUTF8(repr);
    ck_assert_ptr_nonnull(text);
    char *copy = strdup(text);
    Py_DECREF(repr);
    return copy;
}

void
expect_error(PyObject *type, const char *text)
{
    ck_assert_ptr_nonnull(PyErr_Occurred());
    PyObject *e = py_err_take();
    PyObject *str = PyObject_Str(e);
    ck_assert_ptr_nonnull(str);
    PyObject *part = PyUnicode_FromString(text); /* str may hold NULs */
    const char *got = PyUnicode_AsUTF8(str);
    ck_assert_msg(PyObject_IsInstance(e, type) == 1, "%s: %s",
                  Py_TYPE(e)->tp_name, got);
    ck_assert_msg(PyUnicode_Contains(str, part) == 1, "not \"%s\" in \"%s\"",
                  text, got);
    Py_DECREF(part);
    Py_DECREF(str);
    Py_DECREF(e);
}

/* ---- the watched allocator ------------------------------------------------
 */

static const PyMemAllocatorDomain domains[2] = {PYMEM_DOMAIN_MEM,
                                                PYMEM_DOMAIN_OBJ};
static PyMemAllocatorEx old[2];
static struct watched watched;
static long fail_on;

static int
allowed(size_t n)
{
    watched.bytes += n;
    if (++watched.calls != fail_on)
        return 1;
    watched.failed++;
    return 0;
}

static void *
watched_malloc(void *ctx, size_t n)
{
    PyMemAllocatorEx *a = ctx;
    void *p = allowed(n) ? a->malloc(a->ctx, n) : NULL;
    watched.live += p != NULL;
    return p;
}

static void *
watched_calloc(void *ctx, size_t n, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    void *p = allowed(n * size) ? a->calloc(a->ctx, n, size) : NULL;
    watched.live += p != NULL;
    return p;
}

static void *
watched_realloc(void *ctx, void *from, size_t n)
{
    PyMemAllocatorEx *a = ctx;
    void *p = allowed(n) ? a->realloc(a->ctx, from, n) : NULL;
    watched.live += from == NULL && p != NULL;
    return p;
}

static void
watched_free(void *ctx, void *p)
{
    PyMemAllocatorEx *a = ctx;
    watched.live -= p != NULL;
    a->free(a->ctx, p);
}

void
watch_start(long fail_at)
{
    memset(&watched, 0, sizeof watched);
    fail_on = fail_at;
    for (int i = 0; i < 2; i++) {
        PyMem_GetAllocator(domains[i], &old[i]);
        PyMemAllocatorEx a = {.ctx = &old[i],
                              .malloc = watched_malloc,
                              .calloc = watched_calloc,
                              .realloc = watched_realloc,
                              .free = watched_free};
        PyMem_SetAllocator(domains[i], &a);
    }
}

struct watched
watch_stop(void)
{
    for (int i = 0; i < 2; i++)
        PyMem_SetAllocator(domains[i], &old[i]);
    return watched;
}
