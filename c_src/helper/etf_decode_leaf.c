/* SPDX-License-Identifier: Apache-2.0 */
/* etf_decode_leaf.c - the terms that hold no others (and the opaque ones, whose
 * inside is only copied); see etf_dec.h. */
#include "py.h"
#include "etf_dec.h"

#include <math.h>
#include <string.h>

#include "erltypes.h"
#include "etf_atoms.h"
#include "etf_copy.h"
#include "etf_tags.h"
#include "etf_texts.h"
#include "wire.h"

/* ---- errors ---------------------------------------------------------------*/

Py_ssize_t
dec_number(const struct dec *d, const uint8_t *at)
{
    Py_ssize_t n = at - d->start;
    if (d->part_at != NULL && at >= d->part_at && d->part->object == NULL)
        n += (Py_ssize_t)d->part->length;
    return n;
}

PyObject *
dec_fail(struct dec *d, const uint8_t *at, const char *what)
{
    PyErr_Format(DecodeError, "%s at byte %zd%s", what, dec_number(d, at),
                 dec_place(d));
    return NULL;
}

PyObject *
dec_fail_short(struct dec *d)
{
    return dec_fail(d, d->rd.end, "the data ends too early");
}

/* From a result code of base or wire. */
PyObject *
dec_fail_code(struct dec *d, const uint8_t *at, int code)
{
    if (code == E_NOMEM)
        return PyErr_NoMemory();
    return code == E_SHORT ? dec_fail_short(d) : dec_fail(d, at, err_str(code));
}

/* ---- lengths --------------------------------------------------------------*/

/* The count or length after a tag: 1, 2 or 4 bytes.  0, or -1. */
int
dec_length(struct dec *d, size_t width, size_t *n)
{
    if (rd_left(&d->rd) < width) {
        dec_fail_short(d);
        return -1;
    }
    const uint8_t *p = d->rd.p;
    *n = width == 1 ? *p : width == 2 ? get_be16(p) : get_be32(p);
    d->rd.p += width;
    return 0;
}

/* ---- numbers ------------------------------------------------------------- */

PyObject *
dec_integer(struct dec *d)
{
    uint32_t v;
    if (rd_be32(&d->rd, &v) != 0)
        return dec_fail_short(d);
    return PyLong_FromLong((int32_t)v);
}

PyObject *
dec_float(struct dec *d)
{
    uint64_t bits;
    double v;
    if (rd_be64(&d->rd, &bits) != 0)
        return dec_fail_short(d);
    memcpy(&v, &bits, sizeof v);
    if (!isfinite(v))
        return dec_fail(d, d->rd.p - 8, "a float that is not finite");
    return PyFloat_FromDouble(v);
}

/* Text as printf's "%.20e" makes it, padded with NULs. */
PyObject *
dec_float_text(struct dec *d)
{
    enum { LENGTH = 31 };
    const uint8_t *p;
    char text[LENGTH + 1], *end;
    if (rd_bytes(&d->rd, LENGTH, &p) != 0)
        return dec_fail_short(d);
    memcpy(text, p, LENGTH);
    text[LENGTH] = '\0';
    double v = PyOS_string_to_double(text, &end, NULL);
    if (v == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        return dec_fail(d, p, "a malformed float");
    }
    if (*end != '\0' || !isfinite(v))
        return dec_fail(d, p, "a malformed float");
    return PyFloat_FromDouble(v);
}

static PyObject *
make_big(const uint8_t *p, size_t n, int negative)
{
    if (n <= 8) {
        uint64_t m = 0;
        if (n == 8)
            memcpy(&m, p, 8);
        for (size_t i = n; i > 0 && n < 8; i--)
            m = (m << 8) | p[i - 1];
        if (m <= INT64_MAX)
            return PyLong_FromLongLong(negative ? -(int64_t)m : (int64_t)m);
    }
    PyObject *v = py_long_from_bytes(p, n);
    if (v == NULL || !negative)
        return v;
    PyObject *minus = PyNumber_Negative(v);
    Py_DECREF(v);
    return minus;
}

PyObject *
dec_big(struct dec *d, size_t width)
{
    uint8_t sign;
    const uint8_t *p;
    size_t n;
    if (dec_length(d, width, &n) < 0)
        return NULL;
    if (rd_u8(&d->rd, &sign) != 0 || rd_bytes(&d->rd, n, &p) != 0)
        return dec_fail_short(d);
    if (sign > 1)
        return dec_fail(d, p - 1, "an integer's sign is neither 0 nor 1");
    return make_big(p, n, sign);
}

/* ---- atoms and bytes ------------------------------------------------------
 */

/* A ValueError of Python's own (text that is not UTF-8, an atom too long)
 * as ours, with the place. */
static PyObject *
fail_text(struct dec *d, const uint8_t *at, const char *what)
{
    if (!PyErr_ExceptionMatches(PyExc_ValueError))
        return NULL;
    PyErr_Clear();
    return dec_fail(d, at, what);
}

PyObject *
dec_atom(struct dec *d, size_t width)
{
    size_t n;
    const uint8_t *p;
    if (dec_length(d, width, &n) < 0)
        return NULL;
    if (rd_bytes(&d->rd, n, &p) != 0)
        return dec_fail_short(d);
    PyObject *atom = etf_atom(p, n);
    return atom != NULL ? atom : fail_text(d, p, "a malformed atom");
}

PyObject *
dec_latin1_atom(struct dec *d, size_t width)
{
    size_t n;
    const uint8_t *p;
    uint8_t text[2 * ATOM_MAX_CHARS];
    if (dec_length(d, width, &n) < 0)
        return NULL;
    if (rd_bytes(&d->rd, n, &p) != 0)
        return dec_fail_short(d);
    if (n > ATOM_MAX_CHARS)
        return dec_fail(d, p, "a malformed atom");
    return etf_atom(text, etf_latin1_to_utf8(p, n, text));
}

/* The part that was received apart, in place of its bytes. */
static PyObject *
take_part(struct dec *d, int as_bytes)
{
    PyObject *o = d->part->object, *r = o;
    d->part->object = NULL;
    if (PyBytes_Check(o) && !as_bytes)
        r = etf_text_of(o);
    else if (PyUnicode_Check(o) && as_bytes)
        r = etf_bytes(PyUnicode_1BYTE_DATA(o), d->part->length);
    else
        return o;
    Py_DECREF(o);
    return r;
}

PyObject *
dec_binary(struct dec *d)
{
    size_t n;
    const uint8_t *p;
    if (dec_length(d, 4, &n) < 0)
        return NULL;
    if (dec_at_part(d))
        return take_part(d, 0);
    if (rd_bytes(&d->rd, n, &p) != 0)
        return dec_fail_short(d);
    return etf_text(p, n);
}

PyObject *
dec_bits(struct dec *d)
{
    size_t n;
    uint8_t last;
    const uint8_t *p;
    if (dec_length(d, 4, &n) < 0)
        return NULL;
    if (rd_u8(&d->rd, &last) != 0 || rd_bytes(&d->rd, n, &p) != 0)
        return dec_fail_short(d);
    if (last > 8 || (last == 0) != (n == 0))
        return dec_fail(d, p - 1, "a malformed bit string");
    if (n == 0 || last == 8)
        return etf_text(p, n);
    return bitstring_new(p, n, (n - 1) * 8 + last);
}

PyObject *
dec_string(struct dec *d)
{
    size_t n;
    const uint8_t *p;
    if (dec_length(d, 2, &n) < 0)
        return NULL;
    if (rd_bytes(&d->rd, n, &p) != 0)
        return dec_fail_short(d);
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; list != NULL && i < n; i++) {
        PyObject *v = PyLong_FromLong(p[i]); /* a cached one: cannot fail */
        PyList_SET_ITEM(list, (Py_ssize_t)i, v);
    }
    return list;
}

PyObject *
dec_bytes(struct dec *d)
{
    size_t n;
    const uint8_t *p;
    if (dec_length(d, 4, &n) < 0)
        return NULL;
    if (dec_at_part(d))
        return take_part(d, 1);
    if (rd_bytes(&d->rd, n, &p) != 0)
        return dec_fail_short(d);
    return etf_bytes(p, n);
}

/* ---- pids, references, ports, funs ----------------------------------------
 */

PyObject *
dec_ident(struct dec *d, PyTypeObject *type)
{
    struct buf copy;
    PyObject *o = NULL;
    const uint8_t *at = --d->rd.p; /* the tag is part of it */
    buf_init(&copy, WIRE_LIMIT_MAX_FRAME);
    int r = etf_copy(&d->rd, &copy, d->max_depth - d->depth);
    if (r != 0)
        dec_fail_code(d, at, r);
    else
        o = ident_new(type, copy.data, copy.len);
    buf_fini(&copy);
    return o;
}

/* ---- unknown tags --- */

PyObject *
dec_fail_tag(struct dec *d, uint8_t tag)
{
    static const struct {
        uint8_t tag;
        const char *what;
    } known[] = {
        {68, "a distribution header"},
        {80, "a compressed term inside a term"},
        {82, "a reference to a distribution atom cache"},
        {117, "a fun in the form of R8"},
        {121, "a term in the local format, which only its node can read"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].tag == tag)
            return dec_fail(d, d->rd.p - 1, known[i].what);
    }
    char text[32];
    PyOS_snprintf(text, sizeof text, "unknown tag %d", tag);
    return dec_fail(d, d->rd.p - 1, text);
}
