/* SPDX-License-Identifier: Apache-2.0 */
#include "pages.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20 };

static uintptr_t
up(uintptr_t v, uintptr_t align)
{
    return (v + align - 1) & ~(align - 1);
}

static uintptr_t
down(uintptr_t v, uintptr_t align)
{
    return v & ~(align - 1);
}

/* Whole pages only: the rest belongs to somebody else as well. */
static void
advise(uintptr_t from, uintptr_t to, int advice)
{
    if (from < to)
        madvise((void *)from, to - from, advice);
}

void
pages_expect(void *p, size_t n)
{
    if (n < PAGES_WORTH)
        return;
    int saved = errno;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = up((uintptr_t)p, page);
    uintptr_t last = down((uintptr_t)p + n, page);
    uintptr_t huge = up(first, HUGE_PAGE);
    uintptr_t huge_end = down(last, HUGE_PAGE);
    if (huge >= huge_end)
        huge = huge_end = last;
    advise(huge, huge_end, MADV_HUGEPAGE);
#ifdef MADV_POPULATE_WRITE
    advise(first, huge, MADV_POPULATE_WRITE);
    advise(huge_end, last, MADV_POPULATE_WRITE);
#endif
    errno = saved;
}
