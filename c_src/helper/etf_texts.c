/* SPDX-License-Identifier: Apache-2.0 */
/* etf_texts.c - see etf_texts.h.
 *
 * One slot per hash value, as with atoms.  A text is kept when it is seen for
 * the second time with none of its slot in between, so a list of ten thousand
 * different names costs two words written for each and keeps none of them.
 * The texts are not interned: from Python 3.12 on those would live for ever.
 *
 * Whoever chooses the texts can make them share a slot.  Then each is made
 * anew, as if nothing were remembered; nothing is searched, so that is all. */
#include "py.h"
#include "etf_texts.h"

#include "pages.h"
#include "utf8.h"

enum { SLOTS = 1024, LONGEST = 40, WINDOW = 256 };

static struct slot {
    PyObject *text; /* a compact ASCII str, or NULL */
    uint64_t hash;  /* of it */
    uint64_t last;  /* of the text that was not found last */
} slots[SLOTS];

size_t
etf_ascii_prefix(const uint8_t *p, size_t n)
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
    if (s == NULL)
        return NULL;
    if (n >= PAGES_WORTH)
        pages_expect(PyUnicode_1BYTE_DATA(s), n);
    memcpy(PyUnicode_1BYTE_DATA(s), p, n);
    return s;
}

PyObject *
etf_bytes(const uint8_t *p, size_t n)
{
    if (n < PAGES_WORTH)
        return PyBytes_FromStringAndSize((const char *)p, (Py_ssize_t)n);
    PyObject *s = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n);
    if (s == NULL)
        return NULL;
    pages_expect(PyBytes_AS_STRING(s), n);
    memcpy(PyBytes_AS_STRING(s), p, n);
    return s;
}

/* A code point of text that is known to be UTF-8; *p moves behind it. */
static Py_UCS4
next_char(const uint8_t **p)
{
    const uint8_t *s = *p;
    if (s[0] < 0x80) {
        *p += 1;
        return s[0];
    }
    if (s[0] < 0xe0) {
        *p += 2;
        return (Py_UCS4)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
    }
    if (s[0] < 0xf0) {
        *p += 3;
        return (Py_UCS4)(s[0] & 0x0f) << 12 | (Py_UCS4)(s[1] & 0x3f) << 6 |
               (s[2] & 0x3f);
    }
    *p += 4;
    return (Py_UCS4)(s[0] & 0x07) << 18 | (Py_UCS4)(s[1] & 0x3f) << 12 |
           (Py_UCS4)(s[2] & 0x3f) << 6 | (s[3] & 0x3f);
}

/* The largest code point of the kind that holds the largest one here, which
 * the largest byte shows: only a sequence's first one is above 0xbf. */
static Py_UCS4
kind_max(const uint8_t *p, size_t n)
{
    uint8_t most = 0;
    for (size_t i = 0; i < n; i++)
        most = p[i] > most ? p[i] : most;
    return most < 0xc4 ? 0xff : most < 0xf0 ? 0xffff : 0x10ffff;
}

/* Text of so many characters that is known to be UTF-8, and not only ASCII. */
static PyObject *
make_wide(const uint8_t *p, size_t n, Py_ssize_t chars)
{
    PyObject *s = PyUnicode_New(chars, kind_max(p, n));
    if (s == NULL)
        return NULL;
    int kind = PyUnicode_KIND(s);
    void *data = PyUnicode_DATA(s);
    for (Py_ssize_t i = 0; i < chars; i++)
        PyUnicode_WRITE(kind, data, i, next_char(&p));
    return s;
}

/* NULL, without an exception, where it is no text. */
static PyObject *
make_short_text(const uint8_t *p, size_t n)
{
    long chars = utf8_length(p, n);
    if (chars < 0)
        return NULL;
    /* Python has the ones of one character already. */
    return chars > 1
               ? make_wide(p, n, chars)
               : PyUnicode_DecodeUTF8((const char *)p, (Py_ssize_t)n, NULL);
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

/* NULL, without an exception, where it is no text. */
static PyObject *
make_text(const uint8_t *p, size_t n)
{
    size_t ascii = etf_ascii_prefix(p, n);
    if (ascii == n && n > 1)
        return make_ascii(p, n);
    if (n <= WINDOW)
        return make_short_text(p, n);
    if (!may_be_text(p + ascii, n - ascii))
        return NULL;
    PyObject *s = PyUnicode_DecodeUTF8((const char *)p, (Py_ssize_t)n, NULL);
    if (s == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
        PyErr_Clear();
    return s;
}

static PyObject *
make(const uint8_t *p, size_t n)
{
    PyObject *s = make_text(p, n);
    return s != NULL || PyErr_Occurred() ? s : etf_bytes(p, n);
}

PyObject *
etf_text_of(PyObject *bytes)
{
    PyObject *s = make_text((const uint8_t *)PyBytes_AS_STRING(bytes),
                            (size_t)PyBytes_GET_SIZE(bytes));
    return s != NULL || PyErr_Occurred() ? s : Py_NewRef(bytes);
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
