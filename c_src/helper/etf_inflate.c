/* SPDX-License-Identifier: Apache-2.0 */
/* etf_inflate.c - see etf_inflate.h. */
#include "etf_inflate.h"

#include <string.h>
#include <zlib.h>

#include "err.h"

enum { FIRST_STEP = 4096, LARGEST_FEED = 1 << 30 };

/* Give zlib more input and room; room is one byte more than is announced, so
 * that a stream which is longer shows itself. */
static int
step(z_stream *z, const uint8_t *end, size_t size, struct buf *out)
{
    size_t in = (size_t)(end - z->next_in);
    z->avail_in = in > LARGEST_FEED ? LARGEST_FEED : (uInt)in;
    size_t room = out->len < FIRST_STEP ? FIRST_STEP : out->len;
    if (room > size + 1 - out->len)
        room = size + 1 - out->len;
    if (room > LARGEST_FEED)
        room = LARGEST_FEED;
    int r = buf_reserve(out, room);
    if (r != 0)
        return r;
    z->next_out = out->data + out->len;
    z->avail_out = (uInt)room;
    int zr = inflate(z, Z_NO_FLUSH);
    size_t made = room - z->avail_out;
    out->len += made;
    if (out->len > size)
        return E_FORMAT;
    if (zr == Z_STREAM_END)
        return 0;
    if (zr == Z_BUF_ERROR || (zr == Z_OK && made == 0 && z->next_in == end))
        return E_SHORT;
    if (zr == Z_MEM_ERROR)
        return E_NOMEM;
    return zr == Z_OK ? E_AGAIN : E_FORMAT;
}

int
etf_inflate(const uint8_t *p, size_t n, size_t size, struct buf *out)
{
    if (size >= out->max)
        return E_LIMIT;
    z_stream z;
    memset(&z, 0, sizeof z);
    if (inflateInit(&z) != Z_OK)
        return E_NOMEM;
    z.next_in = (Bytef *)(uintptr_t)p;
    int r;
    do
        r = step(&z, p + n, size, out);
    while (r == E_AGAIN);
    if (r == 0 && out->len != size)
        r = E_FORMAT;
    if (r == 0 && z.next_in != p + n)
        r = E_TRAILING;
    inflateEnd(&z);
    return r;
}
