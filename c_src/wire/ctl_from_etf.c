/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_from_etf.c - a term from Erlang as a control message.
 *
 * Used by: driver (through ctl.h).   Does not know: msgpack-c; it goes through
 * ctl_value.h.
 * Ownership: appends to the caller's buffer; after an error the buffer is as
 * long as before.
 * Errors: E_SHORT, E_TRAILING, E_FORMAT (not ETF), E_REFUSED (a term that a
 * message cannot carry, or not a map), E_DEPTH, E_LIMIT, E_NOMEM.
 * Recursion: CTL_MAX_DEPTH levels. */
#include "ctl.h"

#include <math.h>
#include <string.h>

#include "ctl_value.h"
#include "err.h"
#include "etf_tags.h"
#include "rd.h"
#include "utf8.h"
#include "wire.h"

struct from_etf {
    struct rd r;
    struct buf *out;
    int depth;
    int as_key; /* the next value is a key of a map: string or nothing */
};

static int take_value(struct from_etf *f);

/* A list of no values is a level too: the reader counts it. */
static int
begin_list(struct from_etf *f, uint32_t count)
{
    return f->depth == CTL_MAX_DEPTH ? E_DEPTH : ctl_pack_list(f->out, count);
}

/* A container's count is believed as far as its values can still follow. */
static int
take_sequence(struct from_etf *f, uint32_t count)
{
    if (count > rd_left(&f->r))
        return E_SHORT;
    int e = begin_list(f, count);
    f->depth++;
    for (uint32_t i = 0; i < count && e == 0; i++)
        e = take_value(f);
    f->depth--;
    return e;
}

static int
take_list(struct from_etf *f)
{
    uint32_t count;
    uint8_t tail;
    int e = rd_be32(&f->r, &count);
    if (e == 0)
        e = take_sequence(f, count);
    if (e == 0)
        e = rd_u8(&f->r, &tail);
    return e != 0 ? e : tail == ETF_NIL ? 0 : E_REFUSED;
}

static int
take_tuple(struct from_etf *f, uint8_t tag)
{
    uint32_t count = 0;
    uint8_t small = 0;
    int e =
        tag == ETF_SMALL_TUPLE ? rd_u8(&f->r, &small) : rd_be32(&f->r, &count);
    return e != 0 ? e : take_sequence(f, count + small);
}

static int
take_string(struct from_etf *f)
{
    uint16_t count = 0;
    const uint8_t *p = NULL;
    int e = rd_be16(&f->r, &count);
    if (e == 0)
        e = rd_bytes(&f->r, count, &p);
    if (e == 0)
        e = begin_list(f, count);
    for (uint16_t i = 0; i < count && e == 0; i++)
        e = ctl_pack_uint(f->out, p[i]);
    return e;
}

static int
take_map(struct from_etf *f)
{
    uint32_t pairs;
    int e = rd_be32(&f->r, &pairs);
    if (e != 0)
        return e;
    if (pairs > rd_left(&f->r) / 2)
        return E_SHORT;
    if (f->depth == CTL_MAX_DEPTH)
        return E_DEPTH;
    e = ctl_pack_map(f->out, pairs);
    f->depth++;
    for (uint32_t i = 0; i < pairs && e == 0; i++) {
        f->as_key = 1;
        e = take_value(f);
        if (e == 0)
            e = take_value(f);
    }
    f->depth--;
    return e;
}

static int
take_binary(struct from_etf *f, int as_key)
{
    uint32_t n;
    const uint8_t *p = NULL;
    int e = rd_be32(&f->r, &n);
    if (e == 0)
        e = rd_bytes(&f->r, n, &p);
    if (e != 0)
        return e;
    if (utf8_length(p, n) >= 0)
        return ctl_pack_str(f->out, p, n);
    return as_key ? E_REFUSED : ctl_pack_bin(f->out, p, n);
}

static int
is_word(const uint8_t *p, size_t n, const char *word)
{
    return n == strlen(word) && memcmp(p, word, n) == 0;
}

static int
put_name(struct from_etf *f, const uint8_t *p, size_t n, int as_key)
{
    if (!as_key && is_word(p, n, "nil"))
        return ctl_pack_nil(f->out);
    if (!as_key && is_word(p, n, "true"))
        return ctl_pack_bool(f->out, 1);
    if (!as_key && is_word(p, n, "false"))
        return ctl_pack_bool(f->out, 0);
    return ctl_pack_str(f->out, p, n);
}

/* Latin-1 has 255 characters at most in an atom: 510 bytes of UTF-8. */
static size_t
from_latin1(const uint8_t *p, size_t n, uint8_t *utf8)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] >= 0x80)
            utf8[k++] = (uint8_t)(0xc0 | p[i] >> 6);
        utf8[k++] = p[i] < 0x80 ? p[i] : (uint8_t)(0x80 | (p[i] & 0x3f));
    }
    return k;
}

static int
take_atom(struct from_etf *f, uint8_t tag, int as_key)
{
    int is_small = tag == ETF_SMALL_ATOM || tag == ETF_SMALL_ATOM_UTF8;
    uint16_t n = 0;
    uint8_t small = 0, utf8[510];
    const uint8_t *p = NULL;
    int e = is_small ? rd_u8(&f->r, &small) : rd_be16(&f->r, &n);
    n = is_small ? small : n;
    if (e == 0)
        e = rd_bytes(&f->r, n, &p);
    if (e != 0)
        return e;
    if (tag == ETF_ATOM_UTF8 || tag == ETF_SMALL_ATOM_UTF8) {
        long length = utf8_length(p, n);
        return length < 0 || length > 255 ? E_FORMAT
                                          : put_name(f, p, n, as_key);
    }
    if (n > 255)
        return E_FORMAT;
    return put_name(f, utf8, from_latin1(p, n, utf8), as_key);
}

static int
take_big(struct from_etf *f)
{
    uint8_t n, sign;
    uint64_t v = 0;
    const uint8_t *digits;
    int e = rd_u8(&f->r, &n);
    if (e == 0)
        e = rd_u8(&f->r, &sign);
    if (e == 0)
        e = rd_bytes(&f->r, n, &digits);
    if (e != 0)
        return e;
    if (n > sizeof v)
        return E_REFUSED;
    while (n-- > 0)
        v = v << 8 | digits[n];
    if (sign == 0)
        return ctl_pack_uint(f->out, v);
    if (v > (uint64_t)INT64_MAX + 1)
        return E_REFUSED;
    return ctl_pack_int(f->out, v == 0 ? 0 : -(int64_t)(v - 1) - 1);
}

static int
take_integer(struct from_etf *f)
{
    uint32_t v;
    int e = rd_be32(&f->r, &v);
    return e != 0 ? e : ctl_pack_int(f->out, (int32_t)v);
}

static int
take_small_integer(struct from_etf *f)
{
    uint8_t v;
    int e = rd_u8(&f->r, &v);
    return e != 0 ? e : ctl_pack_uint(f->out, v);
}

static int
take_real(struct from_etf *f)
{
    uint64_t bits;
    double v;
    int e = rd_be64(&f->r, &bits);
    if (e != 0)
        return e;
    memcpy(&v, &bits, sizeof v);
    return isfinite(v) ? ctl_pack_real(f->out, v) : E_FORMAT;
}

static int
take_other(struct from_etf *f, uint8_t tag)
{
    switch (tag) {
    case ETF_SMALL_INTEGER:
        return take_small_integer(f);
    case ETF_INTEGER:
        return take_integer(f);
    case ETF_SMALL_BIG:
        return take_big(f);
    case ETF_NEW_FLOAT:
        return take_real(f);
    case ETF_NIL:
        return begin_list(f, 0);
    case ETF_STRING:
        return take_string(f);
    case ETF_LIST:
        return take_list(f);
    case ETF_SMALL_TUPLE:
    case ETF_LARGE_TUPLE:
        return take_tuple(f, tag);
    case ETF_MAP:
        return take_map(f);
    default:
        return E_REFUSED;
    }
}

static int
take_value(struct from_etf *f)
{
    int as_key = f->as_key;
    uint8_t tag;
    f->as_key = 0;
    if (rd_u8(&f->r, &tag) != 0)
        return E_SHORT;
    switch (tag) {
    case ETF_BINARY:
        return take_binary(f, as_key);
    case ETF_ATOM:
    case ETF_SMALL_ATOM:
    case ETF_ATOM_UTF8:
    case ETF_SMALL_ATOM_UTF8:
        return take_atom(f, tag, as_key);
    default:
        return as_key ? E_REFUSED : take_other(f, tag);
    }
}

static int
take_message(struct from_etf *f)
{
    uint8_t version, tag;
    size_t before = f->out->len;
    int e = rd_u8(&f->r, &version);
    if (e == 0)
        e = rd_u8(&f->r, &tag);
    if (e != 0)
        return e;
    if (version != ETF_VERSION)
        return E_FORMAT;
    if (tag != ETF_MAP)
        return E_REFUSED;
    e = take_map(f);
    if (e == 0)
        e = rd_end(&f->r);
    if (e == 0 && f->out->len - before > WIRE_LIMIT_MAX_CONTROL)
        e = E_LIMIT;
    return e;
}

int
ctl_from_etf(const void *p, size_t n, struct buf *packed)
{
    struct from_etf f = {.out = packed};
    size_t before = packed->len;
    rd_init(&f.r, p, n);
    int e = take_message(&f);
    if (e != 0)
        packed->len = before;
    return e;
}
