/* SPDX-License-Identifier: Apache-2.0 */
/* etf_copy.c - see etf_copy.h.  One function per kind of tag; containers
 * recurse with a depth, and each announced element costs at least one byte of
 * input, so a hostile count ends at the end of the data. */
#include "etf_copy.h"

#include "etf_tags.h"
#include "utf8.h"

enum {
    ATOM_CHARS = 255,
    REF_WORDS = 5,
    PORT_BITS = 28,
    FUN_VARIABLES = 255, /* Erlang's own limit */
    FUN_FIXED = 21,      /* arity, uniq, index: kept as they are */
    ONE_BYTE = 256
};

size_t
etf_latin1_to_utf8(const uint8_t *p, size_t n, uint8_t *out)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < 0x80) {
            out[len++] = p[i];
        } else {
            out[len++] = (uint8_t)(0xc0 | (p[i] >> 6));
            out[len++] = (uint8_t)(0x80 | (p[i] & 0x3f));
        }
    }
    return len;
}

/* Bytes that follow the tag unchanged. */
static int
copy_bytes(struct rd *r, struct buf *out, size_t n)
{
    const uint8_t *p;
    int rc = rd_bytes(r, n, &p);
    return rc != 0 ? rc : buf_put(out, p, n);
}

static int
copy_tagged(struct rd *r, struct buf *out, uint8_t tag, size_t n)
{
    int rc = buf_put_u8(out, tag);
    return rc != 0 ? rc : copy_bytes(r, out, n);
}

static int
put_atom(struct buf *out, const uint8_t *p, size_t n)
{
    int rc = n < ONE_BYTE ? buf_put_u8(out, ETF_SMALL_ATOM_UTF8)
                          : buf_put_u8(out, ETF_ATOM_UTF8);
    if (rc == 0)
        rc = n < ONE_BYTE ? buf_put_u8(out, (uint8_t)n)
                          : buf_put_be16(out, (uint16_t)n);
    return rc != 0 ? rc : buf_put(out, p, n);
}

static int
copy_atom(struct rd *r, struct buf *out, uint8_t tag)
{
    int small = tag == ETF_SMALL_ATOM || tag == ETF_SMALL_ATOM_UTF8;
    uint8_t n8 = 0;
    uint16_t n16 = 0;
    int rc = small ? rd_u8(r, &n8) : rd_be16(r, &n16);
    const uint8_t *p;
    size_t n = small ? n8 : n16;
    if (rc != 0 || (rc = rd_bytes(r, n, &p)) != 0)
        return rc;
    if (tag == ETF_SMALL_ATOM_UTF8 || tag == ETF_ATOM_UTF8) {
        long chars = utf8_length(p, n);
        if (chars < 0 || chars > ATOM_CHARS)
            return E_FORMAT;
        return put_atom(out, p, n);
    }
    uint8_t text[2 * ATOM_CHARS];
    if (n > ATOM_CHARS)
        return E_FORMAT;
    return put_atom(out, text, etf_latin1_to_utf8(p, n, text));
}

/* The node of a pid, a reference or a port. */
static int
copy_node(struct rd *r, struct buf *out)
{
    uint8_t tag;
    int rc = rd_u8(r, &tag);
    if (rc != 0)
        return rc;
    switch (tag) {
    case ETF_ATOM:
    case ETF_SMALL_ATOM:
    case ETF_ATOM_UTF8:
    case ETF_SMALL_ATOM_UTF8:
        return copy_atom(r, out, tag);
    default:
        return E_FORMAT;
    }
}

/* A creation of 8 or 32 bits as one of 32. */
static int
copy_creation(struct rd *r, struct buf *out, int wide)
{
    if (wide)
        return copy_bytes(r, out, 4);
    uint8_t creation;
    int rc = rd_u8(r, &creation);
    return rc != 0 ? rc : buf_put_be32(out, creation);
}

static int
copy_pid(struct rd *r, struct buf *out, int wide)
{
    int rc = buf_put_u8(out, ETF_NEW_PID);
    if (rc == 0)
        rc = copy_node(r, out);
    if (rc == 0)
        rc = copy_bytes(r, out, 8); /* id and serial */
    return rc != 0 ? rc : copy_creation(r, out, wide);
}

/* Small numbers in the short form, as term_to_binary does. */
static int
copy_port(struct rd *r, struct buf *out, uint8_t tag)
{
    size_t at = out->len;
    uint64_t id = 0;
    uint32_t id32 = 0;
    int rc = buf_put_u8(out, ETF_NEW_PORT);
    if (rc == 0)
        rc = copy_node(r, out);
    if (rc == 0)
        rc = tag == ETF_V4_PORT ? rd_be64(r, &id) : rd_be32(r, &id32);
    if (rc != 0)
        return rc;
    id |= id32;
    if (id >> PORT_BITS != 0) {
        out->data[at] = ETF_V4_PORT;
        rc = buf_put_be64(out, id);
    } else {
        rc = buf_put_be32(out, (uint32_t)id);
    }
    return rc != 0 ? rc : copy_creation(r, out, tag != ETF_PORT);
}

static int
copy_reference(struct rd *r, struct buf *out, uint8_t tag)
{
    uint16_t words = 1;
    int rc = tag == ETF_REFERENCE ? 0 : rd_be16(r, &words);
    if (rc != 0)
        return rc;
    if (words < 1 || words > REF_WORDS)
        return E_FORMAT;
    if ((rc = buf_put_u8(out, ETF_NEWER_REFERENCE)) != 0 ||
        (rc = buf_put_be16(out, words)) != 0 || (rc = copy_node(r, out)) != 0)
        return rc;
    if (tag != ETF_REFERENCE) {
        rc = copy_creation(r, out, tag == ETF_NEWER_REFERENCE);
        return rc != 0 ? rc : copy_bytes(r, out, (size_t)words * 4);
    }
    /* The oldest form has the creation behind the one word. */
    uint32_t word;
    uint8_t creation;
    if ((rc = rd_be32(r, &word)) != 0 || (rc = rd_u8(r, &creation)) != 0 ||
        (rc = buf_put_be32(out, creation)) != 0)
        return rc;
    return buf_put_be32(out, word);
}

static int
copy_terms(struct rd *r, struct buf *out, uint64_t n, uint32_t depth)
{
    if (depth == 0)
        return E_DEPTH;
    int rc = 0;
    for (uint64_t i = 0; i < n && rc == 0; i++)
        rc = etf_copy(r, out, depth - 1);
    return rc;
}

/* One term that has either tag; anything else would be a fun that nobody
 * writes and the driver's checker refuses. */
static int
copy_one_of(struct rd *r, struct buf *out, uint8_t tag, uint8_t other)
{
    if (rd_left(r) == 0)
        return E_SHORT;
    if (*r->p != tag && *r->p != other)
        return E_FORMAT;
    return etf_copy(r, out, 1);
}

/* The old index, the old uniq, and the process that made it. */
static int
copy_fun_origin(struct rd *r, struct buf *out)
{
    int rc = copy_one_of(r, out, ETF_SMALL_INTEGER, ETF_INTEGER);
    if (rc == 0)
        rc = copy_one_of(r, out, ETF_SMALL_INTEGER, ETF_INTEGER);
    return rc != 0 ? rc : copy_one_of(r, out, ETF_NEW_PID, ETF_PID);
}

/* The size at the front counts itself and all that follows; it is written
 * anew since atoms and ids inside may have changed their length. */
static int
copy_fun(struct rd *r, struct buf *out, uint32_t depth)
{
    const uint8_t *start = r->p;
    uint32_t size, free_vars;
    int rc;
    if ((rc = rd_be32(r, &size)) != 0 ||
        (rc = buf_put_u8(out, ETF_NEW_FUN)) != 0)
        return rc;
    size_t at = out->len;
    if ((rc = buf_put_be32(out, 0)) != 0 ||
        (rc = copy_bytes(r, out, FUN_FIXED)) != 0 ||
        (rc = rd_be32(r, &free_vars)) != 0 ||
        (rc = free_vars > FUN_VARIABLES ? E_FORMAT : 0) != 0 ||
        (rc = buf_put_be32(out, free_vars)) != 0 ||
        (rc = copy_node(r, out)) != 0 || (rc = copy_fun_origin(r, out)) != 0 ||
        (rc = copy_terms(r, out, free_vars, depth)) != 0)
        return rc;
    if (size != (uint64_t)(r->p - start))
        return E_FORMAT;
    put_be32(out->data + at, (uint32_t)(out->len - at));
    return 0;
}

/* Tag, a length of `width` bytes, `extra` more bytes, and the body. */
static int
copy_sized(struct rd *r, struct buf *out, uint8_t tag, size_t width,
           size_t extra)
{
    if (rd_left(r) < width)
        return E_SHORT;
    size_t n = width == 4   ? get_be32(r->p)
               : width == 2 ? get_be16(r->p)
                            : r->p[0];
    return copy_tagged(r, out, tag, width + extra + n);
}

/* A container whose count has `width` bytes and `each` terms per count. */
static int
copy_counted(struct rd *r, struct buf *out, uint8_t tag, uint32_t depth)
{
    size_t width = tag == ETF_SMALL_TUPLE ? 1 : 4;
    int rc = copy_tagged(r, out, tag, width);
    if (rc != 0)
        return rc;
    uint64_t n = width == 1 ? r->p[-1] : get_be32(r->p - 4);
    if (tag == ETF_MAP)
        n *= 2;
    if (tag == ETF_LIST)
        n += 1;
    return copy_terms(r, out, n, depth);
}

static int
copy_container(struct rd *r, struct buf *out, uint8_t tag, uint32_t depth)
{
    switch (tag) {
    case ETF_SMALL_TUPLE:
    case ETF_LARGE_TUPLE:
    case ETF_LIST:
    case ETF_MAP:
        return copy_counted(r, out, tag, depth);
    case ETF_NEW_FUN:
        return copy_fun(r, out, depth);
    case ETF_EXPORT: {
        int rc = buf_put_u8(out, tag);
        if (rc == 0)
            rc = copy_node(r, out);
        if (rc == 0)
            rc = copy_node(r, out);
        if (rc == 0 && (rd_left(r) < 1 || *r->p != ETF_SMALL_INTEGER))
            rc = E_FORMAT;
        return rc != 0 ? rc : copy_bytes(r, out, 2);
    }
    default:
        return E_REFUSED;
    }
}

int
etf_copy(struct rd *r, struct buf *out, uint32_t depth)
{
    uint8_t tag;
    int rc = rd_u8(r, &tag);
    if (rc != 0)
        return rc;
    switch (tag) {
    case ETF_SMALL_INTEGER:
        return copy_tagged(r, out, tag, 1);
    case ETF_INTEGER:
        return copy_tagged(r, out, tag, 4);
    case ETF_NEW_FLOAT:
        return copy_tagged(r, out, tag, 8);
    case ETF_NIL:
        return buf_put_u8(out, tag);
    case ETF_STRING:
        return copy_sized(r, out, tag, 2, 0);
    case ETF_BINARY:
        return copy_sized(r, out, tag, 4, 0);
    case ETF_BIT_BINARY:
        return copy_sized(r, out, tag, 4, 1);
    case ETF_SMALL_BIG:
        return copy_sized(r, out, tag, 1, 1);
    case ETF_LARGE_BIG:
        return copy_sized(r, out, tag, 4, 1);
    case ETF_ATOM:
    case ETF_SMALL_ATOM:
    case ETF_ATOM_UTF8:
    case ETF_SMALL_ATOM_UTF8:
        return copy_atom(r, out, tag);
    case ETF_NEW_PID:
    case ETF_PID:
        return copy_pid(r, out, tag == ETF_NEW_PID);
    case ETF_NEW_PORT:
    case ETF_PORT:
    case ETF_V4_PORT:
        return copy_port(r, out, tag);
    case ETF_REFERENCE:
    case ETF_NEW_REFERENCE:
    case ETF_NEWER_REFERENCE:
        return copy_reference(r, out, tag);
    default:
        return copy_container(r, out, tag, depth);
    }
}
