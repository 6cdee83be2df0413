/* SPDX-License-Identifier: Apache-2.0 */
/* etf_enc.h - the encoder's state, shared by its files only: etf_encode.c
 * (dispatch, lists and tuples), etf_encode_leaf.c (scalars), etf_encode_map.c
 * (whatever is a map), etf_encode_other.c (what is known by its interface),
 * etf_encode_path.c (errors and where they are).
 * Every function returns 0, or -1: then either a Python exception is set, or
 * `message` is, which etf_encode raises with the path. */
#ifndef TERRARIUM_ETF_ENC_H
#define TERRARIUM_ETF_ENC_H

#include "py.h"

#include <math.h>
#include <string.h>

#include "buf.h"
#include "etf_tags.h"
#include "out.h"

/* An open container; they lie on the C stack. */
struct enc_open {
    PyObject *object;
    struct enc_open *up;
};

struct enc {
    struct buf *out;
    struct out *refs; /* what `out` is the bytes of; NULL: copy everything */
    size_t max;       /* bytes in all, for a message */
    uint32_t keys;    /* inside how many keys */
    PyObject *fresh;  /* a bytearray that nobody else can reach, or NULL */
    struct enc_open *top;
    uint32_t depth;
    uint32_t max_depth;
    int handles;       /* of ids only those that are handles */
    uint32_t ticks;    /* containers so far: when to look for signals */
    PyObject *message; /* our own error, not raised yet */
    PyObject *path;    /* list of str, innermost first; NULL: empty */
};

/* ---- errors and places (etf_encode_path.c) ------------------------------- */

/* Keep this message; always -1. */
int enc_fail(struct enc *e, const char *format, ...);
int enc_fail_type(struct enc *e, PyObject *o);
int enc_fail_buf(struct enc *e, int code);
/* While an error goes up: the place where this container held the culprit. */
void enc_at_index(struct enc *e, Py_ssize_t i);
void enc_at_key(struct enc *e, PyObject *key);
void enc_at_nth_key(struct enc *e, Py_ssize_t i);
void enc_at_name(struct enc *e, PyObject *name);
/* Raise what enc_fail kept. */
void enc_raise(struct enc *e);

/* ---- containers ---------------------------------------------------------- */

/* Open o: -1 where it is nested too deeply, or inside itself. */
int enc_enter(struct enc *e, PyObject *o, struct enc_open *self);
static inline void
enc_leave(struct enc *e, struct enc_open *self)
{
    e->top = self->up;
    e->depth--;
}

int enc_any(struct enc *e, PyObject *o);
int enc_integer(struct enc *e, PyObject *o); /* an int or a subclass */
int enc_float(struct enc *e, double v);
int enc_word(struct enc *e, const char *text); /* the atom with this name */
int enc_atom(struct enc *e, PyObject *o);
int enc_str(struct enc *e, PyObject *o);
int enc_bits(struct enc *e, PyObject *o);
int enc_buffer(struct enc *e, PyObject *o); /* whatever exports one */
int enc_bytes(struct enc *e, PyObject *o);  /* exactly bytes */
int enc_binary(struct enc *e, const void *p, size_t n);
/* The same for bytes that lie in `owner` and never change. */
int enc_binary_of(struct enc *e, PyObject *owner, const void *p, size_t n);
/* A tag and a 32-bit count; a count that does not fit is an error. */
int enc_count(struct enc *e, uint8_t tag, Py_ssize_t n);
int enc_dict(struct enc *e, PyObject *o);
int enc_mapping(struct enc *e, PyObject *o);
int enc_dataclass(struct enc *e, PyObject *o);
/* Not an exact type that enc_any knows. */
int enc_other(struct enc *e, PyObject *o);

/* ---- bytes --------------------------------------------------------------- */

/* Where the next n bytes go; NULL is an error.  Add to out->len what is
 * written there. */
static inline uint8_t *
enc_room(struct enc *e, size_t n)
{
    struct buf *b = e->out;
    int r = buf_reserve(b, n);
    if (r == 0)
        return b->data + b->len;
    enc_fail_buf(e, r);
    return NULL;
}

static inline int
enc_put(struct enc *e, const void *p, size_t n)
{
    uint8_t *to = enc_room(e, n);
    if (to == NULL)
        return -1;
    memcpy(to, p, n);
    e->out->len += n;
    return 0;
}

static inline int
enc_u8(struct enc *e, uint8_t v)
{
    uint8_t *to = enc_room(e, 1);
    if (to == NULL)
        return -1;
    *to = v;
    e->out->len++;
    return 0;
}

/* Small ints and floats, where their bytes have room: 1, else 0.  Runs no code
 * of anybody. */
static inline int
enc_quick(struct enc *e, PyObject *o)
{
    enum { LONGEST = 9 };
    struct buf *b = e->out;
    uint8_t *p = b->data + b->len;
    Py_ssize_t v;
    if (b->cap - b->len < LONGEST)
        return 0;
    if (PyLong_CheckExact(o) && py_long_small(o, &v) && v >= INT32_MIN &&
        v <= INT32_MAX) {
        if (v >= 0 && v <= UINT8_MAX) {
            p[0] = ETF_SMALL_INTEGER;
            p[1] = (uint8_t)v;
            b->len += 2;
        } else {
            p[0] = ETF_INTEGER;
            put_be32(p + 1, (uint32_t)(int32_t)v);
            b->len += 5;
        }
        return 1;
    }
    if (PyFloat_CheckExact(o) && isfinite(PyFloat_AS_DOUBLE(o))) {
        double f = PyFloat_AS_DOUBLE(o);
        uint64_t bits;
        memcpy(&bits, &f, sizeof bits);
        p[0] = ETF_NEW_FLOAT;
        put_be64(p + 1, bits);
        b->len += 9;
        return 1;
    }
    return 0;
}

#endif
