/* SPDX-License-Identifier: Apache-2.0 */
/* etf_atoms.h - from an atom's text to its Python object, with a bounded
 * cache: answers repeat the same few atoms.
 * Used by: etf_decode.c.   Threads: the caller holds the GIL; the cache is a
 * singleton of the process. */
#ifndef TERRARIUM_ETF_ATOMS_H
#define TERRARIUM_ETF_ATOMS_H

#include "py.h"

/* The text is p[0..n) as UTF-8.  True, False, None, a float for infinity,
 * neg_infinity and nan, else an Atom.  New reference, or NULL with
 * UnicodeDecodeError or ValueError. */
PyObject *etf_atom(const uint8_t *p, size_t n);

#endif
