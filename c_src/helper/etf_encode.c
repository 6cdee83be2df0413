/* SPDX-License-Identifier: Apache-2.0 */
/* etf_encode.c - see etf_encode.h.  Dispatch on the exact type first; lists
 * and tuples. */
#include "py.h"
#include "etf_encode.h"

#include "erltypes.h"
#include "segment.h"
#include "etf_enc.h"
#include "etf_handle.h"

enum {
    MAX_TUPLE = 16777215,   /* Erlang's own limit */
    SIGNAL_TICKS = 1 << 14, /* containers between two looks for signals */
};

/* ---- containers ---------------------------------------------------------- */

/* A cycle runs into the limit, and then finds itself among those around it. */
static int
too_deep(struct enc *e, PyObject *o)
{
    for (struct enc_open *c = e->top; c != NULL; c = c->up) {
        if (c->object == o)
            return enc_fail(e, "cannot encode cyclic object of type %.200s",
                            Py_TYPE(o)->tp_name);
    }
    return enc_fail(e, "cannot encode more than %lu nested containers",
                    (unsigned long)e->max_depth);
}

int
enc_enter(struct enc *e, PyObject *o, struct enc_open *self)
{
    if (e->depth >= e->max_depth)
        return too_deep(e, o);
    if (++e->ticks % SIGNAL_TICKS == 0 && PyErr_CheckSignals() < 0)
        return -1;
    self->object = o;
    self->up = e->top;
    e->top = self;
    e->depth++;
    return 0;
}

int
enc_count(struct enc *e, uint8_t tag, Py_ssize_t n)
{
    uint8_t head[5] = {tag};
    if ((size_t)n > UINT32_MAX)
        return enc_fail(e, "cannot encode %zd elements in one term", n);
    put_be32(head + 1, (uint32_t)n);
    return enc_put(e, head, sizeof head);
}

static int
list_items(struct enc *e, PyObject *o, Py_ssize_t n)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        if (PyList_GET_SIZE(o) != n)
            return enc_fail(e, "a list changed while it was encoded");
        PyObject *item = PyList_GET_ITEM(o, i);
        if (enc_quick(e, item))
            continue;
        Py_INCREF(item);
        int r = enc_any(e, item);
        Py_DECREF(item);
        if (r < 0) {
            enc_at_index(e, i);
            return -1;
        }
    }
    return 0;
}

static int
enc_list(struct enc *e, PyObject *o)
{
    struct enc_open self;
    Py_ssize_t n = PyList_GET_SIZE(o);
    if (n == 0)
        return enc_u8(e, ETF_NIL);
    if (enc_enter(e, o, &self) < 0 || enc_count(e, ETF_LIST, n) < 0 ||
        list_items(e, o, n) < 0 || enc_u8(e, ETF_NIL) < 0)
        return -1;
    enc_leave(e, &self);
    return 0;
}

static int
tuple_items(struct enc *e, PyObject *o)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); i++) {
        PyObject *item = PyTuple_GET_ITEM(o, i);
        if (!enc_quick(e, item) && enc_any(e, item) < 0) {
            enc_at_index(e, i);
            return -1;
        }
    }
    return 0;
}

static int
enc_tuple(struct enc *e, PyObject *o)
{
    struct enc_open self;
    Py_ssize_t n = PyTuple_GET_SIZE(o);
    uint8_t head[2] = {ETF_SMALL_TUPLE, (uint8_t)n};
    if (n > MAX_TUPLE)
        return enc_fail(e, "cannot encode a tuple of %zd elements", n);
    if (enc_enter(e, o, &self) < 0)
        return -1;
    if ((n <= UINT8_MAX ? enc_put(e, head, 2)
                        : enc_count(e, ETF_LARGE_TUPLE, n)) < 0 ||
        tuple_items(e, o) < 0)
        return -1;
    enc_leave(e, &self);
    return 0;
}

static int
enc_frozen_list(struct enc *e, PyObject *o)
{
    struct enc_open self;
    if (PyTuple_GET_SIZE(o) == 0)
        return enc_u8(e, ETF_NIL);
    if (enc_enter(e, o, &self) < 0 ||
        enc_count(e, ETF_LIST, PyTuple_GET_SIZE(o)) < 0 ||
        tuple_items(e, o) < 0 || enc_u8(e, ETF_NIL) < 0)
        return -1;
    enc_leave(e, &self);
    return 0;
}

static int
enc_improper(struct enc *e, PyObject *o)
{
    struct improper *l = (struct improper *)o;
    struct enc_open self;
    if (enc_enter(e, o, &self) < 0 ||
        enc_count(e, ETF_LIST, PyTuple_GET_SIZE(l->items)) < 0 ||
        tuple_items(e, l->items) < 0)
        return -1;
    if (enc_any(e, l->tail) < 0) {
        PyObject *name = PyUnicode_FromString("tail");
        if (name != NULL)
            enc_at_name(e, name);
        Py_XDECREF(name);
        return -1;
    }
    enc_leave(e, &self);
    return 0;
}

/* ---- shared memory ------------------------------------------------------- */

static int
enc_segment(struct enc *e, struct segment *s)
{
    if (!segment_send(s))
        return enc_buffer(e, (PyObject *)s);
    return enc_put(e, PyBytes_AS_STRING(s->term),
                   (size_t)PyBytes_GET_SIZE(s->term));
}

/* The whole of a segment passes as that, not as a copy of its bytes. */
static int
enc_view(struct enc *e, PyObject *view)
{
    struct segment *s = segment_of_view(view);
    return s != NULL ? enc_segment(e, s) : enc_buffer(e, view);
}

/* What the VM would kill this process for is an exception here. */
static int
enc_ident(struct enc *e, const struct ident *id)
{
    size_t n = (size_t)Py_SIZE(id);
    if (e->handles && !etf_is_handle(id->etf, n))
        return enc_fail(
            e, "this context may not send an %.100s%s", Py_TYPE(id)->tp_name,
            Py_TYPE(id) == &Fun_Type ? "" : " that it was not given");
    return enc_put(e, id->etf, n);
}

/* ---- dispatch ------------------------------------------------------------ */

/* Our own types, and subclasses of the built-in ones. */
static int
enc_kind(struct enc *e, PyObject *o)
{
    PyTypeObject *t = Py_TYPE(o);
    if (t == &FrozenMap_Type)
        return enc_dict(e, o);
    if (t == &FrozenList_Type)
        return enc_frozen_list(e, o);
    if (t == &BitString_Type)
        return enc_bits(e, o);
    if (t == &ImproperList_Type)
        return enc_improper(e, o);
    if (ident_check(o))
        return enc_ident(e, (struct ident *)o);
    if (segment_check(o))
        return enc_segment(e, (struct segment *)o);
    if (PyLong_Check(o))
        return enc_integer(e, o);
    if (PyFloat_Check(o))
        return enc_float(e, PyFloat_AS_DOUBLE(o));
    if (PyUnicode_Check(o))
        return enc_str(e, o);
    if (PyMemoryView_Check(o))
        return enc_view(e, o);
    if (PyBytes_Check(o) || PyByteArray_Check(o))
        return enc_buffer(e, o);
    if (PyTuple_Check(o))
        return enc_tuple(e, o);
    if (PyList_Check(o))
        return enc_list(e, o);
    if (PyDict_Check(o))
        return enc_dict(e, o);
    return enc_other(e, o);
}

int
enc_any(struct enc *e, PyObject *o)
{
    PyTypeObject *t = Py_TYPE(o);
    if (t == &PyUnicode_Type)
        return enc_str(e, o);
    if (t == &PyLong_Type)
        return enc_integer(e, o);
    if (t == &Atom_Type)
        return enc_atom(e, o);
    if (t == &PyFloat_Type)
        return enc_float(e, PyFloat_AS_DOUBLE(o));
    if (t == &PyDict_Type)
        return enc_dict(e, o);
    if (t == &PyList_Type)
        return enc_list(e, o);
    if (t == &PyTuple_Type)
        return enc_tuple(e, o);
    if (t == &PyBytes_Type)
        return enc_bytes(e, o);
    if (o == Py_None)
        return enc_word(e, "none");
    if (o == Py_True)
        return enc_word(e, "true");
    if (o == Py_False)
        return enc_word(e, "false");
    return enc_kind(e, o);
}

static int
encode(struct enc *e, PyObject *o, const struct etf_limits *lim)
{
    e->max_depth = etf_limits_of(lim).max_depth;
    e->handles = etf_limits_of(lim).handles;
    if (erltypes_ready() < 0)
        return -1;
    int r = enc_u8(e, ETF_VERSION);
    if (r == 0)
        r = enc_any(e, o);
    if (r < 0 && e->message != NULL)
        enc_raise(e);
    Py_CLEAR(e->message);
    Py_CLEAR(e->path);
    return r;
}

int
etf_encode(PyObject *o, struct buf *out, const struct etf_limits *lim)
{
    struct enc e = {.out = out, .max = out->max};
    size_t before = out->len;
    int r = encode(&e, o, lim);
    if (r < 0)
        out->len = before;
    return r;
}

int
etf_encode_out(PyObject *o, struct out *out, const struct etf_limits *lim)
{
    struct enc e = {.out = &out->bytes, .refs = out, .max = out_max(out)};
    struct out_mark before = out_mark(out);
    if (PyByteArray_CheckExact(o) && Py_REFCNT(o) == 1)
        e.fresh = o;
    int r = encode(&e, o, lim);
    if (r < 0)
        out_rewind(out, before);
    return r;
}
