/* SPDX-License-Identifier: Apache-2.0 */
/* etf_decode.c - see etf_decode.h.  One small function per tag; containers
 * recurse with a depth.
 *
 * Memory: `owed` is the number of terms that the open containers still wait
 * for.  Each takes at least a byte, so a container may open only if what is
 * left covers all that is owed with it; thus all counts together never exceed
 * the size of the input, however deep they are nested.
 *
 * Keys: inside the key of a map, lists and maps are made as their hashable
 * kinds at once (`frozen`). */
#include "py.h"
#include "etf_decode.h"

#include <math.h>
#include <string.h>

#include "erltypes.h"
#include "etf_dec.h"
#include "etf_inflate.h"
#include "etf_tags.h"
#include "objref.h"
#include "rd.h"
#include "segment.h"

enum { REF_PARTS = 5 }; /* of the tuple that is a reference to an object */

static PyObject *decode(struct dec *d);

/* One element of a container.  Where many are, they mostly are numbers, which
 * are made here if all of them is there; decode() says what is wrong. */
static inline PyObject *
decode_element(struct dec *d)
{
    enum { LONGEST = 9 };
    const uint8_t *p = d->rd.p;
    uint64_t bits;
    double v;
    if (rd_left(&d->rd) < LONGEST)
        return decode(d);
    switch (*p) {
    case ETF_SMALL_INTEGER:
        d->rd.p += 2;
        return PyLong_FromLong(p[1]);
    case ETF_INTEGER:
        d->rd.p += 5;
        return PyLong_FromLong((int32_t)get_be32(p + 1));
    case ETF_NEW_FLOAT:
        bits = get_be64(p + 1);
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            return decode(d);
        d->rd.p += 9;
        return PyFloat_FromDouble(v);
    default:
        return decode(d);
    }
}

/* ---- containers -----------------------------------------------------------
 */

/* Open a container of n more terms; 0, or -1. */
static int
enter(struct dec *d, uint64_t n)
{
    if (d->depth >= d->max_depth) {
        dec_fail(d, d->rd.p, err_str(E_DEPTH));
        return -1;
    }
    size_t left = rd_left(&d->rd) + (dec_has_part(d) ? d->part->length : 0);
    if (left < d->owed || n > left - d->owed) {
        dec_fail(d, d->rd.p, "more elements announced than bytes are left");
        return -1;
    }
    d->owed += n;
    d->depth++;
    return 0;
}

static PyObject *
finish_list(struct dec *d, PyObject *list)
{
    if (!d->frozen || list == NULL)
        return list;
    PyObject *frozen = frozen_list_new(list);
    Py_DECREF(list);
    return frozen;
}

/* The items before it and a tail that is not []. */
static PyObject *
join_tail(struct dec *d, PyObject *items, PyObject *tail)
{
    PyObject *result = NULL, *front = NULL;
    if (PyList_Check(tail) || Py_TYPE(tail) == &FrozenList_Type) {
        Py_ssize_t end = PyList_GET_SIZE(items);
        if (PyList_SetSlice(items, end, end, tail) == 0)
            result = finish_list(d, Py_NewRef(items));
    } else if (PyList_GET_SIZE(items) == 0) {
        result = Py_NewRef(tail);
    } else if (Py_TYPE(tail) == &ImproperList_Type) {
        struct improper *l = (struct improper *)tail;
        Py_ssize_t end = PyList_GET_SIZE(items);
        if (PyList_SetSlice(items, end, end, l->items) == 0)
            front = PyList_AsTuple(items);
        result = front == NULL ? NULL : improper_new(front, l->tail);
    } else {
        front = PyList_AsTuple(items);
        result = front == NULL ? NULL : improper_new(front, tail);
    }
    Py_XDECREF(front);
    Py_DECREF(items);
    return result;
}

static PyObject *
dec_list(struct dec *d)
{
    size_t n;
    if (dec_length(d, 4, &n) < 0 || enter(d, (uint64_t)n + 1) < 0)
        return NULL;
    PyObject *list = PyList_New((Py_ssize_t)n);
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        d->owed--;
        PyObject *o = decode_element(d);
        if (o == NULL)
            goto out;
        PyList_SET_ITEM(list, (Py_ssize_t)i, o);
    }
    d->owed--;
    if (rd_left(&d->rd) > 0 && *d->rd.p == ETF_NIL) {
        d->rd.p++;
        d->depth--;
        return finish_list(d, list);
    }
    PyObject *tail = decode(d);
    if (tail == NULL)
        goto out;
    d->depth--;
    PyObject *joined = join_tail(d, list, tail);
    Py_DECREF(tail);
    return joined;
out:
    Py_DECREF(list);
    return NULL;
}

/* {bytes, Binary} is how Erlang asks for bytes. */
static int
bytes_pair(struct dec *d, size_t n)
{
    static const uint8_t name[] = {
        ETF_SMALL_ATOM_UTF8, 5, 'b', 'y', 't', 'e', 's'};
    static const uint8_t old[] = {ETF_ATOM, 0, 5, 'b', 'y', 't', 'e', 's'};
    static const uint8_t small[] = {ETF_SMALL_ATOM, 5, 'b', 'y', 't', 'e', 's'};
    static const uint8_t wide[] = {ETF_ATOM_UTF8, 0,   5,   'b',
                                   'y',           't', 'e', 's'};
    static const struct {
        const uint8_t *p;
        size_t n;
    } forms[] = {{name, sizeof name},
                 {old, sizeof old},
                 {small, sizeof small},
                 {wide, sizeof wide}};
    if (n != 2)
        return 0;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (rd_left(&d->rd) > forms[i].n &&
            memcmp(d->rd.p, forms[i].p, forms[i].n) == 0 &&
            d->rd.p[forms[i].n] == ETF_BINARY) {
            d->rd.p += forms[i].n + 1;
            return 1;
        }
    }
    return 0;
}

/* {py_ref, Context, Generation, Id, Handle}, as erl/context/value/py_ref.erl
 * has it, becomes the object; takes the tuple. */
static PyObject *
referred_to(const struct dec *d, PyObject *tuple)
{
    enum { ID = 3 };
    PyObject *name = PyTuple_GET_ITEM(tuple, 0);
    if (Py_TYPE(name) != &Atom_Type ||
        PyUnicode_CompareWithASCIIString(name, "py_ref") != 0)
        return tuple;
    PyObject *o = objref_get(d->refs, PyTuple_GET_ITEM(tuple, ID));
    if (o == NULL && PyErr_ExceptionMatches(PyExc_LookupError)) {
        PyErr_Clear();
        PyErr_Format(StaleReference,
                     "the object of reference %S is not in this context",
                     PyTuple_GET_ITEM(tuple, ID));
    }
    Py_DECREF(tuple);
    return o;
}

/* {py_shm, ...} becomes a view of the segment; takes the tuple, which began at
 * this byte. */
static PyObject *
shared(struct dec *d, PyObject *tuple, const uint8_t *at)
{
    if (!segment_is_term(tuple))
        return tuple;
    PyObject *view = NULL;
    if (d->frozen)
        dec_fail(d, at, "a segment of shared memory in the key of a map");
    else
        view = segment_view(tuple, d->segments);
    Py_DECREF(tuple);
    return view;
}

/* What a tuple stands for; takes it. */
static PyObject *
meant(struct dec *d, PyObject *tuple, size_t n, const uint8_t *at)
{
    if (n == REF_PARTS && d->refs != NULL)
        return referred_to(d, tuple);
    if (n == SEGMENT_PARTS && d->segments != NULL)
        return shared(d, tuple, at);
    return tuple;
}

static PyObject *
dec_tuple(struct dec *d, size_t width)
{
    const uint8_t *at = d->rd.p - 1;
    size_t n;
    if (dec_length(d, width, &n) < 0 || enter(d, n) < 0)
        return NULL;
    if (bytes_pair(d, n)) {
        d->owed -= 2;
        d->depth--;
        return dec_bytes(d);
    }
    PyObject *tuple = PyTuple_New((Py_ssize_t)n);
    if (tuple == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        d->owed--;
        PyObject *o = decode_element(d);
        if (o == NULL) {
            Py_DECREF(tuple);
            return NULL;
        }
        PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, o);
    }
    d->depth--;
    return meant(d, tuple, n, at);
}

/* The key of the dict that is equal to this one; borrowed, or NULL. */
static PyObject *
equal_key(PyObject *dict, PyObject *key)
{
    PyObject *k, *v;
    Py_ssize_t pos = 0;
    while (PyDict_Next(dict, &pos, &k, &v)) {
        int same = PyObject_RichCompareBool(k, key, Py_EQ);
        if (same != 0)
            return same < 0 ? NULL : k;
    }
    return NULL;
}

/* Two keys that differ in Erlang are one in Python: say which. */
static void
fail_clash(struct dec *d, const uint8_t *at, PyObject *dict, PyObject *key)
{
    PyObject *other = equal_key(dict, key);
    PyObject *a = other == NULL ? NULL : short_repr(other);
    PyObject *b = a == NULL ? NULL : short_repr(key);
    if (b != NULL)
        PyErr_Format(DecodeError,
                     "the keys %U and %U of a map are equal in Python "
                     "at byte %zd%s",
                     a, b, dec_number(d, at), dec_place(d));
    Py_XDECREF(a);
    Py_XDECREF(b);
}

static int
add_pair(struct dec *d, PyObject *dict, Py_ssize_t have)
{
    int r = -1;
    PyObject *value = NULL;
    const uint8_t *at = d->rd.p;
    d->owed--;
    d->frozen++;
    PyObject *key = decode(d);
    d->frozen--;
    if (key == NULL)
        return -1;
    d->owed--;
    if ((value = decode_element(d)) == NULL)
        goto out;
    if ((r = PyDict_SetItem(dict, key, value)) == 0 &&
        PyDict_GET_SIZE(dict) == have) {
        fail_clash(d, at, dict, key);
        r = -1;
    }
out:
    Py_DECREF(key);
    Py_XDECREF(value);
    return r;
}

static PyObject *
dec_map(struct dec *d)
{
    size_t n;
    if (dec_length(d, 4, &n) < 0 || enter(d, (uint64_t)n * 2) < 0)
        return NULL;
    PyObject *dict = PyDict_New();
    if (dict == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (add_pair(d, dict, (Py_ssize_t)i) < 0) {
            Py_DECREF(dict);
            return NULL;
        }
    }
    d->depth--;
    return d->frozen ? frozen_map_new(dict) : dict;
}

/* ---- dispatch -------------------------------------------------------------
 */

/* What is rarer than the tags in decode(). */
static PyObject *
decode_rare(struct dec *d, uint8_t tag)
{
    switch (tag) {
    case ETF_FLOAT:
        return dec_float_text(d);
    case ETF_ATOM:
        return dec_latin1_atom(d, 2);
    case ETF_SMALL_ATOM:
        return dec_latin1_atom(d, 1);
    case ETF_ATOM_UTF8:
        return dec_atom(d, 2);
    case ETF_LARGE_TUPLE:
        return dec_tuple(d, 4);
    case ETF_LARGE_BIG:
        return dec_big(d, 4);
    case ETF_BIT_BINARY:
        return dec_bits(d);
    case ETF_NEW_PID:
    case ETF_PID:
        return dec_ident(d, &Pid_Type);
    case ETF_NEW_PORT:
    case ETF_PORT:
    case ETF_V4_PORT:
        return dec_ident(d, &Port_Type);
    case ETF_REFERENCE:
    case ETF_NEW_REFERENCE:
    case ETF_NEWER_REFERENCE:
        return dec_ident(d, &Ref_Type);
    case ETF_NEW_FUN:
    case ETF_EXPORT:
        return dec_ident(d, &Fun_Type);
    default:
        return dec_fail_tag(d, tag);
    }
}

static PyObject *
decode(struct dec *d)
{
    if (rd_left(&d->rd) == 0)
        return dec_fail_short(d);
    uint8_t tag = *d->rd.p++;
    switch (tag) {
    case ETF_SMALL_INTEGER:
        if (rd_left(&d->rd) == 0)
            return dec_fail_short(d);
        return PyLong_FromLong(*d->rd.p++);
    case ETF_INTEGER:
        return dec_integer(d);
    case ETF_NEW_FLOAT:
        return dec_float(d);
    case ETF_SMALL_ATOM_UTF8:
        return dec_atom(d, 1);
    case ETF_BINARY:
        return dec_binary(d);
    case ETF_NIL:
        return finish_list(d, PyList_New(0));
    case ETF_STRING:
        return finish_list(d, dec_string(d));
    case ETF_LIST:
        return dec_list(d);
    case ETF_SMALL_TUPLE:
        return dec_tuple(d, 1);
    case ETF_MAP:
        return dec_map(d);
    case ETF_SMALL_BIG:
        return dec_big(d, 1);
    default:
        return decode_rare(d, tag);
    }
}

/* Exactly one term in p[0..n), which starts with its tag. */
static PyObject *
decode_whole(struct dec *d)
{
    PyObject *o = decode(d);
    if (o == NULL)
        return NULL;
    if (rd_end(&d->rd) == 0 && !dec_has_part(d))
        return o;
    Py_DECREF(o);
    return dec_fail(d, d->rd.p, "bytes remain after the term");
}

static PyObject *
decode_compressed(struct dec *d, size_t max)
{
    size_t size;
    struct buf out;
    PyObject *o = NULL;
    if (dec_length(d, 4, &size) < 0)
        return NULL;
    buf_init(&out, max + 1);
    int r = etf_inflate(d->rd.p, rd_left(&d->rd), size, &out);
    if (r != 0) {
        dec_fail_code(d, d->rd.p, r);
        goto out;
    }
    struct dec inner = {.start = out.data,
                        .max_depth = d->max_depth,
                        .inflated = 1,
                        .refs = d->refs,
                        .segments = d->segments};
    rd_init(&inner.rd, out.data, out.len);
    o = decode_whole(&inner);
out:
    buf_fini(&out);
    return o;
}

PyObject *
etf_decode_part(const uint8_t *p, size_t n, struct etf_part *part,
                const struct etf_limits *lim)
{
    struct etf_limits l = etf_limits_of(lim);
    struct dec d = {.start = p,
                    .max_depth = l.max_depth,
                    .refs = l.refs,
                    .segments = l.segments,
                    .part = part};
    if (erltypes_ready() < 0)
        return NULL;
    rd_init(&d.rd, p, n);
    if (part != NULL && part->object != NULL && part->at <= n)
        d.part_at = p + part->at;
    uint8_t version;
    if (rd_u8(&d.rd, &version) != 0)
        return dec_fail_short(&d);
    if (version != ETF_VERSION)
        return dec_fail(&d, p, "no term: the first byte is not 131");
    if (rd_left(&d.rd) == 0 || *d.rd.p != ETF_COMPRESSED)
        return decode_whole(&d);
    d.rd.p++;
    return decode_compressed(&d, l.max_inflated);
}

PyObject *
etf_decode(const uint8_t *p, size_t n, const struct etf_limits *lim)
{
    return etf_decode_part(p, n, NULL, lim);
}
