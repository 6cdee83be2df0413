/* SPDX-License-Identifier: Apache-2.0 */
/* etf_encode_leaf.c - the objects that hold no others; see etf_enc.h. */
#include "py.h"
#include "etf_enc.h"

#include <math.h>
#include <string.h>

#include "erltypes.h"
#include "etf_limits.h"

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

int
enc_word(struct enc *e, const char *text)
{
    return put_atom(e, text, strlen(text));
}

int
enc_float(struct enc *e, double v)
{
    uint8_t p[9] = {ETF_NEW_FLOAT};
    uint64_t bits;
    if (isnan(v))
        return enc_word(e, "nan");
    if (isinf(v))
        return enc_word(e, v > 0 ? "infinity" : "neg_infinity");
    memcpy(&bits, &v, sizeof bits);
    put_be64(p + 1, bits);
    return enc_put(e, p, sizeof p);
}

/* ---- text and bytes ------------------------------------------------------ */

int
enc_binary(struct enc *e, const void *p, size_t n)
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
int
enc_str(struct enc *e, PyObject *o)
{
    if (PyUnicode_IS_COMPACT_ASCII(o))
        return enc_binary(e, PyUnicode_1BYTE_DATA(o),
                          (size_t)PyUnicode_GET_LENGTH(o));
    PyObject *utf8 = PyUnicode_AsUTF8String(o);
    if (utf8 == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
            return -1;
        PyErr_Clear();
        return enc_fail(e, "cannot encode a str with a lone surrogate");
    }
    int r =
        enc_binary(e, PyBytes_AS_STRING(utf8), (size_t)PyBytes_GET_SIZE(utf8));
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

/* A view that is not contiguous is copied element by element. */
int
enc_buffer(struct enc *e, PyObject *o)
{
    Py_buffer view;
    if (PyObject_GetBuffer(o, &view, PyBUF_FULL_RO) < 0)
        return -1;
    int r;
    if (PyBuffer_IsContiguous(&view, 'C')) {
        r = enc_binary(e, view.buf, (size_t)view.len);
    } else {
        PyObject *copy = PyBytes_FromStringAndSize(NULL, view.len);
        r = copy == NULL ? -1
                         : PyBuffer_ToContiguous(PyBytes_AS_STRING(copy), &view,
                                                 view.len, 'C');
        if (r == 0)
            r = enc_binary(e, PyBytes_AS_STRING(copy), (size_t)view.len);
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
