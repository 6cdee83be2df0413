/* SPDX-License-Identifier: Apache-2.0 */
/* undertaker.h - frees segments in a thread of its own.
 *
 * Who has the last hold of a segment gives its pages back to the system, which
 * takes the longer the more there are; the collector that finds a handle is on
 * a scheduler and must not wait for that.
 *
 * Used by: shm_nif.   Knows: erl_nif.h.   Does not know: segments.
 * Ownership: takes what it is given, and is done with all of it when it stops.
 * State: a singleton of the library.   Threads: any. */
#ifndef TERRARIUM_UNDERTAKER_H
#define TERRARIUM_UNDERTAKER_H

#include <stddef.h>

/* Each version of the module starts it and stops it again; the last one ends
 * the thread.  0, or -1. */
int undertaker_start(void);
void undertaker_stop(void);

/* Unmap (NULL: nothing) and close (-1: nothing).  Never blocks, but where there
 * is no memory to remember it, or no thread any more: then it is done at once.
 */
void undertaker_take(int fd, void *map, size_t length);

#endif
