/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <stdint.h>
#include <string.h>

#include "utf8.h"

enum { LONGEST = 4 };

/* C0, DEL and C1, but newline and tab. */
static int
is_control(const uint8_t *p)
{
    if (p[0] == 0xc2)
        return p[1] < 0xa0;
    return (p[0] < 0x20 && p[0] != '\n' && p[0] != '\t') || p[0] == 0x7f;
}

/* Length of the character at p if it is one we pass on, else 0. */
static size_t
character(const uint8_t *p, size_t n)
{
    for (size_t k = 1; k <= LONGEST && k <= n; k++) {
        if (utf8_length(p, k) == 1)
            return is_control(p) ? 0 : k;
    }
    return 0;
}

size_t
text_clean(char *out, size_t cap, const char *in, size_t n)
{
    size_t len = 0;
    n = strnlen(in, n);
    for (size_t i = 0; i < n;) {
        size_t k = character((const uint8_t *)in + i, n - i);
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
