/* SPDX-License-Identifier: Apache-2.0 */
#include "shut.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static int
by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

void
shut_all_but(int *keep, size_t count)
{
    unsigned from = STDERR_FILENO + 1;
    qsort(keep, count, sizeof *keep, by_number);
    for (size_t i = 0; i < count; i++) {
        if (keep[i] < (int)from)
            continue;
        if ((unsigned)keep[i] > from)
            close_range(from, (unsigned)keep[i] - 1, 0);
        from = (unsigned)keep[i] + 1;
    }
    close_range(from, UINT_MAX, 0);
}
