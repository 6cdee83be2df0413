/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include "err.h"

enum { FRAME_BUF_KEEP = 1 << 20 };

void
frame_reader_init(struct frame_reader *r, uint8_t direction, uint32_t max_body)
{
    buf_init(&r->in,
             (size_t)max_body + WIRE_LIMIT_HEADER_SIZE + FRAME_BUF_KEEP);
    r->at = 0;
    r->direction = direction;
    r->max_body = max_body;
}

void
frame_reader_fini(struct frame_reader *r)
{
    buf_fini(&r->in);
    r->at = 0;
}

/* Frames already taken leave the buffer; a large one also its memory. */
static void
compact(struct frame_reader *r)
{
    if (r->at == r->in.len)
        buf_reset(&r->in, FRAME_BUF_KEEP);
    else
        buf_consume(&r->in, r->at);
    r->at = 0;
}

int
frame_reader_space(struct frame_reader *r, size_t want, uint8_t **p,
                   size_t *cap)
{
    if (r->at > 0)
        compact(r);
    int e = buf_reserve(&r->in, want);
    if (e != 0)
        return e;
    *p = r->in.data + r->in.len;
    *cap = r->in.cap - r->in.len;
    return 0;
}

void
frame_reader_filled(struct frame_reader *r, size_t n)
{
    r->in.len += n;
}

static int
check_header(const struct frame_reader *r, const struct wire_header *h)
{
    const struct wire_frame_info *info = wire_info(h->opcode);
    if (info->name == NULL || !(info->direction & r->direction))
        return E_FORMAT;
    if (info->body == WIRE_BODY_none && h->length != 0)
        return E_FORMAT;
    if (info->body == WIRE_BODY_control && h->length > WIRE_LIMIT_MAX_CONTROL)
        return E_LIMIT;
    return h->length > r->max_body ? E_LIMIT : 0;
}

int
frame_next(struct frame_reader *r, struct frame *f)
{
    size_t left = r->in.len - r->at;
    if (left < WIRE_LIMIT_HEADER_SIZE)
        return E_AGAIN;
    const uint8_t *p = r->in.data + r->at;
    struct wire_header h;
    int e = wire_get_header(p, &h);
    if (e == 0)
        e = check_header(r, &h);
    if (e != 0)
        return e;
    if (left - WIRE_LIMIT_HEADER_SIZE < h.length)
        return E_AGAIN;
    f->h = h;
    f->body = p + WIRE_LIMIT_HEADER_SIZE;
    r->at += WIRE_LIMIT_HEADER_SIZE + h.length;
    return 0;
}
