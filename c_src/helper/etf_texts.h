/* SPDX-License-Identifier: Apache-2.0 */
/* etf_texts.h - a binary as a str, or as bytes where it is not UTF-8; short
 * texts that come again and again (keys, names) are made once.
 *
 * Used by: etf_decode_leaf.c, etf_atoms.c (the hash), names, large.
 * Knows: py.h, pages.
 * What is remembered is bounded, and nothing else can be told from it: a str
 * never changes.   Threads: the caller holds the GIL. */
#ifndef TERRARIUM_ETF_TEXTS_H
#define TERRARIUM_ETF_TEXTS_H

#include "py.h"

#include <string.h>

/* New reference, or NULL with an exception. */
PyObject *etf_text(const uint8_t *p, size_t n);

/* The bytes themselves. */
PyObject *etf_bytes(const uint8_t *p, size_t n);

/* The str that these bytes are, or they themselves.  New reference. */
PyObject *etf_text_of(PyObject *bytes);

/* How many bytes at the start are ASCII. */
size_t etf_ascii_prefix(const uint8_t *p, size_t n);

/* Of a short text.  Every byte counts: names often share their ends, as
 * 'Elixir.App.User.View' and 'Elixir.App.Post.View' do. */
static inline uint64_t
etf_short_hash(const uint8_t *p, size_t n)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    const uint64_t other = UINT64_C(0xc2b2ae3d27d4eb4f);
    uint64_t h = n, a = 0;
    uint32_t low = 0, high = 0;
    if (n >= 8) {
        for (size_t at = 0; n - at > 8; at += 8) {
            memcpy(&a, p + at, 8);
            h = (h ^ a) * odd;
            h ^= h >> 32;
        }
        memcpy(&a, p + (n - 8), 8); /* what is left, and some before it */
    } else if (n >= 4) {
        memcpy(&low, p, 4);
        memcpy(&high, p + (n - 4), 4);
        a = (uint64_t)high << 32 | low;
    } else if (n > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
    }
    h = (h ^ a) * odd;
    h = (h ^ (h >> 29)) * other;
    return h ^ (h >> 32);
}

#endif
