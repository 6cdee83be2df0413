/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "holes.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#if __GLIBC_PREREQ(2, 33)
#define HAS_MALLINFO2 1
#endif
#endif

/* Of CPython's allocator: blocks of one size class lie in pools, behind a head;
 * and how much of a class may be free in pools that are in use. */
enum {
    POOL = 16 << 10,
    POOL_HEAD = 64, /* or less */
    CLASS_STEP = 16,
    CLASS_LAST = 512,
    CLASS_MOST = 1 << 20
};

/* Of libc's: below this, what was freed may be kept apart; and how many of one
 * size there may be. */
enum { SMALL = 1032, SMALL_STEP = 16, SMALLEST = 24, LARGE = 64 << 10 };
enum { HEAP_MOST = 64 << 10 };

struct block {
    struct block *next;
};

/* What is taken.  Singleton, as the heap is. */
static struct block *taken;

static void
take(struct block *b)
{
    b->next = taken;
    taken = b;
}

/* ---- CPython's pools ----------------------------------------------------- */

/* Is it the first of a pool, and does the next one lie behind it?  Then nothing
 * was in this pool yet. */
static int
begins_pool(const struct block *b, const struct block *next, size_t size)
{
    return ((uintptr_t)b & (POOL - 1)) < POOL_HEAD &&
           (uintptr_t)next == (uintptr_t)b + size;
}

/* Take blocks of a size until they come from a pool that was not in use.  0:
 * they seem to come from elsewhere; all are given back. */
static int
fill_class(size_t size)
{
    struct block *before = NULL, *all = NULL;
    for (size_t n = 0; n < CLASS_MOST; n += size) {
        struct block *b = PyObject_Malloc(size);
        if (b == NULL)
            break;
        b->next = all;
        all = b;
        if (before != NULL && begins_pool(before, b, size))
            return 1;
        before = b;
    }
    while (all != NULL) {
        struct block *b = all;
        all = b->next;
        PyObject_Free(b);
    }
    return 0;
}

static void
fill_pools(void)
{
    for (size_t size = CLASS_STEP; size <= CLASS_LAST; size += CLASS_STEP)
        if (!fill_class(size))
            return;
}

/* ---- libc's heap --------------------------------------------------------- */

#ifdef HAS_MALLINFO2
/* Take blocks of a size until they come from the end of the heap.  A large one
 * goes back there. */
static void
fill_size(size_t size, uintptr_t end)
{
    for (int i = 0; i < HEAP_MOST; i++) {
        struct block *b = malloc(size);
        if (b == NULL)
            return;
        int is_new = (uintptr_t)b >= end;
        if (is_new && size > SMALL) {
            free(b);
            return;
        }
        take(b);
        if (is_new)
            return;
    }
}
#endif

static void
fill_heap(void)
{
#ifdef HAS_MALLINFO2
    uintptr_t end = (uintptr_t)sbrk(0) - mallinfo2().keepcost;
    for (size_t size = LARGE; size > SMALL; size /= 2)
        fill_size(size, end);
    for (size_t size = SMALL; size >= SMALLEST; size -= SMALL_STEP)
        fill_size(size, end);
#endif
}

void
holes_fill(void)
{
    fill_pools();
    fill_heap();
}
