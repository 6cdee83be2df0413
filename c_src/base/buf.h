/* SPDX-License-Identifier: Apache-2.0 */
/* buf.h - a growable byte buffer with typed puts and a hard maximum.
 * Used by: wire, zygote, helper, driver (control plane).
 * Ownership: the buffer owns its bytes; buf_fini releases them.
 * Errors: E_NOMEM, E_LIMIT; after an error nothing has changed.
 * Threads: one at a time. */
#ifndef TERRARIUM_BUF_H
#define TERRARIUM_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max; /* hard maximum of len */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
/* The same, and its bytes are nowhere any more: of what was put into room that
 * was there (buf_reserve), for a buffer that grows leaves copies behind. */
void buf_wipe(struct buf *b);
/* Empty it, and give memory beyond `keep` bytes back. */
void buf_reset(struct buf *b, size_t keep);

/* Room for n more bytes, or an error.  Afterwards data+len may be written. */
int buf_grow(struct buf *b, size_t n);
static inline int
buf_reserve(struct buf *b, size_t n)
{
    return n <= b->cap - b->len ? 0 : buf_grow(b, n);
}

int buf_put(struct buf *b, const void *p, size_t n);
int buf_put_u8(struct buf *b, uint8_t v);
int buf_put_be16(struct buf *b, uint16_t v);
int buf_put_be32(struct buf *b, uint32_t v);
int buf_put_be64(struct buf *b, uint64_t v);

/* Drop n bytes from the front. */
void buf_consume(struct buf *b, size_t n);

/* Byte order, in one place. */
static inline void
put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void
put_be32(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    __builtin_memcpy(p, &v, 4);
}
static inline void
put_be64(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    __builtin_memcpy(p, &v, 8);
}
static inline uint16_t
get_be16(const uint8_t *p)
{
    return (uint16_t)((p[0] << 8) | p[1]);
}
static inline uint32_t
get_be32(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}
static inline uint64_t
get_be64(const uint8_t *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

#endif
