/* SPDX-License-Identifier: Apache-2.0 */
/* etf_texts.c - see etf_texts.h.
 *
 * One slot per hash value, as with atoms.  A text is kept when it is seen for
 * the second time with none of its slot in between, so a list of ten thousand
 * different names costs two words written for each and keeps none of them.
 * The texts are not interned: from Python 3.12 on those would live for ever. */
#include "py.h"
#include "etf_texts.h"

#include "utf8.h"

enum { SLOTS = 1024, LONGEST = 40, WINDOW = 256 };

static struct slot {
    PyObject *text; /* a compact ASCII str, or NULL */
    uint64_t hash;  /* of it */
    uint64_t last;  /* of the text that was not found last */
} slots[SLOTS];

/* How many bytes at the start are ASCII, in steps of a word at least. */
static size_t
ascii_prefix(const uint8_t *p, size_t n)
{
    enum { STEP = 32 };
    const uint64_t high = UINT64_C(0x8080808080808080);
    size_t at = 0;
    uint64_t v[STEP / 8];
    for (; n - at >= STEP; at += STEP) {
        memcpy(v, p + at, STEP);
        if (((v[0] | v[1] | v[2] | v[3]) & high) != 0)
            break;
    }
    for (; n - at >= 8; at += 8) {
        memcpy(v, p + at, 8);
        if ((v[0] & high) != 0)
            break;
    }
    while (at < n && p[at] < 0x80)
        at++;
    return at;
}

static PyObject *
make_ascii(const uint8_t *p, size_t n)
{
    PyObject *s = PyUnicode_New((Py_ssize_t)n, 127);
    if (s != NULL)
        memcpy(PyUnicode_1BYTE_DATA(s), p, n);
    return s;
}

/* 0 if the start shows that it is no UTF-8.  What is not text shows it within
 * some bytes, and an exception with a copy of a large binary is dear. */
static int
may_be_text(const uint8_t *p, size_t n)
{
    if (n > WINDOW) {
        n = WINDOW;
        while (n > WINDOW - 4 && (p[n] & 0xC0) == 0x80)
            n--; /* to the start of a character */
    }
    return utf8_length(p, n) >= 0;
}

static PyObject *
make(const uint8_t *p, size_t n)
{
    size_t ascii = ascii_prefix(p, n);
    if (ascii == n && n > 1)
        return make_ascii(p, n);
    if (may_be_text(p + ascii, n - ascii)) {
        PyObject *s =
            PyUnicode_DecodeUTF8((const char *)p, (Py_ssize_t)n, NULL);
        if (s != NULL || !PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
            return s;
        PyErr_Clear();
    }
    return PyBytes_FromStringAndSize((const char *)p, (Py_ssize_t)n);
}

static void
keep(struct slot *s, uint64_t h, PyObject *o)
{
    if (!PyUnicode_Check(o) || !PyUnicode_IS_COMPACT_ASCII(o))
        return;
    s->hash = h;
    Py_XSETREF(s->text, Py_NewRef(o));
}

PyObject *
etf_text(const uint8_t *p, size_t n)
{
    if (n > LONGEST || n < 2)
        return make(p, n);
    uint64_t h = etf_short_hash(p, n);
    struct slot *s = &slots[h % SLOTS];
    if (s->hash == h && s->text != NULL &&
        (size_t)PyUnicode_GET_LENGTH(s->text) == n &&
        memcmp(PyUnicode_1BYTE_DATA(s->text), p, n) == 0)
        return Py_NewRef(s->text);
    PyObject *o = make(p, n);
    if (o != NULL && s->last == h)
        keep(s, h, o);
    s->last = h;
    return o;
}
