/* SPDX-License-Identifier: Apache-2.0 */
/* warm.h - memory that large values have used, kept for the next ones for a
 * moment.
 *
 * A fresh page costs a fault.  By default glibc maps a block of more than 128
 * KiB anew and unmaps it afterwards; the first one that is freed moves that
 * limit, up to 32 MiB.  Here it starts at its end, so what a helper's own code
 * meets is what it would have met soon anyway.  Larger blocks are mapped as
 * ever, and gone when they are freed; what helps with them are huge pages
 * (base/pages).
 *
 * An environment that tunes glibc's malloc is left its choice.
 *
 * What is free goes back to the system when the helper has been idle for a
 * second, which glibc by itself never does below the heap's end.
 *
 * Used by: helper (once), session (when idle).   Does not know: what the memory
 * is for.   Where the C library is not glibc all of this does nothing.
 * Threads: the main thread; warm_trim needs no GIL. */
#ifndef TERRARIUM_WARM_H
#define TERRARIUM_WARM_H

void warm_init(void);

/* Milliseconds of idleness after which warm_trim is worth its while; 0: there
 * is nothing to give back. */
int warm_patience(void);

/* Give what is free back to the system. */
void warm_trim(void);

#endif
