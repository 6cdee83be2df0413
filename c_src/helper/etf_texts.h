/* SPDX-License-Identifier: Apache-2.0 */
/* etf_texts.h - a binary as a str, or as bytes where it is not UTF-8; short
 * texts that come again and again (keys, names) are made once.
 *
 * Used by: etf_decode_leaf.c, etf_atoms.c (the hash).   Knows: py.h.
 * What is remembered is bounded, and nothing else can be told from it: a str
 * never changes.   Threads: the caller holds the GIL. */
#ifndef TERRARIUM_ETF_TEXTS_H
#define TERRARIUM_ETF_TEXTS_H

#include "py.h"

#include <string.h>

/* New reference, or NULL with an exception. */
PyObject *etf_text(const uint8_t *p, size_t n);

/* Of a short text; looks at each byte of at most 16, and at 16 of more. */
static inline uint64_t
etf_short_hash(const uint8_t *p, size_t n)
{
    uint64_t a = 0, b = 0;
    if (n >= 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
    } else if (n >= 4) {
        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
    } else if (n > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
    }
    uint64_t h = (a ^ n) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ (h >> 32) ^ b) * UINT64_C(0xc2b2ae3d27d4eb4f);
    return h ^ (h >> 32);
}

#endif
