/* SPDX-License-Identifier: Apache-2.0 */
/* segment_open.h - has the VM hand over the segments that terms name, and take
 * new ones.
 *
 * The VM is asked by a call of its service (erl/context/value/py_shm.erl),
 * which sends the descriptor through the hatch under a token that we choose,
 * and holds the segment for this context under that token until it is released.
 *
 * Used by: segment (its type), dispatch and call (which decode).
 * Knows: callback, message, hatch.   Does not know: what segments are for.
 * Ownership: who has a token has a hold, and releases it once.
 * Errors: SharedMemoryError says what the VM said; else as CPython.
 * Threads: any, with the GIL held; released while one waits. */
#ifndef TERRARIUM_SEGMENT_OPEN_H
#define TERRARIUM_SEGMENT_OPEN_H

#include "py.h"

#include <stdint.h>

#include "etf_decode.h"

/* Decode, and open all segments that are in it: nobody sees one that is not. */
PyObject *segment_decode(const uint8_t *p, size_t n, struct etf_part *part,
                         const struct etf_limits *lim);

/* A new SharedMemory with a copy of this buffer. */
PyObject *segment_publish(PyObject *data);

/* Let go of the VM's hold.  Where its term was sent there at that time, the VM
 * keeps it until somebody has used it since, or a while. */
void segment_release(uint64_t token, uint64_t sent);

#endif
