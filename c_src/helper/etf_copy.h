/* SPDX-License-Identifier: Apache-2.0 */
/* etf_copy.h - copy one ETF term in the form that OTP 26 and later write.
 *
 * Pids, references, ports and funs are kept as bytes.  The same pid has
 * several spellings (Latin-1 or UTF-8 atoms, 8 or 32 bits of creation); this
 * copies all of them to one, so equal bytes mean equal values and the driver's
 * checker accepts what goes back.
 *
 * Used by: etf_decode.c.   Knows: no Python.
 * Ownership: appends to out, which is the caller's.
 * Errors: E_SHORT, E_FORMAT, E_REFUSED (a tag that has no place here),
 * E_DEPTH, E_NOMEM, E_LIMIT; r then stands near the fault.
 * Threads: pure. */
#ifndef TERRARIUM_ETF_COPY_H
#define TERRARIUM_ETF_COPY_H

#include "buf.h"
#include "rd.h"

/* The term at r (tag first) to out, at most depth containers deep. */
int etf_copy(struct rd *r, struct buf *out, uint32_t depth);

/* An atom's text as UTF-8: n bytes of Latin-1 at p to out[0..2n); the result
 * is the length. */
size_t etf_latin1_to_utf8(const uint8_t *p, size_t n, uint8_t *out);

#endif
