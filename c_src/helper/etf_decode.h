/* SPDX-License-Identifier: Apache-2.0 */
/* etf_decode.h - one ETF term straight to a Python object.
 *
 * Used by: dispatch, exec, boot, erlmod, tests, fuzzer.
 * Knows: erltypes.   Does not know: frames, sessions.
 * Decodes what term_to_binary of OTP 25 to 28 writes, compressed terms
 * included, and the older tags that binary_to_term still reads.  Memory taken
 * is in proportion to the bytes that are there, never to a length they claim.
 * Ownership: borrows the bytes; the result shares nothing with them.  A part
 * that was received apart is the caller's, unless it was moved.
 * Threads: the caller holds the GIL. */
#ifndef TERRARIUM_ETF_DECODE_H
#define TERRARIUM_ETF_DECODE_H

#include "py.h"
#include "etf_limits.h"

/* A binary that is not in the term's bytes any more: `length` of them, behind
 * the binary's head at `at`, are this object, bytes or a str of ASCII. */
struct etf_part {
    PyObject *object; /* NULL: there is none */
    size_t at;
    size_t length;
};

/* p[0..n) is exactly one term with its leading 131.  New reference, or NULL
 * with erlang.DecodeError (a ValueError) that says what is wrong and at which
 * byte, or MemoryError.  lim NULL: the defaults. */
PyObject *etf_decode(const uint8_t *p, size_t n, const struct etf_limits *lim);

/* The same with one part taken out, whose object moves into the result.  What
 * is said of places counts its bytes. */
PyObject *etf_decode_part(const uint8_t *p, size_t n, struct etf_part *part,
                          const struct etf_limits *lim);

#endif
