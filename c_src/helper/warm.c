/* SPDX-License-Identifier: Apache-2.0 */
#include "warm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

enum {
    MAP_FROM = 32 << 20,  /* where glibc's own adaptation ends */
    KEEP_BUSY = 64 << 20, /* as it does: twice that */
    KEEP_IDLE = 1 << 20,
    HUGE_PAGE = 2 << 20,
    WORTH = 4 << 20,
    IDLE_MS = 1000
};

/* Of what the helper added to the heap; singleton, as the heap is. */
static uintptr_t start;

static uintptr_t
heap_end(void)
{
#ifdef __GLIBC__
    return (uintptr_t)sbrk(0); /* glibc's own note of it: no system call */
#else
    return 0;
#endif
}

#ifdef __GLIBC__
/* Somebody who runs us has chosen already. */
static int
is_tuned(void)
{
    const char *tunables = getenv("GLIBC_TUNABLES");
    return getenv("MALLOC_MMAP_THRESHOLD_") != NULL ||
           getenv("MALLOC_TRIM_THRESHOLD_") != NULL ||
           (tunables != NULL && strstr(tunables, "glibc.malloc.") != NULL);
}
#endif

void
warm_init(void)
{
    start = heap_end();
#ifdef __GLIBC__
    /* Either of them ends glibc's own adaptation: both, or none. */
    if (!is_tuned() && mallopt(M_MMAP_THRESHOLD, MAP_FROM) == 1)
        mallopt(M_TRIM_THRESHOLD, KEEP_BUSY);
#endif
}

int
warm_patience(void)
{
    return heap_end() > start + WORTH ? IDLE_MS : 0;
}

/* Does the kernel use huge pages of itself?  Then nobody is advised. */
static int
huge_by_default(void)
{
    char mode[64] = "";
    int fd = open("/sys/kernel/mm/transparent_hugepage/enabled",
                  O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, mode, sizeof mode - 1);
    close(fd);
    return n > 0 && strstr(mode, "[always]") != NULL;
}

/* Where parts of the heap were advised to be in huge pages (pages_expect), the
 * kernel would by and by fill the gaps again. */
static void
want_no_huge_pages(void)
{
    uintptr_t page = HUGE_PAGE;
    uintptr_t from = (start + page - 1) & ~(page - 1);
    uintptr_t to = heap_end() & ~(page - 1);
    if (from < to && !huge_by_default())
        madvise((void *)from, to - from, MADV_NOHUGEPAGE);
}

void
warm_trim(void)
{
    int saved = errno;
    want_no_huge_pages();
#ifdef __GLIBC__
    malloc_trim(KEEP_IDLE);
#endif
    errno = saved;
}
