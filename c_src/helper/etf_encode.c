/* SPDX-License-Identifier: Apache-2.0 */
/* etf_encode.c - see etf_encode.h.  Dispatch on the exact type first; the
 * scalars, lists and tuples. */
#include "py.h"
#include "etf_encode.h"

#include <math.h>
#include <string.h>

#include "erltypes.h"
#include "etf_enc.h"

enum { MAX_TUPLE = 16777215, SIGNAL_TICKS = 1 << 14 };

/* ---- numbers ------------------------------------------------------------- */

static int
put_small(struct enc *e, long long v)
{
    uint8_t p[11];
    size_t n;
    if (v >= 0 && v <= UINT8_MAX) {
        p[0] = ETF_SMALL_INTEGER;
        p[1] = (uint8_t)v;
        n = 2;
    } else if (v >= INT32_MIN && v <= INT32_MAX) {
        p[0] = ETF_INTEGER;
        put_be32(p + 1, (uint32_t)(int32_t)v);
        n = 5;
    } else {
        unsigned long long m =
            v < 0 ? 0 - (unsigned long long)v : (unsigned long long)v;
        p[0] = ETF_SMALL_BIG;
        p[2] = v < 0;
        for (n = 3; m != 0; m >>= 8)
            p[n++] = (uint8_t)m;
        p[1] = (uint8_t)(n - 3);
    }
    return enc_put(e, p, n);
}

static int
put_big(struct enc *e, PyObject *magnitude, int negative)
{
    size_t n = (py_long_bits(magnitude) + 7) / 8;
    uint8_t head[6] = {n <= UINT8_MAX ? ETF_SMALL_BIG : ETF_LARGE_BIG};
    size_t at = 1;
    if (n > ETF_MAX_BIG)
        return enc_fail(e, "cannot encode an int of %zu bytes (at most %d)", n,
                        ETF_MAX_BIG);
    if (n <= UINT8_MAX) {
        head[at++] = (uint8_t)n;
    } else {
        put_be32(head + at, (uint32_t)n);
        at += 4;
    }
    head[at++] = (uint8_t)negative;
    int r = buf_reserve(e->out, at + n);
    if (r != 0)
        return enc_fail_buf(e, r);
    if (enc_put(e, head, at) < 0 ||
        py_long_to_bytes(magnitude, e->out->data + e->out->len, n) < 0)
        return -1;
    e->out->len += n;
    return 0;
}

int
enc_integer(struct enc *e, PyObject *o)
{
    int overflow;
    long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow == 0)
        return v == -1 && PyErr_Occurred() ? -1 : put_small(e, v);
    /* That of int itself: a subclass may have replaced abs(). */
    PyObject *magnitude = PyLong_Type.tp_as_number->nb_absolute(o);
    if (magnitude == NULL)
        return -1;
    int r = put_big(e, magnitude, overflow < 0);
    Py_DECREF(magnitude);
    return r;
}

static int
put_atom(struct enc *e, const char *text, size_t n)
{
    uint8_t head[3] = {ETF_SMALL_ATOM_UTF8, (uint8_t)n};
    if (n <= UINT8_MAX)
        return enc_put(e, head, 2) < 0 ? -1 : enc_put(e, text, n);
    head[0] = ETF_ATOM_UTF8;
    put_be16(head + 1, (uint16_t)n);
    return enc_put(e, head, 3) < 0 ? -1 : enc_put(e, text, n);
}

static int
put_word(struct enc *e, const char *text)
{
    return put_atom(e, text, strlen(text));
}

int
enc_float(struct enc *e, double v)
{
    uint8_t p[9] = {ETF_NEW_FLOAT};
    uint64_t bits;
    if (isnan(v))
        return put_word(e, "nan");
    if (isinf(v))
        return put_word(e, v > 0 ? "infinity" : "neg_infinity");
    memcpy(&bits, &v, sizeof bits);
    put_be64(p + 1, bits);
    return enc_put(e, p, sizeof p);
}

/* ---- text and bytes ------------------------------------------------------ */

static int
put_binary(struct enc *e, const void *p, size_t n)
{
    uint8_t head[5] = {ETF_BINARY};
    if (n > UINT32_MAX)
        return enc_fail(e, "cannot encode %zu bytes as one binary", n);
    put_be32(head + 1, (uint32_t)n);
    int r = buf_reserve(e->out, sizeof head + n);
    if (r != 0)
        return enc_fail_buf(e, r);
    return enc_put(e, head, sizeof head) < 0 ? -1 : enc_put(e, p, n);
}

/* Not through PyUnicode_AsUTF8: it would keep a second copy of the text. */
static int
enc_str(struct enc *e, PyObject *o)
{
    if (PyUnicode_IS_COMPACT_ASCII(o))
        return put_binary(e, PyUnicode_1BYTE_DATA(o),
                          (size_t)PyUnicode_GET_LENGTH(o));
    PyObject *utf8 = PyUnicode_AsUTF8String(o);
    if (utf8 == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
            return -1;
        PyErr_Clear();
        return enc_fail(e, "cannot encode a str with a lone surrogate");
    }
    int r =
        put_binary(e, PyBytes_AS_STRING(utf8), (size_t)PyBytes_GET_SIZE(utf8));
    Py_DECREF(utf8);
    return r;
}

static int
enc_atom(struct enc *e, PyObject *o)
{
    Py_ssize_t n;
    const char *text = PyUnicode_AsUTF8AndSize(o, &n);
    return text == NULL ? -1 : put_atom(e, text, (size_t)n);
}

/* A view that is not contiguous is copied element by element. */
int
enc_buffer(struct enc *e, PyObject *o)
{
    Py_buffer view;
    if (PyObject_GetBuffer(o, &view, PyBUF_FULL_RO) < 0)
        return -1;
    int r;
    if (PyBuffer_IsContiguous(&view, 'C')) {
        r = put_binary(e, view.buf, (size_t)view.len);
    } else {
        PyObject *copy = PyBytes_FromStringAndSize(NULL, view.len);
        r = copy == NULL ? -1
                         : PyBuffer_ToContiguous(PyBytes_AS_STRING(copy), &view,
                                                 view.len, 'C');
        if (r == 0)
            r = put_binary(e, PyBytes_AS_STRING(copy), (size_t)view.len);
        Py_XDECREF(copy);
    }
    PyBuffer_Release(&view);
    return r;
}

static int
enc_bits(struct enc *e, PyObject *o)
{
    struct bitstring *b = (struct bitstring *)o;
    size_t n = (size_t)PyBytes_GET_SIZE(b->data);
    uint8_t head[6] = {ETF_BIT_BINARY};
    if (b->bits % 8 == 0)
        return put_binary(e, PyBytes_AS_STRING(b->data), n);
    if (n > UINT32_MAX)
        return enc_fail(e, "cannot encode %zu bytes as one binary", n);
    put_be32(head + 1, (uint32_t)n);
    head[5] = (uint8_t)(b->bits % 8);
    return enc_put(e, head, sizeof head) < 0
               ? -1
               : enc_put(e, PyBytes_AS_STRING(b->data), n);
}

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
        PyObject *item = Py_NewRef(PyList_GET_ITEM(o, i));
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
        if (enc_any(e, PyTuple_GET_ITEM(o, i)) < 0) {
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
        return enc_put(e, ((struct ident *)o)->etf, (size_t)Py_SIZE(o));
    if (PyLong_Check(o))
        return enc_integer(e, o);
    if (PyFloat_Check(o))
        return enc_float(e, PyFloat_AS_DOUBLE(o));
    if (PyUnicode_Check(o))
        return enc_str(e, o);
    if (PyBytes_Check(o) || PyByteArray_Check(o) || PyMemoryView_Check(o))
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
        return put_binary(e, PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o));
    if (o == Py_None)
        return put_word(e, "none");
    if (o == Py_True)
        return put_word(e, "true");
    if (o == Py_False)
        return put_word(e, "false");
    return enc_kind(e, o);
}

int
etf_encode(PyObject *o, struct buf *out, const struct etf_limits *lim)
{
    struct enc e = {.out = out, .max_depth = etf_limits_of(lim).max_depth};
    size_t before = out->len;
    if (erltypes_ready() < 0)
        return -1;
    int r = enc_u8(&e, ETF_VERSION);
    if (r == 0)
        r = enc_any(&e, o);
    if (r < 0) {
        out->len = before;
        if (e.message != NULL)
            enc_raise(&e);
    }
    Py_CLEAR(e.message);
    Py_CLEAR(e.path);
    return r;
}
