/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <stdint.h>
#include <string.h>

/* How many bytes the leading byte announces, its payload bits, and the
 * smallest code point that needs so many (shorter ones are overlong). */
static size_t
lead(unsigned char c, uint32_t *value, uint32_t *least)
{
    if (c < 0x80) {
        *value = c;
        *least = 0;
        return 1;
    }
    if (c >= 0xc2 && c < 0xe0) {
        *value = c & 0x1f;
        *least = 0x80;
        return 2;
    }
    if (c >= 0xe0 && c < 0xf0) {
        *value = c & 0x0f;
        *least = 0x800;
        return 3;
    }
    if (c >= 0xf0 && c < 0xf5) {
        *value = c & 0x07;
        *least = 0x10000;
        return 4;
    }
    return 0;
}

static int
is_text(uint32_t v, uint32_t least)
{
    if (v == '\n' || v == '\t')
        return 1;
    if (v < 0x20 || (v >= 0x7f && v < 0xa0))
        return 0;
    return v >= least && v <= 0x10ffff && (v < 0xd800 || v > 0xdfff);
}

/* Length of the character at p if it is one we pass on, else 0. */
static size_t
character(const char *p, size_t n)
{
    uint32_t v, least;
    size_t len = lead((unsigned char)p[0], &v, &least);
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++) {
        unsigned char c = (unsigned char)p[i];
        if ((c & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (c & 0x3f);
    }
    return is_text(v, least) ? len : 0;
}

size_t
text_clean(char *out, size_t cap, const char *in, size_t n)
{
    size_t len = 0;
    n = strnlen(in, n);
    for (size_t i = 0; i < n;) {
        size_t k = character(in + i, n - i);
        const char *from = k > 0 ? in + i : "?";
        if (k == 0)
            k = 1;
        if (len + k >= cap)
            break;
        memcpy(out + len, from, k);
        len += k;
        i += k;
    }
    out[len] = 0;
    return len;
}
