/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - make text of bytes that a helper wrote.
 * Used by: zygote (reports).   Threads: pure. */
#ifndef TERRARIUM_ZYGOTE_TEXT_H
#define TERRARIUM_ZYGOTE_TEXT_H

#include <stddef.h>

/* Copy in[0..n) up to its first NUL into out, as valid UTF-8 with no control
 * characters but newline and tab; every byte that is none of that becomes a
 * '?'.  Stops at a character's boundary when cap (with the NUL that is always
 * written) is reached.  Returns the length. */
size_t text_clean(char *out, size_t cap, const char *in, size_t n);

#endif
