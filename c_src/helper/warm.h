/* SPDX-License-Identifier: Apache-2.0 */
/* warm.h - memory that large values have used, kept for the next ones.
 *
 * A fresh page costs a fault, and most of the time of a large value went
 * there: by default malloc() maps each block anew and unmaps it afterwards
 * (64 MiB there and back: 515 ms; in memory used before: 26 ms).  So blocks
 * come from the heap, which is not cut at once when they are freed.
 *
 * That memory is a loan.  Blocks over 256 MiB are mapped as ever and vanish
 * when freed, and so does what is free at the end of the heap beyond 512 MiB;
 * the rest goes back to the system when the helper has been idle for a second.
 *
 * Used by: helper (once), session (when idle), etf_texts (large results).
 * Does not know: what the memory is for.
 * Where the C library is not glibc all of this does nothing.
 * Threads: the main thread. */
#ifndef TERRARIUM_WARM_H
#define TERRARIUM_WARM_H

void warm_init(void);

/* Milliseconds of idleness after which warm_trim is worth its while; 0: there
 * is nothing to give back. */
int warm_patience(void);

/* Give what is free back to the system; the GIL need not be held. */
void warm_trim(void);

/* A large block was just allocated and is about to be written: have what the
 * heap has grown by in huge pages, where the kernel leaves it to us. */
void warm_grown(void);

#endif
