/* SPDX-License-Identifier: Apache-2.0 */
#include "out.h"

#include <string.h>

#include "err.h"
#include "mem.h"

enum { REFS_MIN = 8, REFS_KEEP = 1024 };

void
out_init(struct out *o, size_t max)
{
    memset(o, 0, sizeof *o);
    buf_init(&o->bytes, max);
}

/* The last references, down to `count` of them. */
static void
drop_refs(struct out *o, size_t count)
{
    while (o->ref_count > count) {
        struct out_ref *r = &o->refs[--o->ref_count];
        o->ref_bytes -= r->n;
        o->bytes.max += r->n;
        Py_CLEAR(r->owner); /* NULL where it is consumed */
    }
}

void
out_fini(struct out *o)
{
    drop_refs(o, 0);
    mem_free(o->refs);
    size_t max = o->bytes.max;
    buf_fini(&o->bytes);
    out_init(o, max);
}

static int
reserve_refs(struct out *o, size_t more)
{
    while (o->ref_cap < o->ref_count + more) {
        size_t cap = o->ref_cap ? o->ref_cap * 2 : REFS_MIN;
        struct out_ref *refs = mem_realloc(o->refs, cap * sizeof *refs);
        if (refs == NULL)
            return E_NOMEM;
        o->refs = refs;
        o->ref_cap = cap;
    }
    return 0;
}

int
out_put_ref(struct out *o, PyObject *owner, const void *p, size_t n)
{
    if (n > o->bytes.max || o->bytes.len > o->bytes.max - n)
        return E_LIMIT;
    int r = reserve_refs(o, 1);
    if (r != 0)
        return r;
    Py_INCREF(owner);
    o->refs[o->ref_count++] = (struct out_ref){owner, p, n, o->bytes.len};
    o->ref_bytes += n;
    o->bytes.max -= n;
    return 0;
}

/* ---- marks --------------------------------------------------------------- */

struct out_mark
out_mark(const struct out *o)
{
    return (struct out_mark){o->bytes.len, o->ref_count, o->ref_bytes};
}

size_t
out_since(const struct out *o, struct out_mark m)
{
    return o->bytes.len - m.bytes + o->ref_bytes - m.ref_bytes;
}

void
out_rewind(struct out *o, struct out_mark m)
{
    drop_refs(o, m.refs);
    o->bytes.len = m.bytes;
}

/* ---- writing ------------------------------------------------------------- */

/* The next piece from this place on, which moves behind it; 0 bytes: none. */
static struct iovec
next_piece(const struct out *o, size_t *at, size_t *ref, size_t *ref_at)
{
    const struct out_ref *r = *ref < o->ref_count ? &o->refs[*ref] : NULL;
    size_t end = r ? r->at : o->bytes.len;
    struct iovec v = {NULL, 0};
    if (*at < end) {
        v = (struct iovec){o->bytes.data + *at, end - *at};
        *at = end;
    } else if (r != NULL) {
        v = (struct iovec){(void *)(r->p + *ref_at), r->n - *ref_at};
        *ref_at = 0;
        ++*ref;
    }
    return v;
}

int
out_view(const struct out *o, struct iovec *v, int max)
{
    size_t at = o->at, ref = o->ref, ref_at = o->ref_at;
    int n = 0;
    while (n < max && (v[n] = next_piece(o, &at, &ref, &ref_at)).iov_len > 0)
        n++;
    return n;
}

static void
reset(struct out *o, size_t keep)
{
    drop_refs(o, 0);
    o->at = o->ref = o->ref_at = o->ref_consumed = 0;
    if (o->ref_cap > REFS_KEEP) {
        mem_free(o->refs);
        o->refs = NULL;
        o->ref_cap = 0;
    }
    buf_reset(&o->bytes, keep);
}

void
out_clear(struct out *o, size_t keep)
{
    if (o->bytes.len > 0 || o->ref_count > 0)
        reset(o, keep);
}

/* Usually nothing waits, and then nothing is copied: they change places. */
static void
exchange(struct out *a, struct out *b)
{
    size_t max_a = out_max(a), max_b = out_max(b);
    struct out old = *a;
    *a = *b;
    *b = old;
    out_set_max(a, max_a);
    out_set_max(b, max_b);
}

int
out_append(struct out *to, struct out *from)
{
    if (out_left(to) == 0) {
        exchange(to, from);
        return 0;
    }
    size_t at = to->bytes.len;
    int r = reserve_refs(to, from->ref_count);
    if (r == 0)
        r = buf_put(&to->bytes, from->bytes.data, from->bytes.len);
    if (r != 0)
        return r;
    for (size_t i = 0; i < from->ref_count; i++) {
        struct out_ref ref = from->refs[i];
        ref.at += at;
        to->refs[to->ref_count++] = ref;
        to->ref_bytes += ref.n;
        to->bytes.max -= ref.n;
        from->refs[i].owner = NULL;
    }
    out_clear(from, SIZE_MAX);
    return 0;
}

/* At most n bytes of the ref that is next. */
static size_t
consume_ref(struct out *o, size_t n)
{
    struct out_ref *r = &o->refs[o->ref];
    size_t left = r->n - o->ref_at;
    if (n > left)
        n = left;
    o->ref_at += n;
    o->ref_consumed += n;
    if (n == left) {
        o->ref++;
        o->ref_at = 0;
        Py_CLEAR(r->owner);
    }
    return n;
}

void
out_consume(struct out *o, size_t n, size_t keep)
{
    while (n > 0 && out_left(o) > 0) {
        size_t end = o->ref < o->ref_count ? o->refs[o->ref].at : o->bytes.len;
        size_t some = end - o->at;
        if (some > n)
            some = n;
        o->at += some;
        if (some == 0)
            some = consume_ref(o, n);
        n -= some;
    }
    if (out_left(o) == 0)
        reset(o, keep);
}
