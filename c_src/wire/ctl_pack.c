/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_pack.c - the writing half of ctl.h.  This file and ctl.c, the reading
 * half, are the only ones that include <msgpack.h>.
 *
 * Ownership and errors: as ctl.h says; the first error sticks. */
#include "ctl.h"

#include <msgpack.h>
#include <string.h>

#include "ctl_value.h"
#include "err.h"
#include "wire.h"

/* map32: its count is patched at the end, when it is known. */
enum { MAP32 = 0xdf, MAP32_SIZE = 5 };

/* ---- single values ------------------------------------------------------ */

/* msgpack-c reports failure as -1 only, so the reason is kept here. */
struct to_buf {
    struct buf *b;
    int error;
};

static int
append(void *data, const char *p, size_t n)
{
    struct to_buf *to = data;
    if (to->error == 0)
        to->error = buf_put(to->b, p, n);
    return to->error == 0 ? 0 : -1;
}

/* Run one packing expression on `pk`; what a failed one wrote is undone. */
#define PACK(b, expression)                                                    \
    do {                                                                       \
        struct to_buf to = {(b), 0};                                           \
        size_t before = (b)->len;                                              \
        msgpack_packer pk;                                                     \
        msgpack_packer_init(&pk, &to, append);                                 \
        (void)(expression);                                                    \
        if (to.error != 0)                                                     \
            (b)->len = before;                                                 \
        return to.error;                                                       \
    } while (0)

int
ctl_pack_nil(struct buf *b)
{
    PACK(b, msgpack_pack_nil(&pk));
}

int
ctl_pack_bool(struct buf *b, int v)
{
    PACK(b, v ? msgpack_pack_true(&pk) : msgpack_pack_false(&pk));
}

int
ctl_pack_uint(struct buf *b, uint64_t v)
{
    PACK(b, msgpack_pack_uint64(&pk, v));
}

int
ctl_pack_int(struct buf *b, int64_t v)
{
    PACK(b, msgpack_pack_int64(&pk, v));
}

int
ctl_pack_real(struct buf *b, double v)
{
    PACK(b, msgpack_pack_double(&pk, v));
}

int
ctl_pack_str(struct buf *b, const void *p, size_t n)
{
    if (n > WIRE_LIMIT_MAX_CONTROL)
        return E_LIMIT;
    PACK(b, msgpack_pack_str_with_body(&pk, p, n));
}

int
ctl_pack_bin(struct buf *b, const void *p, size_t n)
{
    if (n > WIRE_LIMIT_MAX_CONTROL)
        return E_LIMIT;
    PACK(b, msgpack_pack_bin_with_body(&pk, p, n));
}

int
ctl_pack_list(struct buf *b, size_t count)
{
    if (count > WIRE_LIMIT_MAX_CONTROL)
        return E_LIMIT;
    PACK(b, msgpack_pack_array(&pk, count));
}

int
ctl_pack_map(struct buf *b, size_t pairs)
{
    if (pairs > WIRE_LIMIT_MAX_CONTROL)
        return E_LIMIT;
    PACK(b, msgpack_pack_map(&pk, pairs));
}

/* ---- messages ----------------------------------------------------------- */

static void
keep(struct ctl_out *o, int e)
{
    if (o->error == 0)
        o->error = e;
}

void
ctl_begin(struct ctl_out *o)
{
    static const uint8_t empty[MAP32_SIZE] = {MAP32};
    buf_init(&o->bytes, WIRE_LIMIT_MAX_CONTROL);
    o->count = 0;
    o->error = buf_put(&o->bytes, empty, sizeof empty);
}

/* Write the key; 0 when a value may follow. */
static int
begin_pair(struct ctl_out *o, const char *key)
{
    if (o->error == 0)
        keep(o, ctl_pack_str(&o->bytes, key, strlen(key)));
    o->count++;
    return o->error;
}

void
ctl_put_type(struct ctl_out *o, const char *type)
{
    ctl_put_str(o, "type", type);
}

void
ctl_put_str(struct ctl_out *o, const char *key, const char *s)
{
    if (s == NULL)
        keep(o, E_ARG);
    else if (begin_pair(o, key) == 0)
        keep(o, ctl_pack_str(&o->bytes, s, strlen(s)));
}

void
ctl_put_bin(struct ctl_out *o, const char *key, const void *p, size_t n)
{
    if (begin_pair(o, key) == 0)
        keep(o, ctl_pack_bin(&o->bytes, p, n));
}

void
ctl_put_uint(struct ctl_out *o, const char *key, uint64_t v)
{
    if (begin_pair(o, key) == 0)
        keep(o, ctl_pack_uint(&o->bytes, v));
}

void
ctl_put_int(struct ctl_out *o, const char *key, int64_t v)
{
    if (begin_pair(o, key) == 0)
        keep(o, ctl_pack_int(&o->bytes, v));
}

void
ctl_put_bool(struct ctl_out *o, const char *key, int v)
{
    if (begin_pair(o, key) == 0)
        keep(o, ctl_pack_bool(&o->bytes, v));
}

void
ctl_put_strs(struct ctl_out *o, const char *key, char *const *v, size_t count)
{
    if (begin_pair(o, key) != 0)
        return;
    keep(o, ctl_pack_list(&o->bytes, count));
    for (size_t i = 0; i < count && o->error == 0; i++)
        keep(o, v[i] == NULL ? E_ARG
                             : ctl_pack_str(&o->bytes, v[i], strlen(v[i])));
}

void
ctl_put_map(struct ctl_out *o, const char *key, const struct ctl_out *m)
{
    if (m->error != 0)
        keep(o, m->error);
    else
        ctl_put_raw(o, key, m->bytes.data, m->bytes.len);
}

void
ctl_put_raw(struct ctl_out *o, const char *key, const void *p, size_t n)
{
    if (n == 0)
        keep(o, E_ARG);
    else if (begin_pair(o, key) == 0)
        keep(o, buf_put(&o->bytes, p, n));
}

int
ctl_end(struct ctl_out *o)
{
    if (o->error == 0)
        put_be32(o->bytes.data + 1, o->count);
    return o->error;
}

void
ctl_free(struct ctl_out *o)
{
    buf_fini(&o->bytes);
    o->count = 0;
}
