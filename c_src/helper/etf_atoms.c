/* SPDX-License-Identifier: Apache-2.0 */
/* etf_atoms.c - see etf_atoms.h.  One slot per hash value: a newer atom drives
 * out an older one, so the size is fixed and nothing is ever searched. */
#include "py.h"
#include "etf_atoms.h"

#include <string.h>

#include "erltypes.h"
#include "etf_texts.h"

enum { SLOTS = 1024, LONGEST = 51 };

static struct slot {
    PyObject *object; /* NULL: empty */
    uint64_t hash;
    uint8_t len;
    char text[LONGEST];
} slots[SLOTS];

static int
is(const uint8_t *p, size_t n, const char *text)
{
    return n == strlen(text) && memcmp(p, text, n) == 0;
}

static PyObject *
make(const uint8_t *p, size_t n)
{
    if (is(p, n, "true"))
        return Py_NewRef(Py_True);
    if (is(p, n, "false"))
        return Py_NewRef(Py_False);
    if (is(p, n, "none") || is(p, n, "nil") || is(p, n, "undefined"))
        return Py_NewRef(Py_None);
    if (is(p, n, "infinity"))
        return PyFloat_FromDouble(Py_HUGE_VAL);
    if (is(p, n, "neg_infinity"))
        return PyFloat_FromDouble(-Py_HUGE_VAL);
    if (is(p, n, "nan"))
        return PyFloat_FromDouble(Py_NAN);
    PyObject *text = PyUnicode_DecodeUTF8((const char *)p, (Py_ssize_t)n, NULL);
    PyObject *atom = text == NULL ? NULL : atom_new(text);
    Py_XDECREF(text);
    return atom;
}

PyObject *
etf_atom(const uint8_t *p, size_t n)
{
    if (n > LONGEST)
        return make(p, n);
    uint64_t h = etf_short_hash(p, n);
    struct slot *s = &slots[h % SLOTS];
    if (s->object != NULL && s->hash == h && s->len == n &&
        memcmp(s->text, p, n) == 0)
        return Py_NewRef(s->object);
    PyObject *o = make(p, n);
    if (o == NULL)
        return NULL;
    PyObject *old = s->object;
    s->object = Py_NewRef(o);
    s->hash = h;
    s->len = (uint8_t)n;
    memcpy(s->text, p, n);
    Py_XDECREF(old);
    return o;
}
