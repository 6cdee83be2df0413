/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_scan.c - the shape of a control message, before anything is allocated.
 *
 * msgpack-c allocates an array when its count is announced, so a few bytes
 * could cost gigabytes; and a helper may have written them.  Hence this walk
 * over the tags first.  Used by: ctl.c.   Does not know: msgpack-c. */
#include "ctl_value.h"

#include "err.h"
#include "rd.h"
#include "wire.h"

struct level {
    uint64_t left; /* values still to come; a map counts keys and values */
    int is_map;
};

struct scan {
    struct rd r;
    int depth;
    struct level levels[CTL_MAX_DEPTH];
};

/* What follows a tag: a body of fixed size, a body whose length stands in
 * `width` bytes, or a container whose count does. */
enum kind { FIXED, STRING, BYTES, LIST, MAP, NEVER };

struct shape {
    enum kind kind;
    uint8_t width;
};

/* Tags 0xc0 to 0xdf.  Extension types have no meaning between our programs. */
static const struct shape shapes[32] = {
    {FIXED, 0},                                                    /* nil */
    {NEVER, 0},                                                    /* unused */
    {FIXED, 0},                                                    /* false */
    {FIXED, 0},                                                    /* true */
    {BYTES, 1},  {BYTES, 2},  {BYTES, 4},                          /* bin */
    {NEVER, 0},  {NEVER, 0},  {NEVER, 0},                          /* ext */
    {FIXED, 4},  {FIXED, 8},                                       /* float */
    {FIXED, 1},  {FIXED, 2},  {FIXED, 4},  {FIXED, 8},             /* uint */
    {FIXED, 1},  {FIXED, 2},  {FIXED, 4},  {FIXED, 8},             /* int */
    {NEVER, 0},  {NEVER, 0},  {NEVER, 0},  {NEVER, 0}, {NEVER, 0}, /* fixext */
    {STRING, 1}, {STRING, 2}, {STRING, 4},                         /* str */
    {LIST, 2},   {LIST, 4},                                        /* array */
    {MAP, 2},    {MAP, 4},                                         /* map */
};

/* The tag's kind, and what its low bits or the bytes after it count. */
static int
read_tag(struct rd *r, enum kind *kind, uint32_t *count)
{
    uint8_t tag, n8 = 0;
    uint16_t n16 = 0;
    if (rd_u8(r, &tag) != 0)
        return E_FORMAT;
    *count = 0;
    *kind = FIXED;
    if (tag < 0x80 || tag >= 0xe0)
        return 0;
    if (tag < 0xc0) {
        *kind = tag < 0x90 ? MAP : tag < 0xa0 ? LIST : STRING;
        *count = tag < 0xa0 ? tag & 15 : tag & 31;
        return 0;
    }
    struct shape s = shapes[tag - 0xc0];
    int e = 0;
    *kind = s.kind;
    if (s.kind == FIXED)
        *count = s.width;
    else if (s.width == 1 && (e = rd_u8(r, &n8)) == 0)
        *count = n8;
    else if (s.width == 2 && (e = rd_be16(r, &n16)) == 0)
        *count = n16;
    else if (s.width == 4)
        e = rd_be32(r, count);
    return e != 0 || s.kind == NEVER ? E_FORMAT : 0;
}

static int
open_level(struct scan *s, enum kind kind, uint32_t count)
{
    if (s->depth == CTL_MAX_DEPTH)
        return E_FORMAT;
    int is_map = kind == MAP;
    s->levels[s->depth].left = is_map ? 2 * (uint64_t)count : count;
    s->levels[s->depth].is_map = is_map;
    s->depth++;
    return 0;
}

/* Containers that are full close; a key is due where a map wants an even
 * number of values. */
static int
key_due(const struct scan *s)
{
    if (s->depth == 0)
        return 0;
    const struct level *top = &s->levels[s->depth - 1];
    return top->is_map && top->left % 2 == 0;
}

static int
scan_value(struct scan *s)
{
    const uint8_t *body;
    enum kind kind;
    uint32_t count;
    int key = key_due(s);
    if (read_tag(&s->r, &kind, &count) != 0)
        return E_FORMAT;
    if (key && kind != STRING)
        return E_FORMAT;
    if (s->depth == 0 && kind != MAP)
        return E_FORMAT;
    if (s->depth > 0)
        s->levels[s->depth - 1].left--;
    if (kind == LIST || kind == MAP)
        return open_level(s, kind, count);
    return rd_bytes(&s->r, count, &body) == 0 ? 0 : E_FORMAT;
}

int
ctl_scan(const void *p, size_t n)
{
    struct scan s = {.depth = 0};
    if (n > WIRE_LIMIT_MAX_CONTROL)
        return E_LIMIT;
    rd_init(&s.r, p, n);
    do {
        int e = scan_value(&s);
        if (e != 0)
            return e;
        while (s.depth > 0 && s.levels[s.depth - 1].left == 0)
            s.depth--;
    } while (s.depth > 0);
    return rd_end(&s.r) == 0 ? 0 : E_FORMAT;
}
