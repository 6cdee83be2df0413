/* SPDX-License-Identifier: Apache-2.0 */
#include "warm.h"

#include <errno.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

enum {
    MAP_FROM = 256 << 20, /* blocks that are never kept */
    KEEP_BUSY = 512 << 20,
    STEP = 1 << 20, /* the heap grows by, and keeps when it is cut */
    HUGE_PAGE = 2 << 20,
    WORTH = 8 << 20,
    IDLE_MS = 1000
};

/* Singleton of the process, as its heap is. */
static uintptr_t start; /* 0: nothing is known of the heap */

static uintptr_t advised; /* up to here in huge pages */

static uintptr_t
heap_end(void)
{
#ifdef __GLIBC__
    return (uintptr_t)sbrk(0); /* glibc's own note of it: no system call */
#else
    return 0;
#endif
}

void
warm_init(void)
{
    start = heap_end();
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, MAP_FROM);
    mallopt(M_TRIM_THRESHOLD, KEEP_BUSY);
    mallopt(M_TOP_PAD, STEP);
#endif
}

int
warm_patience(void)
{
    return start != 0 && heap_end() > start + WORTH ? IDLE_MS : 0;
}

/* Whole huge pages of the heap; only a hint, so what it comes to is all one. */
static void
advise(uintptr_t end, int advice)
{
    uintptr_t from = (start + HUGE_PAGE - 1) & -(uintptr_t)HUGE_PAGE;
    uintptr_t to = end & -(uintptr_t)HUGE_PAGE;
    int saved = errno;
    if (from < to)
        madvise((void *)from, to - from, advice);
    errno = saved;
}

void
warm_grown(void)
{
    uintptr_t end = heap_end();
    if (start == 0 || end == advised || end <= start + WORTH)
        return;
    advise(end, MADV_HUGEPAGE);
    advised = end;
}

/* First no more huge pages, or the kernel would by and by fill the gaps
 * again. */
void
warm_trim(void)
{
    if (advised != 0)
        advise(heap_end(), MADV_NOHUGEPAGE);
    advised = 0;
#ifdef __GLIBC__
    malloc_trim(STEP);
#endif
}
