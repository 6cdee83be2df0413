/* SPDX-License-Identifier: Apache-2.0 */
/* etf_inflate.h - the body of a compressed term.
 * Used by: etf_decode.c.   Knows: zlib, no Python.
 * Memory grows with what was inflated so far, not with what was announced.
 * Errors: E_FORMAT (not zlib, or not the announced size), E_SHORT (ends too
 * early), E_TRAILING, E_LIMIT, E_NOMEM.   Threads: pure. */
#ifndef TERRARIUM_ETF_INFLATE_H
#define TERRARIUM_ETF_INFLATE_H

#include "buf.h"

/* p[0..n) to out, which is empty: exactly `size` bytes. */
int etf_inflate(const uint8_t *p, size_t n, size_t size, struct buf *out);

#endif
