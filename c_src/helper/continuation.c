/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"
#include <structmember.h>

#include "continuation.h"

#include <stddef.h>
#include <string.h>

#include "callback.h"
#include "names.h"

static const char *const kinds[] = {[CONTINUE_ERLANG] = "erlang",
                                    [CONTINUE_PYTHON] = "python",
                                    [CONTINUE_INLINE] = "inline"};

/* ---- making one ---------------------------------------------------------- */

static int
kind_of(const char *name, enum continuation_kind *kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i], name) == 0) {
            *kind = (enum continuation_kind)i;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError, "no kind of continuation: %s", name);
    return -1;
}

static PyObject *
arguments(PyObject *args)
{
    if (args == Py_None)
        return PyTuple_New(0);
    if (PyList_Check(args) || PyTuple_Check(args))
        return PySequence_Tuple(args);
    PyErr_Format(PyExc_TypeError,
                 "arguments must be a list or a tuple, not %.100s",
                 Py_TYPE(args)->tp_name);
    return NULL;
}

/* Its own copy, so that nobody changes it before it is used. */
static PyObject *
keywords(PyObject *kwargs)
{
    if (kwargs == Py_None)
        return PyDict_New();
    PyObject *plain = names_keywords(kwargs);
    PyObject *copy = plain ? PyDict_Copy(plain) : NULL;
    Py_XDECREF(plain);
    return copy;
}

/* (kind, module, name, args, kwargs, globals); None: none. */
static PyObject *
continuation_tp_new(PyTypeObject *type, PyObject *given, PyObject *none)
{
    const char *kind_name;
    enum continuation_kind kind;
    PyObject *module, *name, *args, *kwargs, *globals;
    if (none != NULL && PyDict_GET_SIZE(none) > 0) {
        PyErr_SetString(PyExc_TypeError, "Continuation takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(given, "sOOOOO:Continuation", &kind_name, &module,
                          &name, &args, &kwargs, &globals) ||
        kind_of(kind_name, &kind) < 0)
        return NULL;
    struct continuation *c = (struct continuation *)type->tp_alloc(type, 0);
    if (c == NULL)
        return NULL;
    c->kind = kind;
    c->globals = PyDict_Check(globals) ? Py_NewRef(globals) : NULL;
    if ((kind != CONTINUE_ERLANG &&
         (c->module = names_text(module, "module")) == NULL) ||
        (c->name = names_text(name, "function name")) == NULL ||
        (c->args = arguments(args)) == NULL ||
        (c->kwargs = keywords(kwargs)) == NULL)
        Py_CLEAR(c);
    return (PyObject *)c;
}

/* ---- running it ---------------------------------------------------------- */

static PyObject *
no_name(const struct continuation *c, PyObject *name)
{
    PyErr_Format(PyExc_AttributeError, "module %R has no attribute %R",
                 c->module, name);
    return NULL;
}

/* A name in the namespace of the function that asked, which has no module that
 * could be imported. */
static PyObject *
function_in(const struct continuation *c)
{
    PyObject *dot = PyUnicode_FromString(".");
    PyObject *parts = dot ? PyUnicode_Split(c->name, dot, -1) : NULL;
    PyObject *f = NULL;
    if (parts != NULL) {
        PyObject *first = PyList_GET_ITEM(parts, 0);
        f = Py_XNewRef(PyDict_GetItemWithError(c->globals, first));
        if (f == NULL && !PyErr_Occurred())
            no_name(c, first);
    }
    for (Py_ssize_t i = 1; f != NULL && i < PyList_GET_SIZE(parts); i++)
        Py_SETREF(f, PyObject_GetAttr(f, PyList_GET_ITEM(parts, i)));
    Py_XDECREF(parts);
    Py_XDECREF(dot);
    return f;
}

PyObject *
continuation_step(const struct continuation *c)
{
    if (c->kind == CONTINUE_ERLANG)
        return callback_call(c->name, c->args, c->kwargs);
    PyObject *f = c->globals != NULL ? function_in(c)
                                     : names_function(c->module, c->name);
    PyObject *r = f ? PyObject_Call(f, c->args, c->kwargs) : NULL;
    Py_XDECREF(f);
    return r;
}

/* All steps, here and now. */
static PyObject *
continuation_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) > 0 || (kwargs && PyDict_GET_SIZE(kwargs) > 0)) {
        PyErr_SetString(PyExc_TypeError, "a continuation takes no arguments");
        return NULL;
    }
    PyObject *v = Py_NewRef(self);
    while (v != NULL && continuation_check(v)) {
        PyObject *next =
            PyErr_CheckSignals() < 0
                ? NULL
                : continuation_step((const struct continuation *)v);
        Py_SETREF(v, next);
    }
    return v;
}

static PyObject *
continuation_one(PyObject *self, PyObject *none)
{
    (void)none;
    return continuation_step((const struct continuation *)self);
}

/* ---- the type ------------------------------------------------------------ */

static int
continuation_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct continuation *c = (struct continuation *)self;
    Py_VISIT(c->module);
    Py_VISIT(c->name);
    Py_VISIT(c->args);
    Py_VISIT(c->kwargs);
    Py_VISIT(c->globals);
    return 0;
}

/* Cycles go through the arguments or the namespace, and the names stay: whoever
 * still has it after that can only look at them, or be told of no name. */
static int
continuation_clear(PyObject *self)
{
    struct continuation *c = (struct continuation *)self;
    PyDict_Clear(c->kwargs);
    Py_CLEAR(c->globals);
    return 0;
}

static void
continuation_dealloc(PyObject *self)
{
    struct continuation *c = (struct continuation *)self;
    PyObject_GC_UnTrack(self);
    Py_XDECREF(c->module);
    Py_XDECREF(c->name);
    Py_XDECREF(c->args);
    Py_XDECREF(c->kwargs);
    Py_XDECREF(c->globals);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *
continuation_repr(PyObject *self)
{
    struct continuation *c = (struct continuation *)self;
    if (c->module == NULL)
        return PyUnicode_FromFormat("<continue with Erlang function %U>",
                                    c->name);
    return PyUnicode_FromFormat("<continue with %U.%U>", c->module, c->name);
}

static PyObject *
continuation_kind(PyObject *self, void *closure)
{
    (void)closure;
    return PyUnicode_FromString(kinds[((struct continuation *)self)->kind]);
}

#define MEMBER(field, doc)                                                     \
    {                                                                          \
#field, T_OBJECT, offsetof(struct continuation, field), READONLY, doc  \
    }

static PyMemberDef members[] = {
    MEMBER(module, "The module of the function, or None."),
    MEMBER(name, "The name of the function."),
    MEMBER(args, "Its arguments, a tuple."),
    {NULL, 0, 0, 0, NULL},
};

static PyObject *
continuation_kwargs(PyObject *self, void *closure)
{
    (void)closure;
    return PyDict_Copy(((struct continuation *)self)->kwargs);
}

static PyGetSetDef getset[] = {
    {"kind", continuation_kind, NULL, "'erlang', 'python' or 'inline'.", NULL},
    {"kwargs", continuation_kwargs, NULL, "Its keyword arguments.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"_step", continuation_one, METH_NOARGS,
     PyDoc_STR("_step()\n--\n\nThis one call and none after it.")},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(doc, "What is to be called next: returned by a function, it is "
                  "called, and its value\nis the result.  Calling it does that "
                  "at once.");

PyTypeObject Continuation_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "erlang.Continuation",
    .tp_basicsize = sizeof(struct continuation),
    .tp_doc = doc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = continuation_tp_new,
    .tp_dealloc = continuation_dealloc,
    .tp_traverse = continuation_traverse,
    .tp_clear = continuation_clear,
    .tp_repr = continuation_repr,
    .tp_call = continuation_call,
    .tp_members = members,
    .tp_getset = getset,
    .tp_methods = methods,
};
