/* SPDX-License-Identifier: Apache-2.0 */
/* etf_find.c - see etf_find.h.  Nothing is kept of what is passed over but how
 * many terms are still owed, so it needs no stack. */
#include "etf_find.h"

#include <string.h>

#include "etf_tags.h"
#include "rd.h"

enum { MOST_TERMS = 4096 }; /* passed over in search of it */

/* The length or count of 1, 2 or 4 bytes at r; 0, or E_SHORT. */
static int
read_length(struct rd *r, size_t width, size_t *n)
{
    const uint8_t *p;
    int rc = rd_bytes(r, width, &p);
    if (rc == 0)
        *n = width == 1 ? *p : width == 2 ? get_be16(p) : get_be32(p);
    return rc;
}

/* A length and so many bytes, and `more`. */
static int
skip_sized(struct rd *r, size_t width, size_t more)
{
    const uint8_t *p;
    size_t n;
    int rc = read_length(r, width, &n);
    return rc != 0 ? rc : rd_bytes(r, n + more, &p);
}

/* A count, which owes `each` terms per count and `more`. */
static int
skip_count(struct rd *r, size_t width, unsigned each, unsigned more,
           uint64_t *owed)
{
    size_t n;
    int rc = read_length(r, width, &n);
    if (rc == 0)
        *owed += (uint64_t)n * each + more;
    return rc;
}

/* What follows this tag, but a binary. */
static int
skip(struct rd *r, uint8_t tag, uint64_t *owed)
{
    const uint8_t *p;
    switch (tag) {
    case ETF_SMALL_INTEGER:
        return rd_bytes(r, 1, &p);
    case ETF_INTEGER:
        return rd_bytes(r, 4, &p);
    case ETF_NEW_FLOAT:
        return rd_bytes(r, 8, &p);
    case ETF_NIL:
        return 0;
    case ETF_SMALL_ATOM_UTF8:
    case ETF_SMALL_ATOM:
        return skip_sized(r, 1, 0);
    case ETF_ATOM_UTF8:
    case ETF_ATOM:
    case ETF_STRING:
        return skip_sized(r, 2, 0);
    case ETF_SMALL_BIG:
        return skip_sized(r, 1, 1);
    case ETF_LARGE_BIG:
        return skip_sized(r, 4, 1);
    case ETF_SMALL_TUPLE:
        return skip_count(r, 1, 1, 0, owed);
    case ETF_LARGE_TUPLE:
        return skip_count(r, 4, 1, 0, owed);
    case ETF_LIST:
        return skip_count(r, 4, 1, 1, owed);
    case ETF_MAP:
        return skip_count(r, 4, 2, 0, owed);
    default:
        return E_REFUSED;
    }
}

/* Does {bytes, as the VM writes it, stand right before the tag at p + at? */
static int
in_bytes_pair(const uint8_t *p, size_t at)
{
    static const uint8_t head[] = {
        ETF_SMALL_TUPLE, 2, ETF_SMALL_ATOM_UTF8, 5, 'b', 'y', 't', 'e', 's'};
    return at >= sizeof head &&
           memcmp(p + (at - sizeof head), head, sizeof head) == 0;
}

int
etf_find(const uint8_t *p, size_t have, size_t whole, size_t least,
         struct etf_found *f)
{
    struct rd r;
    uint8_t tag;
    uint64_t owed = 1;
    rd_init(&r, p, have);
    if (rd_u8(&r, &tag) != 0 || tag != ETF_VERSION)
        return 0;
    for (int i = 0; owed > 0 && i < MOST_TERMS; owed--, i++) {
        const uint8_t *skipped;
        size_t n;
        if (rd_u8(&r, &tag) != 0)
            return 0;
        if (tag != ETF_BINARY) {
            if (skip(&r, tag, &owed) != 0)
                return 0;
            continue;
        }
        if (read_length(&r, 4, &n) != 0)
            return 0;
        if (rd_bytes(&r, n, &skipped) == 0)
            continue;
        f->at = have - rd_left(&r);
        f->length = n;
        f->as_bytes = in_bytes_pair(p, f->at - 5);
        return n >= least && f->at <= whole && n <= whole - f->at;
    }
    return 0;
}
