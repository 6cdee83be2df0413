/* SPDX-License-Identifier: Apache-2.0 */
#include "exec.h"

#include "crash.h"
#include "names.h"
#include "namespace.h"

/* The VM builds these bodies, so a wrong shape is a mistake of ours; it is
 * still only an error for the one who asked. */
static int
shape(PyObject *body, Py_ssize_t n)
{
    if (PyTuple_Check(body) && PyTuple_GET_SIZE(body) == n)
        return 0;
    PyErr_Format(PyExc_ValueError,
                 "the request's body is not a tuple of %zd elements", n);
    return -1;
}

/* A body of n elements may have one more, the number of a namespace. */
static int
has_namespace(PyObject *body, Py_ssize_t n)
{
    return PyTuple_Check(body) && PyTuple_GET_SIZE(body) == n + 1;
}

/* The globals for this body; borrowed. */
static PyObject *
globals_for(struct context *c, PyObject *body, Py_ssize_t n)
{
    if (has_namespace(body, n)) {
        PyObject *m = namespace_module(c->others, PyTuple_GET_ITEM(body, n));
        return m ? PyModule_GetDict(m) : NULL;
    }
    return shape(body, n) == 0 ? c->namespace : NULL;
}

/* The items of a list and the values of a dict, borrowed, one after the other;
 * the names of those in *names.  0, or -1. */
static int
put_together(PyObject *args, PyObject *keywords, PyObject **v, PyObject *names)
{
    Py_ssize_t n = PyList_GET_SIZE(args), at = 0;
    PyObject *key, *value;
    for (Py_ssize_t i = 0; i < n; i++)
        v[i] = PyList_GET_ITEM(args, i);
    for (Py_ssize_t i = 0; PyDict_Next(keywords, &at, &key, &value); i++) {
        PyObject *name = names_text(key, "name");
        if (name == NULL)
            return -1;
        PyTuple_SET_ITEM(names, i, name);
        v[n + i] = value;
    }
    return 0;
}

static PyObject *
call_keywords(PyObject *f, PyObject *args, PyObject *keywords)
{
    enum { FEW = 16 };
    PyObject *few[FEW], **v = few, *r = NULL;
    size_t n = (size_t)PyList_GET_SIZE(args);
    size_t all = n + (size_t)PyDict_GET_SIZE(keywords);
    PyObject *names = PyTuple_New(PyDict_GET_SIZE(keywords));
    if (names == NULL)
        return NULL;
    if (all > FEW && (v = PyMem_New(PyObject *, all)) == NULL)
        PyErr_NoMemory();
    else if (put_together(args, keywords, v, names) == 0)
        r = PyObject_Vectorcall(f, v, n, names);
    if (v != few)
        PyMem_Free(v);
    Py_DECREF(names);
    return r;
}

static PyObject *
call_with(PyObject *f, PyObject *args, PyObject *keywords)
{
    if (!PyDict_Check(keywords))
        return names_keywords(keywords); /* says so */
    if (PyDict_GET_SIZE(keywords) > 0)
        return call_keywords(f, args, keywords);
    return PyObject_Vectorcall(f, PySequence_Fast_ITEMS(args),
                               (size_t)PyList_GET_SIZE(args), NULL);
}

static int
is_list(PyObject *args)
{
    if (PyList_Check(args))
        return 1;
    PyErr_Format(PyExc_TypeError, "arguments must be a list, not %.100s",
                 Py_TYPE(args)->tp_name);
    return 0;
}

/* A namespace of its own is told for names in __main__ only. */
static PyObject *
find_function(struct context *c, PyObject *body)
{
    PyObject *function = PyTuple_GET_ITEM(body, 1);
    if (!has_namespace(body, 4))
        return names_function(PyTuple_GET_ITEM(body, 0), function);
    PyObject *m = namespace_module(c->others, PyTuple_GET_ITEM(body, 4));
    return m ? names_function_of(m, function) : NULL;
}

PyObject *
exec_call(struct context *c, PyObject *body)
{
    if ((!has_namespace(body, 4) && shape(body, 4) < 0) ||
        !is_list(PyTuple_GET_ITEM(body, 2)))
        return NULL;
    PyObject *module = PyTuple_GET_ITEM(body, 0);
    PyObject *function = PyTuple_GET_ITEM(body, 1);
    PyObject *args = PyTuple_GET_ITEM(body, 2);
    crash_what_call(module, function, PyList_GET_SIZE(args));
    PyObject *f = find_function(c, body);
    PyObject *r = f ? call_with(f, args, PyTuple_GET_ITEM(body, 3)) : NULL;
    Py_XDECREF(f);
    return r;
}

/* ---- eval, exec ---------------------------------------------------------- */

/* As eval() does it, without leading blanks; new reference. */
static PyObject *
expression_text(PyObject *code)
{
    PyObject *text = names_text(code, "code");
    if (text == NULL)
        return NULL;
    Py_ssize_t n = PyUnicode_GET_LENGTH(text), at = 0;
    while (at < n && (PyUnicode_READ_CHAR(text, at) == ' ' ||
                      PyUnicode_READ_CHAR(text, at) == '\t'))
        at++;
    if (at == 0)
        return text;
    PyObject *rest = PyUnicode_Substring(text, at, n);
    Py_DECREF(text);
    return rest;
}

/* Names that no expression can refer to by a parameter. */
static int
is_parameter(PyObject *name)
{
    static const char *const never[] = {"None", "True", "False", "__debug__"};
    Py_UCS4 first =
        PyUnicode_GET_LENGTH(name) > 0 ? PyUnicode_READ_CHAR(name, 0) : 0;
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        if (first != (Py_UCS4)never[i][0])
            continue;
        if (PyUnicode_CompareWithASCIIString(name, never[i]) == 0)
            return 0;
    }
    return PyUnicode_IsIdentifier(name);
}

/* Split the locals that can be referred to into names and values. */
static int
split_locals(PyObject *locals, PyObject **names, PyObject **values)
{
    PyObject *n = PyList_New(0), *v = PyList_New(0);
    Py_ssize_t at = 0;
    PyObject *name, *value;
    if (n == NULL || v == NULL)
        goto fail;
    while (PyDict_Next(locals, &at, &name, &value)) {
        if (!is_parameter(name))
            continue;
        if (PyList_Append(n, name) < 0 || PyList_Append(v, value) < 0)
            goto fail;
    }
    *names = PyList_AsTuple(n);
    if (*names == NULL)
        goto fail;
    Py_DECREF(n);
    *values = v;
    return 0;
fail:
    Py_XDECREF(n);
    Py_XDECREF(v);
    return -1;
}

static PyObject *
eval_with(struct context *c, PyObject *text, PyObject *locals,
          PyObject *globals)
{
    PyObject *names, *values, *r = NULL;
    if (split_locals(locals, &names, &values) < 0)
        return NULL;
    PyObject *f = code_get_function(&c->eval, text, names, globals);
    if (f != NULL)
        r = PyObject_Vectorcall(f, PySequence_Fast_ITEMS(values),
                                (size_t)PyList_GET_SIZE(values), NULL);
    Py_XDECREF(f);
    Py_DECREF(names);
    Py_DECREF(values);
    return r;
}

static PyObject *
run_code(struct code_cache *cache, PyObject *text, PyObject *globals)
{
    PyObject *code = code_get(cache, text);
    PyObject *r = code ? PyEval_EvalCode(code, globals, globals) : NULL;
    Py_XDECREF(code);
    return r;
}

PyObject *
exec_eval(struct context *c, PyObject *body)
{
    PyObject *r = NULL, *globals = globals_for(c, body, 2);
    if (globals == NULL)
        return NULL;
    PyObject *text = expression_text(PyTuple_GET_ITEM(body, 0));
    PyObject *locals = text ? names_keywords(PyTuple_GET_ITEM(body, 1)) : NULL;
    if (locals == NULL)
        goto out;
    crash_what_text(text);
    if (PyDict_GET_SIZE(locals) == 0)
        r = run_code(&c->eval, text, globals);
    else
        r = eval_with(c, text, locals, globals);
out:
    Py_XDECREF(text);
    Py_XDECREF(locals);
    return r;
}

PyObject *
exec_exec(struct context *c, PyObject *body)
{
    PyObject *globals = globals_for(c, body, 1);
    PyObject *text =
        globals ? names_text(PyTuple_GET_ITEM(body, 0), "code") : NULL;
    if (text == NULL)
        return NULL;
    crash_what_text(text);
    PyObject *r = run_code(&c->exec, text, globals);
    Py_DECREF(text);
    return r;
}

/* ---- object references --------------------------------------------------- */

static uint64_t
number_of(PyObject *ref)
{
    uint64_t v = PyLong_Check(ref) ? PyLong_AsUnsignedLongLongMask(ref) : 0;
    PyErr_Clear();
    return v;
}

PyObject *
exec_method(struct context *c, PyObject *body)
{
    if (shape(body, 4) < 0 || !is_list(PyTuple_GET_ITEM(body, 2)))
        return NULL;
    PyObject *ref = PyTuple_GET_ITEM(body, 0);
    PyObject *name = PyTuple_GET_ITEM(body, 1);
    PyObject *args = PyTuple_GET_ITEM(body, 2);
    crash_what_method(number_of(ref), name, PyList_GET_SIZE(args));
    PyObject *o = objref_get(&c->refs, ref);
    PyObject *f = o ? names_attribute(o, name) : NULL;
    PyObject *r = f ? call_with(f, args, PyTuple_GET_ITEM(body, 3)) : NULL;
    Py_XDECREF(f);
    Py_XDECREF(o);
    return r;
}

PyObject *
exec_getattr(struct context *c, PyObject *body)
{
    if (shape(body, 2) < 0)
        return NULL;
    PyObject *ref = PyTuple_GET_ITEM(body, 0);
    PyObject *name = PyTuple_GET_ITEM(body, 1);
    crash_what_method(number_of(ref), name, 0);
    PyObject *o = objref_get(&c->refs, ref);
    PyObject *v = o ? names_attribute(o, name) : NULL;
    Py_XDECREF(o);
    return v;
}

PyObject *
exec_to_term(struct context *c, PyObject *body)
{
    if (shape(body, 1) < 0)
        return NULL;
    return objref_get(&c->refs, PyTuple_GET_ITEM(body, 0));
}

void
exec_release(struct context *c, PyObject *body)
{
    if (shape(body, 1) < 0) {
        PyErr_Clear();
        return;
    }
    PyObject *refs = PyTuple_GET_ITEM(body, 0);
    if (!PyList_Check(refs))
        objref_release(&c->refs, refs);
    for (Py_ssize_t i = 0; PyList_Check(refs) && i < PyList_GET_SIZE(refs); i++)
        objref_release(&c->refs, PyList_GET_ITEM(refs, i));
}

void
exec_forget(struct context *c, PyObject *body)
{
    if (shape(body, 1) < 0)
        PyErr_Clear();
    else
        namespace_forget(c->others, PyTuple_GET_ITEM(body, 0));
}
