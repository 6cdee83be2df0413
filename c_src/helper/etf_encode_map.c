/* SPDX-License-Identifier: Apache-2.0 */
/* etf_encode_map.c - dicts, mappings and dataclass instances as maps.
 *
 * Two keys that differ in Python can be one in Erlang ('a' and b'a', None and
 * Atom('none')).  Such a term would be refused at the far end, so it is an
 * error here.  Where the kinds of the keys rule it out, as they mostly do,
 * nothing is compared; else the keys' encodings are sorted and neighbours
 * compared. */
#include "py.h"
#include "etf_enc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "erltypes.h"

/* Where the pairs come from: a dict, or a list of 2-tuples. */
struct pairs {
    PyObject *dict;
    PyObject *list;
    int names; /* the keys are attribute names */
    Py_ssize_t count;
    Py_ssize_t pos;
};

/* The encoding of one key. */
struct slice {
    size_t at;
    size_t len;
    Py_ssize_t index;
};

/* ---- iteration ----------------------------------------------------------- */

/* 1: new references in *k and *v; 0: no more; -1. */
static int
next_pair(struct enc *e, struct pairs *p, PyObject **k, PyObject **v)
{
    if (p->dict != NULL) {
        if (PyDict_GET_SIZE(p->dict) != p->count)
            return enc_fail(e, "a dict changed while it was encoded");
        if (!PyDict_Next(p->dict, &p->pos, k, v))
            return 0;
    } else {
        if (p->pos >= p->count)
            return 0;
        PyObject *item = PyList_GET_ITEM(p->list, p->pos++);
        if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2)
            return enc_fail(e, "a mapping's items are not pairs");
        *k = PyTuple_GET_ITEM(item, 0);
        *v = PyTuple_GET_ITEM(item, 1);
    }
    Py_INCREF(*k);
    Py_INCREF(*v);
    return 1;
}

/* ---- equal keys ---------------------------------------------------------- */

enum kind { TEXT = 1, BYTES = 2, ATOM = 4, WORD = 8, NUMBER = 16, OTHER = 32 };

static enum kind
kind_of(PyObject *k)
{
    PyTypeObject *t = Py_TYPE(k);
    if (t == &PyUnicode_Type)
        return TEXT;
    if (t == &PyLong_Type)
        return NUMBER;
    if (t == &Atom_Type)
        return ATOM;
    if (t == &PyBytes_Type)
        return BYTES;
    if (k == Py_None || PyBool_Check(k))
        return WORD;
    if (t == &PyFloat_Type && isfinite(PyFloat_AS_DOUBLE(k)))
        return NUMBER;
    return OTHER;
}

/* Of all keys.  Nothing that is called here can change a dict. */
static int
kinds_of(struct enc *e, struct pairs p, unsigned *kinds)
{
    PyObject *k, *v;
    int r = 0;
    if (p.dict != NULL) {
        while (PyDict_Next(p.dict, &p.pos, &k, &v))
            *kinds |= kind_of(k);
        return 0;
    }
    while ((r = next_pair(e, &p, &k, &v)) > 0) {
        *kinds |= kind_of(k);
        Py_DECREF(k);
        Py_DECREF(v);
    }
    return r;
}

/* Could two of these keys be one?  1, 0, or -1. */
static int
may_clash(struct enc *e, const struct pairs *p)
{
    unsigned kinds = 0;
    if (p->count < 2)
        return 0;
    if (kinds_of(e, *p, &kinds) < 0)
        return -1;
    return (kinds & OTHER) != 0 || (kinds & (TEXT | BYTES)) == (TEXT | BYTES) ||
           (kinds & (ATOM | WORD)) == (ATOM | WORD);
}

static int
compare(const void *a, const void *b, void *data)
{
    const struct slice *x = a, *y = b;
    const uint8_t *bytes = data;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return memcmp(bytes + x->at, bytes + y->at, x->len);
}

static int
find_clash(struct enc *e, struct slice *keys, Py_ssize_t n)
{
    uint8_t *data = e->out->data;
    qsort_r(keys, (size_t)n, sizeof *keys, compare, data);
    for (Py_ssize_t i = 1; i < n; i++) {
        if (compare(&keys[i - 1], &keys[i], data) == 0)
            return enc_fail(e,
                            "cannot encode keys %zd and %zd of a map: they "
                            "are the same Erlang term",
                            keys[i - 1].index, keys[i].index);
    }
    return 0;
}

/* ---- encoding ------------------------------------------------------------ */

static int
put_pair(struct enc *e, const struct pairs *p, PyObject *k, PyObject *v,
         struct slice *key)
{
    size_t at = e->out->len;
    e->keys++;
    int r = enc_any(e, k);
    e->keys--;
    if (r < 0) {
        enc_at_nth_key(e, key->index);
        return -1;
    }
    key->at = at;
    key->len = e->out->len - at;
    if (enc_quick(e, v) || enc_any(e, v) == 0)
        return 0;
    if (p->names)
        enc_at_name(e, k);
    else
        enc_at_key(e, k);
    return -1;
}

/* keys: as many as there are pairs, or NULL where nobody asks. */
static int
put_pairs(struct enc *e, struct pairs *p, struct slice *keys)
{
    PyObject *k, *v;
    Py_ssize_t i = 0;
    int r;
    while ((r = next_pair(e, p, &k, &v)) > 0) {
        struct slice key = {.index = i};
        r = i < p->count ? put_pair(e, p, k, v, &key)
                         : enc_fail(e, "a dict changed while it was encoded");
        Py_DECREF(k);
        Py_DECREF(v);
        if (r < 0)
            return -1;
        if (keys != NULL)
            keys[i] = key;
        i++;
    }
    if (r == 0 && i != p->count)
        r = enc_fail(e, "a dict changed while it was encoded");
    return r;
}

static int
put_map(struct enc *e, PyObject *o, struct pairs *p)
{
    struct enc_open self;
    struct slice *keys = NULL;
    if (enc_enter(e, o, &self) < 0)
        return -1;
    int r = may_clash(e, p);
    if (r > 0) {
        keys = PyMem_New(struct slice, p->count);
        if (keys == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    if (r >= 0)
        r = enc_count(e, ETF_MAP, p->count);
    if (r == 0)
        r = put_pairs(e, p, keys);
    if (r == 0 && keys != NULL)
        r = find_clash(e, keys, p->count);
    PyMem_Free(keys);
    if (r == 0)
        enc_leave(e, &self);
    return r;
}

int
enc_dict(struct enc *e, PyObject *o)
{
    PyObject *dict =
        Py_TYPE(o) == &FrozenMap_Type ? ((struct frozen_map *)o)->dict : o;
    struct pairs p = {.dict = dict, .count = PyDict_GET_SIZE(dict)};
    return put_map(e, o, &p);
}

int
enc_mapping(struct enc *e, PyObject *o)
{
    PyObject *items = PyMapping_Items(o);
    if (items == NULL)
        return -1;
    struct pairs p = {.list = items, .count = PyList_GET_SIZE(items)};
    int r = put_map(e, o, &p);
    Py_DECREF(items);
    return r;
}

/* ---- dataclasses --------------------------------------------------------- */

/* Append (name, value) for one field; 0, or -1. */
static int
add_field(PyObject *o, PyObject *field, PyObject *list)
{
    PyObject *name = PyObject_GetAttrString(field, "name");
    PyObject *value = name == NULL ? NULL : PyObject_GetAttr(o, name);
    PyObject *pair = value == NULL ? NULL : PyTuple_Pack(2, name, value);
    int r = pair == NULL ? -1 : PyList_Append(list, pair);
    Py_XDECREF(name);
    Py_XDECREF(value);
    Py_XDECREF(pair);
    return r;
}

/* New reference: the fields as a list of pairs. */
static PyObject *
field_pairs(PyObject *o)
{
    PyObject *module = PyImport_ImportModule("dataclasses");
    PyObject *fields =
        module == NULL ? NULL : PyObject_CallMethod(module, "fields", "O", o);
    PyObject *fast = fields == NULL ? NULL : PySequence_Tuple(fields);
    PyObject *list = fast == NULL ? NULL : PyList_New(0);
    for (Py_ssize_t i = 0; list != NULL && i < PyTuple_GET_SIZE(fast); i++) {
        if (add_field(o, PyTuple_GET_ITEM(fast, i), list) < 0)
            Py_CLEAR(list);
    }
    Py_XDECREF(module);
    Py_XDECREF(fields);
    Py_XDECREF(fast);
    return list;
}

int
enc_dataclass(struct enc *e, PyObject *o)
{
    PyObject *list = field_pairs(o);
    if (list == NULL)
        return -1;
    struct pairs p = {.list = list, .count = PyList_GET_SIZE(list), .names = 1};
    int r = put_map(e, o, &p);
    Py_DECREF(list);
    return r;
}
