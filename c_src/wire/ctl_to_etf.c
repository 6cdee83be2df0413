/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_to_etf.c - a control message as a term for Erlang.
 *
 * Used by: driver (through ctl.h).   Does not know: msgpack-c; it goes through
 * ctl_value.h.   What it writes, binary_to_term(B, [safe]) reads: a helper's
 * hello comes this way too.
 * Ownership: appends to the caller's buffer; after an error the buffer is as
 * long as before. */
#include "ctl.h"

#include <math.h>
#include <string.h>

#include "ctl_value.h"
#include "err.h"
#include "etf_tags.h"

static int
put_tagged(struct buf *b, uint8_t tag, uint32_t n)
{
    uint8_t head[5] = {tag};
    put_be32(head + 1, n);
    return buf_put(b, head, sizeof head);
}

static int
put_atom(void *to, const char *name)
{
    uint8_t head[2] = {ETF_SMALL_ATOM_UTF8, (uint8_t)strlen(name)};
    int e = buf_put(to, head, sizeof head);
    return e != 0 ? e : buf_put(to, name, head[1]);
}

static int
put_nil(void *to)
{
    return put_atom(to, "nil");
}

static int
put_boolean(void *to, int v)
{
    return put_atom(to, v ? "true" : "false");
}

static int
put_big(struct buf *b, uint64_t magnitude, int sign)
{
    uint8_t big[3 + 8] = {ETF_SMALL_BIG, 0, (uint8_t)sign};
    for (; magnitude != 0; magnitude >>= 8)
        big[3 + big[1]++] = (uint8_t)magnitude;
    return buf_put(b, big, 3 + (size_t)big[1]);
}

static int
put_uint(void *to, uint64_t v)
{
    uint8_t small[2] = {ETF_SMALL_INTEGER, (uint8_t)v};
    if (v <= UINT8_MAX)
        return buf_put(to, small, sizeof small);
    if (v <= INT32_MAX)
        return put_tagged(to, ETF_INTEGER, (uint32_t)v);
    return put_big(to, v, 0);
}

static int
put_negative(void *to, int64_t v)
{
    if (v >= INT32_MIN)
        return put_tagged(to, ETF_INTEGER, (uint32_t)v);
    return put_big(to, 0 - (uint64_t)v, 1);
}

/* Erlang has no infinity and no NaN. */
static int
put_real(void *to, double v)
{
    uint8_t float_ext[9] = {ETF_NEW_FLOAT};
    uint64_t bits;
    if (!isfinite(v))
        return E_FORMAT;
    memcpy(&bits, &v, sizeof bits);
    put_be64(float_ext + 1, bits);
    return buf_put(to, float_ext, sizeof float_ext);
}

static int
put_bytes(void *to, const char *p, size_t n)
{
    int e = put_tagged(to, ETF_BINARY, (uint32_t)n);
    return e != 0 ? e : buf_put(to, p, n);
}

static int
put_list(void *to, uint32_t count)
{
    return count == 0 ? buf_put_u8(to, ETF_NIL)
                      : put_tagged(to, ETF_LIST, count);
}

static int
put_list_end(void *to, uint32_t count)
{
    return count == 0 ? 0 : buf_put_u8(to, ETF_NIL);
}

static int
put_map(void *to, uint32_t pairs)
{
    return put_tagged(to, ETF_MAP, pairs);
}

static const struct ctl_sink etf_sink = {
    .nil = put_nil,
    .boolean = put_boolean,
    .uint = put_uint,
    .negative = put_negative,
    .real = put_real,
    .bytes = put_bytes,
    .list = put_list,
    .list_end = put_list_end,
    .map = put_map,
};

int
ctl_to_etf(const void *p, size_t n, struct buf *etf)
{
    size_t before = etf->len;
    int e = buf_put_u8(etf, ETF_VERSION);
    if (e == 0)
        e = ctl_walk(p, n, &etf_sink, etf);
    if (e != 0)
        etf->len = before;
    return e;
}
