/* SPDX-License-Identifier: Apache-2.0 */
/* mem.h - allocation that a test can make fail at the n-th call.
 * Used by: base, wire, launcher, zygote, helper (never the driver's hot path,
 * which uses driver_alloc).   Threads: as malloc. */
#ifndef TERRARIUM_MEM_H
#define TERRARIUM_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);              /* NULL on failure */
void *mem_realloc(void *old, size_t size); /* NULL: old is untouched */
void mem_free(void *p);                    /* NULL is fine */
/* Nothing that held a secret keeps it when it is free. */
void mem_wipe(void *p, size_t size);

/* Tests only: let the n-th allocation from now fail (1 is the next one);
 * 0 switches it off.  mem_failed() tells how many did fail since. */
void mem_fail_at(long n);
long mem_failed(void);

#endif
