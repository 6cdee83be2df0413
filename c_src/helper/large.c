/* SPDX-License-Identifier: Apache-2.0 */
#include "large.h"

#include <string.h>

#include "err.h"
#include "etf_texts.h"
#include "pages.h"

/* So much of what was announced is taken for a byte that is there: up to 64 MiB
 * grow once.  It costs address space; memory comes with the bytes. */
enum { AHEAD = 1024 };

static uint8_t *
data_of(PyObject *o)
{
    return PyBytes_Check(o) ? (uint8_t *)PyBytes_AS_STRING(o)
                            : (uint8_t *)PyUnicode_1BYTE_DATA(o);
}

static PyObject *
new_object(size_t room, int text)
{
    return text ? PyUnicode_New((Py_ssize_t)room, 127)
                : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
}

static int
no_memory(struct large *l)
{
    PyErr_Clear();
    large_drop(l);
    return E_NOMEM;
}

/* Room for all of it, but never out of proportion to what is there. */
static size_t
room_for(const struct large *l, size_t have)
{
    size_t least = have > LARGE_FROM ? have : LARGE_FROM;
    return l->part.length / AHEAD < least ? l->part.length : least * AHEAD;
}

int
large_begin(struct large *l, const struct etf_found *f, const uint8_t *p,
            size_t n)
{
    int text = !f->as_bytes && etf_ascii_prefix(p, n) == n;
    memset(l, 0, sizeof *l);
    l->part.at = f->at;
    l->part.length = f->length;
    l->room = room_for(l, n);
    l->part.object = new_object(l->room, text);
    if (l->part.object == NULL)
        return no_memory(l);
    pages_expect(data_of(l->part.object), l->room);
    memcpy(data_of(l->part.object), p, n);
    l->have = n;
    return 0;
}

void
large_drop(struct large *l)
{
    Py_CLEAR(l->part.object);
    memset(l, 0, sizeof *l);
}

static int
grow(struct large *l)
{
    size_t room = room_for(l, l->have);
    PyObject **o = &l->part.object;
    int r = PyBytes_Check(*o) ? _PyBytes_Resize(o, (Py_ssize_t)room)
                              : PyUnicode_Resize(o, (Py_ssize_t)room);
    if (r < 0)
        return no_memory(l);
    l->room = room;
    pages_expect(data_of(*o) + l->have, room - l->have);
    return 0;
}

int
large_space(struct large *l, uint8_t **p, size_t *cap)
{
    int r = l->have == l->room ? grow(l) : 0;
    if (r != 0)
        return r;
    *p = data_of(l->part.object) + l->have;
    *cap = l->room - l->have;
    return 0;
}

/* It is not ASCII after all. */
static int
become_bytes(struct large *l)
{
    PyObject *bytes = new_object(l->room, 0);
    if (bytes == NULL)
        return no_memory(l);
    pages_expect(data_of(bytes), l->room);
    memcpy(data_of(bytes), data_of(l->part.object), l->have);
    Py_SETREF(l->part.object, bytes);
    return 0;
}

int
large_filled(struct large *l, size_t n)
{
    const uint8_t *p = data_of(l->part.object) + l->have;
    l->have += n;
    if (PyBytes_Check(l->part.object) || etf_ascii_prefix(p, n) == n)
        return 0;
    return become_bytes(l);
}

struct etf_part
large_take(struct large *l)
{
    struct etf_part part = l->part;
    memset(l, 0, sizeof *l);
    return part;
}
