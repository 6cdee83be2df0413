/* SPDX-License-Identifier: Apache-2.0 */
#include "drv_reader.h"

#include <string.h>

#include "err.h"
#include "pages.h"

/* A large body gets room for so many times what has arrived of it: moving it
 * to a larger place costs fresh pages, which are dearer than anything else. */
enum { LARGE_AHEAD = 16 };

int
drv_reader_init(struct drv_reader *r, uint32_t etf_flags)
{
    memset(r, 0, sizeof *r);
    r->buf = driver_alloc(DRV_READER_BUF);
    if (r->buf == NULL)
        return E_NOMEM;
    r->max_frame = WIRE_LIMIT_MAX_FRAME;
    r->max_depth = WIRE_LIMIT_MAX_DEPTH;
    r->etf_flags = etf_flags;
    return 0;
}

void
drv_reader_fini(struct drv_reader *r)
{
    if (r->buf != NULL)
        driver_free(r->buf);
    if (r->large != NULL)
        driver_free_binary(r->large);
    r->buf = NULL;
    r->large = NULL;
}

int
drv_reader_midway(const struct drv_reader *r)
{
    return r->large != NULL || r->len > r->at;
}

const char *
drv_reader_limit(const struct drv_reader *r, int e)
{
    if (e == E_DEPTH && r->term_depth != 0)
        return "term_depth";
    return e == E_WORDS ? "term_words" : NULL;
}

static void
begin_check(struct drv_reader *r)
{
    uint32_t depth = r->max_depth;
    if (r->term_depth != 0 && r->term_depth < depth)
        depth = r->term_depth;
    etf_check_init(&r->check, r->etf_flags, depth);
    if (r->max_words != 0)
        r->check.max_words = r->max_words;
}

/* Room for a body of which `have` bytes are there: what was announced, but
 * never out of proportion to what came. */
static ErlDrvSizeT
room_for(const struct wire_header *h, size_t have)
{
    size_t least = have > DRV_READER_LARGE ? have : DRV_READER_LARGE;
    return h->length / LARGE_AHEAD < least ? h->length : least * LARGE_AHEAD;
}

/* The rest of the large body's place will be written soon. */
static void
expect(struct drv_reader *r, size_t have)
{
    pages_expect(r->large->orig_bytes + have,
                 (size_t)r->large->orig_size - have);
}

static int
large_grow(struct drv_reader *r)
{
    if (r->large_len < (size_t)r->large->orig_size)
        return 0;
    ErlDrvBinary *b =
        driver_realloc_binary(r->large, room_for(&r->h, r->large_len));
    if (b == NULL)
        return E_NOMEM;
    r->large = b;
    expect(r, r->large_len);
    return 0;
}

static int
read_some(struct drv_reader *r, struct channel *c, void *to, size_t room,
          size_t *n)
{
    int e = channel_read(c, to, room, n);
    if (e != 0)
        return e;
    r->bytes += *n;
    r->filled = *n == room;
    return 0;
}

static int
fill_large(struct drv_reader *r, struct channel *c)
{
    size_t n;
    int e = large_grow(r);
    if (e != 0)
        return e;
    e = read_some(r, c, r->large->orig_bytes + r->large_len,
                  (size_t)r->large->orig_size - r->large_len, &n);
    if (e == 0)
        r->large_len += n;
    return e;
}

int
drv_reader_fill(struct drv_reader *r, struct channel *c)
{
    size_t n;
    if (r->large != NULL && r->large_len < r->h.length)
        return fill_large(r, c);
    if (r->at > 0) {
        memmove(r->buf, r->buf + r->at, r->len - r->at);
        r->len -= r->at;
        r->at = 0;
    }
    int e = read_some(r, c, r->buf + r->len, DRV_READER_BUF - r->len, &n);
    if (e == 0)
        r->len += n;
    return e;
}

static int
check_header(const struct drv_reader *r, const struct wire_header *h)
{
    const struct wire_frame_info *info = wire_info(h->opcode);
    if (info->name == NULL || !(info->direction & WIRE_UP) || h->flags != 0)
        return E_FORMAT;
    switch (info->body) {
    case WIRE_BODY_none:
        return h->length == 0 ? 0 : E_FORMAT;
    case WIRE_BODY_control:
        /* A hello is short; it must fit the buffer. */
        return h->length < DRV_READER_LARGE ? 0 : E_LIMIT;
    default:
        return h->length <= r->max_frame ? 0 : E_LIMIT;
    }
}

/* Begin a large body with what the buffer already holds of it. */
static int
large_begin(struct drv_reader *r, const struct wire_header *h)
{
    size_t have = r->len - r->at;
    if (have > h->length)
        have = h->length;
    r->large = driver_alloc_binary(room_for(h, have));
    if (r->large == NULL)
        return E_NOMEM;
    r->h = *h;
    memcpy(r->large->orig_bytes, r->buf + r->at, have);
    expect(r, have);
    r->large_len = have;
    r->at += have;
    begin_check(r);
    return 0;
}

/* Walk what came of a large body; hand it over when it is whole. */
static int
large_next(struct drv_reader *r, struct drv_frame *f)
{
    int e = etf_check(&r->check, (const uint8_t *)r->large->orig_bytes,
                      r->large_len);
    if (r->large_len < r->h.length)
        return e == 0 ? E_TRAILING : e;
    if (e != 0)
        return e == E_AGAIN ? E_SHORT : e;
    f->h = r->h;
    f->bin = r->large;
    f->body = (const uint8_t *)r->large->orig_bytes;
    r->large = NULL;
    r->frames++;
    return 0;
}

static int
small_next(struct drv_reader *r, const struct wire_header *h,
           struct drv_frame *f)
{
    if (r->len - r->at < WIRE_LIMIT_HEADER_SIZE + (size_t)h->length)
        return E_AGAIN;
    const uint8_t *body = r->buf + r->at + WIRE_LIMIT_HEADER_SIZE;
    if (wire_info(h->opcode)->body == WIRE_BODY_term) {
        begin_check(r);
        int e = etf_check(&r->check, body, h->length);
        if (e != 0)
            return e == E_AGAIN ? E_SHORT : e;
    }
    f->h = *h;
    f->bin = NULL;
    f->body = body;
    r->at += WIRE_LIMIT_HEADER_SIZE + (size_t)h->length;
    r->frames++;
    return 0;
}

int
drv_reader_next(struct drv_reader *r, struct drv_frame *f)
{
    struct wire_header h;
    if (r->large != NULL)
        return large_next(r, f);
    if (r->len - r->at < WIRE_LIMIT_HEADER_SIZE)
        return E_AGAIN;
    int e = wire_get_header(r->buf + r->at, &h);
    if (e == 0)
        e = check_header(r, &h);
    if (e != 0)
        return e;
    if (h.length < DRV_READER_LARGE)
        return small_next(r, &h, f);
    r->at += WIRE_LIMIT_HEADER_SIZE;
    e = large_begin(r, &h);
    return e != 0 ? e : large_next(r, f);
}
