/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_etf_check.c - any bytes through the ETF checker, at once and in
 * pieces: one verdict; more flags and more depth only ever allow more.
 *
 * Input: a byte of flags, a byte of depth, a byte of seed for the pieces,
 * then the term. */
#include <stdint.h>
#include <stdlib.h>

#include "err.h"
#include "etf_check.h"

static void
check(int holds)
{
    if (!holds)
        abort();
}

static int
in_pieces(const uint8_t *p, size_t n, uint32_t flags, uint32_t depth,
          uint32_t seed)
{
    static struct etf_check c;
    int e = E_AGAIN;
    etf_check_init(&c, flags, depth);
    for (size_t at = 0; at < n && (e == 0 || e == E_AGAIN);) {
        size_t k = 1 + (seed = seed * 75 + 74) % 13;
        size_t before = c.at;
        at += k < n - at ? k : n - at;
        e = etf_check(&c, p, at);
        check(before <= c.at && c.at <= at);
        check(c.depth <= depth);
        check(e != 0 || (c.at == at && c.depth == 0));
    }
    return e == E_AGAIN ? E_SHORT : e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    uint32_t flags = data[0] & 7, depth = data[1];
    const uint8_t *p = data + 3;
    size_t n = size - 3;
    int e = etf_check_all(p, n, flags, depth);
    check(e <= 0 && e != E_AGAIN);
    check(in_pieces(p, n, flags, depth, data[2]) == e);
    if (e == 0) {
        check(etf_check_all(p, n, 3, ETF_CHECK_MAX_DEPTH) == 0);
        check(etf_check_all(p, n - 1, flags, depth) == E_SHORT);
    }
    return 0;
}
