/* SPDX-License-Identifier: Apache-2.0 */
/* out.h - what is to be written: bytes of our own, and between them large
 * Python objects that are written from where they lie.
 *
 * Used by: session, dispatch, the encoder.   Knows: py.h, buf.
 * Does not know: frames, ETF, the channel.
 * The bytes are one growable buffer, so whoever appends needs to know nothing
 * else; a reference stands at an offset of it.
 * Ownership: owns its bytes and a reference to each object, until that object
 * is consumed.
 * Errors: E_NOMEM, E_LIMIT; after an error nothing has changed.
 * Threads: the caller holds the GIL, but for out_view's result, which may be
 * read without. */
#ifndef TERRARIUM_OUT_H
#define TERRARIUM_OUT_H

#include "py.h"

#include <sys/uio.h>

#include "buf.h"

enum { OUT_REF_FROM = 64 << 10 }; /* bytes: less is copied */

struct out_ref {
    PyObject *owner;
    const uint8_t *p;
    size_t n;
    size_t at; /* the offset in `bytes` before which it is written */
};

struct out {
    struct buf bytes; /* append here with buf_put */
    struct out_ref *refs;
    size_t ref_count, ref_cap;
    size_t ref_bytes;    /* of all refs */
    size_t at;           /* consumed of `bytes` */
    size_t ref, ref_at;  /* the first ref not consumed, and how much of it */
    size_t ref_consumed; /* of all refs */
};

/* A place to count from, or to go back to.  Void once something was consumed
 * behind it. */
struct out_mark {
    size_t bytes, refs, ref_bytes;
};

/* At most max bytes in all, whether own or referenced. */
void out_init(struct out *o, size_t max);
void out_fini(struct out *o);

/* The maximum of all that is appended. */
static inline size_t
out_max(const struct out *o)
{
    return o->bytes.max + o->ref_bytes;
}
static inline void
out_set_max(struct out *o, size_t max)
{
    o->bytes.max = max - o->ref_bytes;
}

/* Append p[0..n), which lies in `owner` and does not change while a reference
 * to owner is held (borrowed; a new one is taken).  The bytes' own maximum
 * becomes smaller by n, so that it stays the maximum of all. */
int out_put_ref(struct out *o, PyObject *owner, const void *p, size_t n);

struct out_mark out_mark(const struct out *o);
/* Bytes appended since, own and referenced. */
size_t out_since(const struct out *o, struct out_mark m);
/* Undo what was appended since. */
void out_rewind(struct out *o, struct out_mark m);

/* Bytes not yet consumed. */
static inline size_t
out_left(const struct out *o)
{
    return o->bytes.len - o->at + o->ref_bytes - o->ref_consumed;
}

/* The first of what is left, as at most max pieces; returns how many.  Good
 * until the next call that changes o. */
int out_view(const struct out *o, struct iovec *v, int max);

/* Move all of `from` behind `to`; from is empty then.  E_NOMEM: neither has
 * changed. */
int out_append(struct out *to, struct out *from);
/* Drop all that is there; memory beyond `keep` bytes is given back. */
void out_clear(struct out *o, size_t keep);

/* n bytes of the view were written.  Objects are released as they are
 * consumed; when nothing is left, memory beyond `keep` bytes is given back. */
void out_consume(struct out *o, size_t n, size_t keep);

#endif
