/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h - is this UTF-8, and how many characters?
 * Used by: etf_check.c, ctl_from_etf.c.   Knows: nothing.   Threads: pure. */
#ifndef TERRARIUM_UTF8_H
#define TERRARIUM_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The number of characters in p[0..n), or -1 where it is not UTF-8: no
 * overlong forms, no surrogates, nothing above U+10FFFF. */
long utf8_length(const uint8_t *p, size_t n);

#endif
