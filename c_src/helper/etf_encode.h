/* SPDX-License-Identifier: Apache-2.0 */
/* etf_encode.h - a Python object straight to one ETF term.
 *
 * Used by: dispatch, exec, pyerr, erlmod, tests, fuzzer.
 * Knows: erltypes.   Does not know: frames, sessions.
 * Writes only what binary_to_term(B, [safe]) and wire/etf_check.h accept.
 * Ownership: borrows the object; the buffer stays the caller's.
 * Threads: the caller holds the GIL.  User code may run (iterators, Mapping
 * methods, properties), so the GIL may change hands in between. */
#ifndef TERRARIUM_ETF_ENCODE_H
#define TERRARIUM_ETF_ENCODE_H

#include "py.h"
#include "buf.h"
#include "etf_limits.h"
#include "out.h"

/* Append the term, with its leading 131.  0, or -1 with an exception set and
 * the buffer as long as before: erlang.EncodeError (a TypeError and a
 * ValueError) naming type and path, MemoryError, or whatever user code
 * raised.  lim NULL: the defaults. */
int etf_encode(PyObject *o, struct buf *out, const struct etf_limits *lim);

/* The same, but large bytes and strings are referenced, not copied. */
int etf_encode_out(PyObject *o, struct out *out, const struct etf_limits *lim);

#endif
