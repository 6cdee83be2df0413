/* SPDX-License-Identifier: Apache-2.0 */
/* erltypes_list.c - FrozenList, a tuple that goes to Erlang as a list (what a
 * list becomes as the key of a dict), and ImproperList, a list whose tail is
 * not a list. */
#include "py.h"
#include "erltypes.h"

/* ---- FrozenList ---------------------------------------------------------- */

PyObject *
frozen_list_new(PyObject *items)
{
    return PyObject_CallOneArg((PyObject *)&FrozenList_Type, items);
}

static PyObject *
frozen_list_repr(PyObject *self)
{
    PyObject *list = PySequence_List(self);
    if (list == NULL)
        return NULL;
    PyObject *repr = PyUnicode_FromFormat("FrozenList(%R)", list);
    Py_DECREF(list);
    return repr;
}

/* (FrozenList, (items,)) */
static PyObject *
frozen_list_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *list = PySequence_List(self);
    return list == NULL ? NULL : Py_BuildValue("O(N)", Py_TYPE(self), list);
}

static PyMethodDef frozen_list_methods[] = {
    {"__reduce__", frozen_list_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(frozen_list_doc,
             "FrozenList(items=())\n--\n\n"
             "A tuple that is a list in Erlang; lists in the keys of maps "
             "arrive as such.");

PyTypeObject FrozenList_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "erlang.FrozenList",
    .tp_doc = frozen_list_doc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_repr = frozen_list_repr,
    .tp_methods = frozen_list_methods,
};

/* ---- ImproperList ---------------------------------------------------------
 */

PyObject *
improper_new(PyObject *items, PyObject *tail)
{
    struct improper *l = PyObject_GC_New(struct improper, &ImproperList_Type);
    if (l == NULL)
        return NULL;
    l->items = Py_NewRef(items);
    l->tail = Py_NewRef(tail);
    PyObject_GC_Track((PyObject *)l);
    return (PyObject *)l;
}

static PyObject *
improper_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"items", "tail", NULL};
    PyObject *arg, *tail;
    (void)type;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:ImproperList", names,
                                     &arg, &tail))
        return NULL;
    if (PyList_Check(tail) || Py_TYPE(tail) == &FrozenList_Type) {
        PyErr_SetString(PyExc_ValueError,
                        "the tail is a list: this is a proper list");
        return NULL;
    }
    PyObject *self = NULL;
    PyObject *items = PySequence_Tuple(arg);
    if (items != NULL && PyTuple_GET_SIZE(items) == 0)
        PyErr_SetString(PyExc_ValueError, "an improper list has an item");
    else if (items != NULL)
        self = improper_new(items, tail);
    Py_XDECREF(items);
    return self;
}

static int
improper_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((struct improper *)self)->items);
    Py_VISIT(((struct improper *)self)->tail);
    return 0;
}

static int
improper_clear(PyObject *self)
{
    Py_CLEAR(((struct improper *)self)->items);
    Py_CLEAR(((struct improper *)self)->tail);
    return 0;
}

static void
improper_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, improper_dealloc) improper_clear(self);
    Py_TYPE(self)->tp_free(self);
    Py_TRASHCAN_END
}

static PyObject *
improper_repr(PyObject *self)
{
    struct improper *l = (struct improper *)self;
    int r = Py_ReprEnter(self);
    if (r != 0)
        return r < 0 ? NULL : PyUnicode_FromString("ImproperList(...)");
    PyObject *repr = NULL;
    PyObject *items = PySequence_List(l->items);
    if (items != NULL)
        repr = PyUnicode_FromFormat("ImproperList(%R, %R)", items, l->tail);
    Py_XDECREF(items);
    Py_ReprLeave(self);
    return repr;
}

static Py_hash_t
improper_hash(PyObject *self)
{
    struct improper *l = (struct improper *)self;
    PyObject *parts = PyTuple_Pack(2, l->items, l->tail);
    if (parts == NULL)
        return -1;
    Py_hash_t h = PyObject_Hash(parts);
    Py_DECREF(parts);
    return h;
}

static PyObject *
improper_compare(PyObject *self, PyObject *other, int op)
{
    if (Py_TYPE(other) != &ImproperList_Type || (op != Py_EQ && op != Py_NE))
        Py_RETURN_NOTIMPLEMENTED;
    struct improper *a = (struct improper *)self;
    struct improper *b = (struct improper *)other;
    int equal = PyObject_RichCompareBool(a->items, b->items, Py_EQ);
    if (equal > 0)
        equal = PyObject_RichCompareBool(a->tail, b->tail, Py_EQ);
    return equal < 0 ? NULL : PyBool_FromLong(equal == (op == Py_EQ));
}

static PyObject *
improper_reduce(PyObject *self, PyObject *unused)
{
    struct improper *l = (struct improper *)self;
    (void)unused;
    return Py_BuildValue("O(OO)", Py_TYPE(self), l->items, l->tail);
}

static PyObject *
improper_get_items(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(((struct improper *)self)->items);
}

static PyObject *
improper_get_tail(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(((struct improper *)self)->tail);
}

static PyMethodDef improper_methods[] = {
    {"__reduce__", improper_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef improper_getset[] = {
    {"items", improper_get_items, NULL, "The items before the tail.", NULL},
    {"tail", improper_get_tail, NULL, "What follows them.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(improper_doc, "ImproperList(items, tail)\n--\n\n"
                           "[Item, ... | Tail] where the tail is no list.");

PyTypeObject ImproperList_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "erlang.ImproperList",
    .tp_basicsize = sizeof(struct improper),
    .tp_doc = improper_doc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = improper_tp_new,
    .tp_dealloc = improper_dealloc,
    .tp_traverse = improper_traverse,
    .tp_clear = improper_clear,
    .tp_free = PyObject_GC_Del,
    .tp_repr = improper_repr,
    .tp_hash = improper_hash,
    .tp_richcompare = improper_compare,
    .tp_methods = improper_methods,
    .tp_getset = improper_getset,
};
