/* SPDX-License-Identifier: Apache-2.0 */
#include "code.h"

#include <string.h>

enum {
    MAX_ENTRIES = 256,
    MAX_CHARS = 8 << 20,     /* of all texts held */
    MAX_ONE_CHARS = 1 << 20, /* longer ones are not held */
    FLAGS_ONLY_AST = 0x400   /* ast.PyCF_ONLY_AST */
};

int
code_cache_init(struct code_cache *c, const char *mode)
{
    memset(c, 0, sizeof *c);
    c->mode = mode;
    c->entries = PyDict_New();
    PyObject *m = PyImport_ImportModule("linecache");
    c->linecache = m ? PyObject_GetAttrString(m, "cache") : NULL;
    Py_XDECREF(m);
    if (c->linecache == NULL || !PyDict_Check(c->linecache))
        Py_CLEAR(c->linecache);
    PyErr_Clear(); /* tracebacks without source lines, then */
    return c->entries ? 0 : -1;
}

void
code_cache_fini(struct code_cache *c)
{
    Py_CLEAR(c->entries);
    Py_CLEAR(c->linecache);
}

/* ---- the cache ----------------------------------------------------------- */

static void
forget_oldest(struct code_cache *c)
{
    Py_ssize_t at = 0;
    PyObject *key, *entry;
    if (!PyDict_Next(c->entries, &at, &key, &entry))
        return;
    Py_INCREF(key);
    Py_INCREF(entry);
    c->chars -= PyLong_AsSsize_t(PyTuple_GET_ITEM(entry, 2));
    if (c->linecache != NULL &&
        PyDict_DelItem(c->linecache, PyTuple_GET_ITEM(entry, 1)) < 0)
        PyErr_Clear(); /* user code may have cleared linecache */
    if (PyDict_DelItem(c->entries, key) < 0)
        PyErr_Clear();
    Py_DECREF(key);
    Py_DECREF(entry);
}

/* linecache.cache[name] = (size, None, lines, name): without a time of
 * modification an entry is never compared with a file. */
static void
remember_lines(const struct code_cache *c, PyObject *text, PyObject *name)
{
    PyObject *lines = c->linecache ? PyUnicode_Splitlines(text, 1) : NULL;
    PyObject *entry = NULL;
    if (lines != NULL)
        entry = Py_BuildValue("nOOO", PyUnicode_GET_LENGTH(text), Py_None,
                              lines, name);
    if (entry == NULL || PyDict_SetItem(c->linecache, name, entry) < 0)
        PyErr_Clear();
    Py_XDECREF(lines);
    Py_XDECREF(entry);
}

static int
remember(struct code_cache *c, PyObject *key, PyObject *text, PyObject *name,
         PyObject *compiled)
{
    Py_ssize_t n = PyUnicode_GET_LENGTH(text);
    if (n > MAX_ONE_CHARS)
        return 0;
    PyObject *entry = Py_BuildValue("OOn", compiled, name, n);
    if (entry == NULL)
        return -1;
    int r = PyDict_SetItem(c->entries, key, entry);
    Py_DECREF(entry);
    if (r < 0)
        return -1;
    c->chars += n;
    remember_lines(c, text, name);
    while (c->chars > MAX_CHARS || PyDict_GET_SIZE(c->entries) > MAX_ENTRIES)
        forget_oldest(c);
    return 0;
}

/* New reference; NULL with or without an exception. */
static PyObject *
recall(struct code_cache *c, PyObject *key)
{
    PyObject *entry = PyDict_GetItemWithError(c->entries, key);
    if (entry == NULL)
        return NULL;
    PyObject *compiled = PyTuple_GET_ITEM(entry, 0);
    Py_INCREF(compiled);
    return compiled;
}

/* ---- the compiler -------------------------------------------------------- */

/* compile(source, name, mode, flags, dont_inherit=True) */
static PyObject *
compile_source(PyObject *source, PyObject *name, const char *mode, int flags)
{
    PyObject *m = PyImport_ImportModule("builtins");
    PyObject *r = NULL;
    if (m != NULL)
        r = PyObject_CallMethod(m, "compile", "OOsii", source, name, mode,
                                flags, 1);
    Py_XDECREF(m);
    return r;
}

/* A text that does not compile gives its name back: the compiler interns
 * names, and from 3.12 on those live for ever. */
static PyObject *
new_name(struct code_cache *c)
{
    return PyUnicode_FromFormat("<%s-%lu>", c->mode, ++c->serial);
}

PyObject *
code_get(struct code_cache *c, PyObject *text)
{
    PyObject *code = recall(c, text);
    if (code != NULL || PyErr_Occurred())
        return code;
    PyObject *name = new_name(c);
    if (name == NULL)
        return NULL;
    code = compile_source(text, name, c->mode, 0);
    if (code == NULL)
        c->serial--;
    else if (remember(c, text, text, name, code) < 0)
        Py_CLEAR(code);
    Py_DECREF(name);
    return code;
}

/* A node of the syntax tree, placed at the start of the text. */
static PyObject *
new_node(PyObject *ast, const char *class_name, PyObject *fields)
{
    PyObject *type = fields ? PyObject_GetAttrString(ast, class_name) : NULL;
    PyObject *none = PyTuple_New(0);
    PyObject *node = NULL;
    if (type != NULL && none != NULL)
        node = PyObject_Call(type, none, fields);
    Py_XDECREF(type);
    Py_XDECREF(none);
    Py_XDECREF(fields);
    return node;
}

#define PLACE "lineno", 1, "col_offset", 0, "end_lineno", 1, "end_col_offset", 0

/* The ast.arguments of a lambda with these parameters. */
static PyObject *
new_arguments(PyObject *ast, PyObject *names)
{
    Py_ssize_t n = PyTuple_GET_SIZE(names);
    PyObject *args = PyList_New(n);
    for (Py_ssize_t i = 0; args != NULL && i < n; i++) {
        PyObject *arg =
            new_node(ast, "arg",
                     Py_BuildValue("{sOsisisisi}", "arg",
                                   PyTuple_GET_ITEM(names, i), PLACE));
        if (arg == NULL)
            Py_CLEAR(args);
        else
            PyList_SET_ITEM(args, i, arg);
    }
    if (args == NULL)
        return NULL;
    return new_node(ast, "arguments",
                    Py_BuildValue("{s[]sNs[]s[]s[]}", "posonlyargs", "args",
                                  args, "kwonlyargs", "kw_defaults",
                                  "defaults"));
}

/* tree.body = lambda names: tree.body */
static int
wrap_body(PyObject *tree, PyObject *names)
{
    int r = -1;
    PyObject *lambda = NULL;
    PyObject *ast = PyImport_ImportModule("_ast");
    PyObject *body = PyObject_GetAttrString(tree, "body");
    PyObject *args = ast && body ? new_arguments(ast, names) : NULL;
    if (args != NULL)
        lambda = new_node(
            ast, "Lambda",
            Py_BuildValue("{sOsOsisisisi}", "args", args, "body", body, PLACE));
    if (lambda != NULL)
        r = PyObject_SetAttrString(tree, "body", lambda);
    Py_XDECREF(ast);
    Py_XDECREF(body);
    Py_XDECREF(args);
    Py_XDECREF(lambda);
    return r;
}

/* f.__code__.replace(co_name="<module>"): in a traceback it is not the user who
 * wrote a lambda. */
static PyObject *
renamed_code(PyObject *f)
{
    PyObject *renamed = NULL;
    PyObject *code = PyObject_GetAttrString(f, "__code__");
    PyObject *replace = code ? PyObject_GetAttrString(code, "replace") : NULL;
    PyObject *none = PyTuple_New(0);
    PyObject *kwargs = Py_BuildValue("{ss}", "co_name", "<module>");
    if (replace != NULL && none != NULL && kwargs != NULL)
        renamed = PyObject_Call(replace, none, kwargs);
    Py_XDECREF(code);
    Py_XDECREF(replace);
    Py_XDECREF(none);
    Py_XDECREF(kwargs);
    return renamed;
}

/* The code of `lambda names: text`. */
static PyObject *
compile_function(struct code_cache *c, PyObject *text, PyObject *name,
                 PyObject *names, PyObject *globals)
{
    PyObject *f = NULL, *code = NULL, *tree = NULL;
    /* As it stands first: `yield` would be fine in a lambda. */
    PyObject *plain = compile_source(text, name, c->mode, 0);
    if (plain == NULL)
        goto out;
    tree = compile_source(text, name, c->mode, FLAGS_ONLY_AST);
    if (tree == NULL || wrap_body(tree, names) < 0)
        goto out;
    code = compile_source(tree, name, c->mode, 0);
    if (code == NULL)
        goto out;
    f = PyEval_EvalCode(code, globals, globals);
    if (f != NULL)
        Py_SETREF(f, renamed_code(f));
out:
    Py_XDECREF(plain);
    Py_XDECREF(tree);
    Py_XDECREF(code);
    return f;
}

/* A function remembers the builtins of its birth, so it is made anew. */
PyObject *
code_get_function(struct code_cache *c, PyObject *text, PyObject *names,
                  PyObject *globals)
{
    PyObject *code = NULL, *name = NULL, *f = NULL;
    PyObject *key = PyTuple_Pack(2, text, names);
    if (key == NULL)
        return NULL;
    code = recall(c, key);
    if (code != NULL || PyErr_Occurred())
        goto out;
    name = new_name(c);
    if (name != NULL)
        code = compile_function(c, text, name, names, globals);
    if (name != NULL && code == NULL)
        c->serial--;
    else if (code != NULL && remember(c, key, text, name, code) < 0)
        Py_CLEAR(code);
out:
    if (code != NULL)
        f = PyFunction_New(code, globals);
    Py_DECREF(key);
    Py_XDECREF(name);
    Py_XDECREF(code);
    return f;
}
