/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include <string.h>

#include "err.h"
#include "mem.h"
#include "pages.h"

enum { BUF_MIN = 256 };

void
buf_init(struct buf *b, size_t max)
{
    memset(b, 0, sizeof *b);
    b->max = max;
}

void
buf_fini(struct buf *b)
{
    mem_free(b->data);
    buf_init(b, b->max);
}

void
buf_wipe(struct buf *b)
{
    mem_wipe(b->data, b->len);
    buf_fini(b);
}

void
buf_reset(struct buf *b, size_t keep)
{
    if (b->cap > keep)
        buf_fini(b);
    b->len = 0;
}

int
buf_grow(struct buf *b, size_t n)
{
    if (n > b->max || b->len > b->max - n)
        return E_LIMIT;
    size_t need = b->len + n;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap < BUF_MIN ? BUF_MIN : b->cap * 2;
    if (cap < need)
        cap = need;
    if (cap > b->max)
        cap = b->max;
    uint8_t *data = mem_realloc(b->data, cap);
    if (data == NULL)
        return E_NOMEM;
    b->data = data;
    b->cap = cap;
    pages_expect(data + b->len, cap - b->len);
    return 0;
}

int
buf_put(struct buf *b, const void *p, size_t n)
{
    int r = buf_reserve(b, n);
    if (r != 0)
        return r;
    if (n != 0)
        memcpy(b->data + b->len, p, n);
    b->len += n;
    return 0;
}

int
buf_put_u8(struct buf *b, uint8_t v)
{
    return buf_put(b, &v, 1);
}

int
buf_put_be16(struct buf *b, uint16_t v)
{
    uint8_t p[2];
    put_be16(p, v);
    return buf_put(b, p, sizeof p);
}

int
buf_put_be32(struct buf *b, uint32_t v)
{
    uint8_t p[4];
    put_be32(p, v);
    return buf_put(b, p, sizeof p);
}

int
buf_put_be64(struct buf *b, uint64_t v)
{
    uint8_t p[8];
    put_be64(p, v);
    return buf_put(b, p, sizeof p);
}

void
buf_consume(struct buf *b, size_t n)
{
    if (n > b->len)
        n = b->len;
    if (n != 0)
        memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}
