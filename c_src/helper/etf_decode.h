/* SPDX-License-Identifier: Apache-2.0 */
/* etf_decode.h - one ETF term straight to a Python object.
 *
 * Used by: dispatch, exec, boot, erlmod, tests, fuzzer.
 * Knows: erltypes.   Does not know: frames, sessions.
 * Decodes what term_to_binary of OTP 25 to 28 writes, compressed terms
 * included, and the older tags that binary_to_term still reads.  Memory taken
 * is in proportion to the bytes that are there, never to a length they claim.
 * Ownership: borrows the bytes; the result shares nothing with them.
 * Threads: the caller holds the GIL. */
#ifndef TERRARIUM_ETF_DECODE_H
#define TERRARIUM_ETF_DECODE_H

#include "py.h"
#include "etf_limits.h"

/* p[0..n) is exactly one term with its leading 131.  New reference, or NULL
 * with erlang.DecodeError (a ValueError) that says what is wrong and at which
 * byte, or MemoryError.  lim NULL: the defaults. */
PyObject *etf_decode(const uint8_t *p, size_t n, const struct etf_limits *lim);

#endif
