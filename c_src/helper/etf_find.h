/* SPDX-License-Identifier: Apache-2.0 */
/* etf_find.h - where in a term that is only partly there yet its first large
 * binary lies, so that the rest of it can be received into what it becomes.
 *
 * Used by: session, fuzzer, tests.   Knows: the tags, no Python.
 * Only a hint: a term that is not followed (pids, funs, compressed or
 * malformed ones, or thousands of others before it) has none, and is received
 * as a whole.
 * Threads: pure. */
#ifndef TERRARIUM_ETF_FIND_H
#define TERRARIUM_ETF_FIND_H

#include <stddef.h>
#include <stdint.h>

struct etf_found {
    size_t at;     /* of its first byte, counted from the 131 */
    size_t length; /* in bytes; at + length is at most `whole` */
    int as_bytes;  /* it stands in {bytes, Binary} */
};

/* p[0..have) begins a term of `whole` bytes.  1: the first binary that is not
 * all there has its head there, and has at least `least` bytes; 0: not. */
int etf_find(const uint8_t *p, size_t have, size_t whole, size_t least,
             struct etf_found *f);

#endif
