/* SPDX-License-Identifier: Apache-2.0 */
/* etf_dec.h - the decoder's state, shared by its two files only:
 * etf_decode.c (dispatch and containers) and etf_decode_leaf.c (the rest).
 * Every function returns a new reference, or NULL with an exception set. */
#ifndef TERRARIUM_ETF_DEC_H
#define TERRARIUM_ETF_DEC_H

#include "py.h"
#include "etf_decode.h"
#include "rd.h"

struct dec {
    struct rd rd;
    const uint8_t *start;
    uint64_t owed;
    uint32_t depth; /* open containers */
    uint32_t max_depth;
    uint32_t frozen;               /* inside how many keys */
    int inflated;                  /* bytes are counted in the inflated term */
    const struct objref *refs;     /* NULL: references are tuples */
    struct segment_list *segments; /* NULL: segments are tuples */
    struct etf_part *part;
    const uint8_t *part_at; /* where it was; NULL: there is none */
};

/* What a byte's number in a message is of. */
static inline const char *
dec_place(const struct dec *d)
{
    return d->inflated ? " of the inflated term" : "";
}

/* Is there a part that was not met yet? */
static inline int
dec_has_part(const struct dec *d)
{
    return d->part_at != NULL && d->part->object != NULL;
}

/* Is it the one whose head was just read? */
static inline int
dec_at_part(const struct dec *d)
{
    return d->part_at == d->rd.p && dec_has_part(d);
}

/* The number of this byte, as a message has it. */
Py_ssize_t dec_number(const struct dec *d, const uint8_t *at);

/* DecodeError: what, at which byte.  All return NULL. */
PyObject *dec_fail(struct dec *d, const uint8_t *at, const char *what);
PyObject *dec_fail_short(struct dec *d);
PyObject *dec_fail_code(struct dec *d, const uint8_t *at, int code);
PyObject *dec_fail_tag(struct dec *d, uint8_t tag);

/* The count or length after a tag: 1, 2 or 4 bytes.  0, or -1. */
int dec_length(struct dec *d, size_t width, size_t *n);

/* Each reads what follows its tag. */
PyObject *dec_integer(struct dec *d);
PyObject *dec_float(struct dec *d);
PyObject *dec_float_text(struct dec *d);
PyObject *dec_big(struct dec *d, size_t width);
PyObject *dec_atom(struct dec *d, size_t width);
PyObject *dec_latin1_atom(struct dec *d, size_t width);
PyObject *dec_binary(struct dec *d); /* str where it is UTF-8, else bytes */
PyObject *dec_bytes(struct dec *d);  /* a binary as bytes in any case */
PyObject *dec_bits(struct dec *d);
PyObject *dec_string(struct dec *d); /* a list, never frozen */
PyObject *dec_ident(struct dec *d, PyTypeObject *type);

#endif
