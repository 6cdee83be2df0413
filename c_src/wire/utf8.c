/* SPDX-License-Identifier: Apache-2.0 */
#include "utf8.h"

/* Length of the sequence that starts with `lead`, 0 where none does. */
static size_t
sequence(uint8_t lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

/* The second byte's range carries what its low bits alone cannot tell:
 * overlong forms, surrogates and the upper end. */
static int
second_fits(uint8_t lead, uint8_t second)
{
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high;
}

long
utf8_length(const uint8_t *p, size_t n)
{
    long count = 0;
    size_t at = 0;
    while (at < n) {
        size_t k = sequence(p[at]);
        if (k == 0 || k > n - at)
            return -1;
        if (k > 1 && !second_fits(p[at], p[at + 1]))
            return -1;
        for (size_t i = 2; i < k; i++)
            if ((p[at + i] & 0xc0) != 0x80)
                return -1;
        at += k;
        count++;
    }
    return count;
}
