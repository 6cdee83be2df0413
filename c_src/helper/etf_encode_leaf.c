/* SPDX-License-Identifier: Apache-2.0 */
/* etf_encode_leaf.c - the objects that hold no others; see etf_enc.h. */
#include "py.h"
#include "etf_enc.h"

#include <math.h>
#include <string.h>

#include "erltypes.h"
#include "etf_limits.h"

/* ---- numbers ------------------------------------------------------------- */

/* Beyond 32 bits: the magnitude's bytes, the lowest first. */
static int
put_medium(struct enc *e, long long v)
{
    uint64_t m = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    size_t n = 8 - (size_t)__builtin_clzll(m) / 8;
    uint8_t *p = enc_room(e, 3 + n);
    if (p == NULL)
        return -1;
    p[0] = ETF_SMALL_BIG;
    p[1] = (uint8_t)n;
    p[2] = v < 0;
    if (n == 8)
        memcpy(p + 3, &m, 8); /* in one, as the others are not */
    for (size_t i = 0; i < n && n < 8; i++)
        p[3 + i] = (uint8_t)(m >> 8 * i);
    e->out->len += 3 + n;
    return 0;
}

static int
put_small(struct enc *e, long long v)
{
    int byte = v >= 0 && v <= UINT8_MAX;
    if (v < INT32_MIN || v > INT32_MAX)
        return put_medium(e, v);
    uint8_t *p = enc_room(e, byte ? 2 : 5);
    if (p == NULL)
        return -1;
    if (byte) {
        p[0] = ETF_SMALL_INTEGER;
        p[1] = (uint8_t)v;
    } else {
        p[0] = ETF_INTEGER;
        put_be32(p + 1, (uint32_t)(int32_t)v);
    }
    e->out->len += byte ? 2 : 5;
    return 0;
}

static int
put_big(struct enc *e, PyObject *magnitude, int negative)
{
    size_t n = (py_long_bits(magnitude) + 7) / 8;
    uint8_t head[6] = {n <= UINT8_MAX ? ETF_SMALL_BIG : ETF_LARGE_BIG};
    size_t at = 1, most = e->handles ? ETF_MAX_STRANGE_BIG : ETF_MAX_BIG;
    if (n > most)
        return enc_fail(e, "cannot encode an int of %zu bytes (at most %zu)", n,
                        most);
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
    Py_ssize_t small;
    if (py_long_small(o, &small))
        return put_small(e, small);
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
    size_t head = n <= UINT8_MAX ? 2 : 3;
    uint8_t *p = enc_room(e, head + n);
    if (p == NULL)
        return -1;
    p[0] = head == 2 ? ETF_SMALL_ATOM_UTF8 : ETF_ATOM_UTF8;
    if (head == 2)
        p[1] = (uint8_t)n;
    else
        put_be16(p + 1, (uint16_t)n);
    memcpy(p + head, text, n);
    e->out->len += head + n;
    return 0;
}

int
enc_word(struct enc *e, const char *text)
{
    return put_atom(e, text, strlen(text));
}

int
enc_float(struct enc *e, double v)
{
    uint64_t bits;
    if (!isfinite(v))
        return enc_word(e, isnan(v) ? "nan"
                           : v > 0  ? "infinity"
                                    : "neg_infinity");
    uint8_t *p = enc_room(e, 9);
    if (p == NULL)
        return -1;
    memcpy(&bits, &v, sizeof bits);
    p[0] = ETF_NEW_FLOAT;
    put_be64(p + 1, bits);
    e->out->len += 9;
    return 0;
}

/* ---- text and bytes ------------------------------------------------------ */

static int
enc_binary_head(struct enc *e, size_t n)
{
    uint8_t head[5] = {ETF_BINARY};
    if (n > UINT32_MAX)
        return enc_fail(e, "cannot encode %zu bytes as one binary", n);
    put_be32(head + 1, (uint32_t)n);
    return enc_put(e, head, sizeof head);
}

int
enc_binary(struct enc *e, const void *p, size_t n)
{
    if (n > UINT32_MAX)
        return enc_fail(e, "cannot encode %zu bytes as one binary", n);
    uint8_t *to = enc_room(e, 5 + n);
    if (to == NULL)
        return -1;
    to[0] = ETF_BINARY;
    put_be32(to + 1, (uint32_t)n);
    memcpy(to + 5, p, n);
    e->out->len += 5 + n;
    return 0;
}

/* A key is copied: it may have to be compared with others. */
int
enc_binary_of(struct enc *e, PyObject *owner, const void *p, size_t n)
{
    if (n < OUT_REF_FROM || e->refs == NULL || e->keys > 0)
        return enc_binary(e, p, n);
    if (enc_binary_head(e, n) < 0)
        return -1;
    int r = out_put_ref(e->refs, owner, p, n);
    return r == 0 ? 0 : enc_fail_buf(e, r);
}

/* Not through PyUnicode_AsUTF8: it would keep a second copy of the text. */
int
enc_str(struct enc *e, PyObject *o)
{
    if (PyUnicode_IS_COMPACT_ASCII(o))
        return enc_binary_of(e, o, PyUnicode_1BYTE_DATA(o),
                             (size_t)PyUnicode_GET_LENGTH(o));
    PyObject *utf8 = PyUnicode_AsUTF8String(o);
    if (utf8 == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
            return -1;
        PyErr_Clear();
        return enc_fail(e, "cannot encode a str with a lone surrogate");
    }
    int r = enc_bytes(e, utf8);
    Py_DECREF(utf8);
    return r;
}

int
enc_atom(struct enc *e, PyObject *o)
{
    Py_ssize_t n;
    const char *text = PyUnicode_AsUTF8AndSize(o, &n);
    return text == NULL ? -1 : put_atom(e, text, (size_t)n);
}

int
enc_bytes(struct enc *e, PyObject *o)
{
    return enc_binary_of(e, o, PyBytes_AS_STRING(o),
                         (size_t)PyBytes_GET_SIZE(o));
}

/* Who keeps this memory as it is; NULL: it could still be changed before it is
 * written, so it is copied, for an answer is the value at the time of the
 * return.  Bytes never change, nor does a bytearray that only the caller of
 * the encoder knows. */
static PyObject *
keeper(const struct enc *e, PyObject *o)
{
    PyObject *of = PyMemoryView_Check(o) ? PyMemoryView_GET_BUFFER(o)->obj : o;
    return of != NULL && (PyBytes_CheckExact(of) || of == e->fresh) ? of : NULL;
}

static int
enc_contiguous(struct enc *e, PyObject *o, const Py_buffer *view)
{
    PyObject *owner = keeper(e, o);
    size_t n = (size_t)view->len;
    return owner != NULL ? enc_binary_of(e, owner, view->buf, n)
                         : enc_binary(e, view->buf, n);
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
        r = enc_contiguous(e, o, &view);
    } else {
        PyObject *copy = PyBytes_FromStringAndSize(NULL, view.len);
        r = copy == NULL ? -1
                         : PyBuffer_ToContiguous(PyBytes_AS_STRING(copy), &view,
                                                 view.len, 'C');
        if (r == 0)
            r = enc_bytes(e, copy);
        Py_XDECREF(copy);
    }
    PyBuffer_Release(&view);
    return r;
}

int
enc_bits(struct enc *e, PyObject *o)
{
    struct bitstring *b = (struct bitstring *)o;
    size_t n = (size_t)PyBytes_GET_SIZE(b->data);
    uint8_t head[6] = {ETF_BIT_BINARY};
    if (b->bits % 8 == 0)
        return enc_binary(e, PyBytes_AS_STRING(b->data), n);
    if (n > UINT32_MAX)
        return enc_fail(e, "cannot encode %zu bytes as one binary", n);
    put_be32(head + 1, (uint32_t)n);
    head[5] = (uint8_t)(b->bits % 8);
    return enc_put(e, head, sizeof head) < 0
               ? -1
               : enc_put(e, PyBytes_AS_STRING(b->data), n);
}
