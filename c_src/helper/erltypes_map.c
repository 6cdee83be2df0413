/* SPDX-License-Identifier: Apache-2.0 */
/* erltypes_map.c - FrozenMap: a Mapping that never changes and has a hash if
 * its values have one; what a map becomes as the key of a dict.  It is equal
 * to a dict with the same items. */
#include "py.h"
#include "erltypes.h"

static PyObject *
dict_of(PyObject *self)
{
    return ((struct frozen_map *)self)->dict;
}

PyObject *
frozen_map_new(PyObject *dict)
{
    struct frozen_map *m = PyObject_GC_New(struct frozen_map, &FrozenMap_Type);
    if (m == NULL) {
        Py_DECREF(dict);
        return NULL;
    }
    m->dict = dict;
    m->hash = -1;
    PyObject_GC_Track((PyObject *)m);
    return (PyObject *)m;
}

static PyObject *
map_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)type;
    PyObject *dict = PyObject_Call((PyObject *)&PyDict_Type, args, kwargs);
    return dict == NULL ? NULL : frozen_map_new(dict);
}

static int
map_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(dict_of(self));
    return 0;
}

static int
map_clear(PyObject *self)
{
    Py_CLEAR(((struct frozen_map *)self)->dict);
    return 0;
}

static void
map_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, map_dealloc) map_clear(self);
    Py_TYPE(self)->tp_free(self);
    Py_TRASHCAN_END
}

static PyObject *
map_repr(PyObject *self)
{
    int r = Py_ReprEnter(self);
    if (r != 0)
        return r < 0 ? NULL : PyUnicode_FromString("FrozenMap(...)");
    PyObject *repr = PyUnicode_FromFormat("FrozenMap(%R)", dict_of(self));
    Py_ReprLeave(self);
    return repr;
}

/* That of the set of its items: the order plays no part. */
static Py_hash_t
map_hash(PyObject *self)
{
    struct frozen_map *m = (struct frozen_map *)self;
    if (m->hash != -1)
        return m->hash;
    PyObject *items = PyDict_Items(m->dict);
    PyObject *set = items == NULL ? NULL : PyFrozenSet_New(items);
    if (set != NULL)
        m->hash = PyObject_Hash(set);
    Py_XDECREF(items);
    Py_XDECREF(set);
    return m->hash;
}

static PyObject *
map_compare(PyObject *self, PyObject *other, int op)
{
    if (op != Py_EQ && op != Py_NE)
        Py_RETURN_NOTIMPLEMENTED;
    if (Py_TYPE(other) == &FrozenMap_Type)
        other = dict_of(other);
    else if (!PyDict_Check(other))
        Py_RETURN_NOTIMPLEMENTED;
    return PyObject_RichCompare(dict_of(self), other, op);
}

static Py_ssize_t
map_length(PyObject *self)
{
    return PyDict_Size(dict_of(self));
}

static PyObject *
map_subscript(PyObject *self, PyObject *key)
{
    return PyObject_GetItem(dict_of(self), key);
}

static int
map_contains(PyObject *self, PyObject *key)
{
    return PyDict_Contains(dict_of(self), key);
}

static PyObject *
map_iter(PyObject *self)
{
    return PyObject_GetIter(dict_of(self));
}

static PyObject *
map_keys(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyObject_CallMethod(dict_of(self), "keys", NULL);
}

static PyObject *
map_values(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyObject_CallMethod(dict_of(self), "values", NULL);
}

static PyObject *
map_items(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyObject_CallMethod(dict_of(self), "items", NULL);
}

static PyObject *
map_get(PyObject *self, PyObject *args)
{
    PyObject *key, *fallback = Py_None;
    if (!PyArg_ParseTuple(args, "O|O:get", &key, &fallback))
        return NULL;
    PyObject *value = PyDict_GetItemWithError(dict_of(self), key);
    if (value == NULL && PyErr_Occurred())
        return NULL;
    return Py_NewRef(value != NULL ? value : fallback);
}

static PyObject *
map_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *copy = PyDict_Copy(dict_of(self));
    return copy == NULL
               ? NULL
               : Py_BuildValue("O(N)", (PyObject *)Py_TYPE(self), copy);
}

int
frozen_map_ready(void)
{
    PyObject *abc = PyImport_ImportModule("collections.abc");
    PyObject *mapping =
        abc == NULL ? NULL : PyObject_GetAttrString(abc, "Mapping");
    PyObject *done = NULL;
    if (mapping != NULL)
        done = PyObject_CallMethod(mapping, "register", "O",
                                   (PyObject *)&FrozenMap_Type);
    Py_XDECREF(abc);
    Py_XDECREF(mapping);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static PyMethodDef map_methods[] = {
    {"__reduce__", map_reduce, METH_NOARGS, NULL},
    {"keys", map_keys, METH_NOARGS, "A view of the keys."},
    {"values", map_values, METH_NOARGS, "A view of the values."},
    {"items", map_items, METH_NOARGS, "A view of the items."},
    {"get", map_get, METH_VARARGS, "The value of a key, or a default."},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods map_as_sequence = {.sq_contains = map_contains};
static PyMappingMethods map_as_mapping = {.mp_length = map_length,
                                          .mp_subscript = map_subscript};

PyDoc_STRVAR(map_doc, "FrozenMap(mapping_or_items=(), **items)\n--\n\n"
                      "A hashable mapping; maps in the keys of maps arrive "
                      "as such.");

PyTypeObject FrozenMap_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "erlang.FrozenMap",
    .tp_basicsize = sizeof(struct frozen_map),
    .tp_doc = map_doc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_MAPPING,
    .tp_new = map_tp_new,
    .tp_dealloc = map_dealloc,
    .tp_traverse = map_traverse,
    .tp_clear = map_clear,
    .tp_free = PyObject_GC_Del,
    .tp_repr = map_repr,
    .tp_hash = map_hash,
    .tp_richcompare = map_compare,
    .tp_iter = map_iter,
    .tp_methods = map_methods,
    .tp_as_sequence = &map_as_sequence,
    .tp_as_mapping = &map_as_mapping,
};
