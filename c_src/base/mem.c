/* SPDX-License-Identifier: Apache-2.0 */
#include "mem.h"

#include <stdlib.h>
#include <string.h>

/* Singletons of the process, written by tests before any thread exists. */
static long fail_countdown;
static long failures;

void
mem_fail_at(long n)
{
    fail_countdown = n;
    failures = 0;
}

long
mem_failed(void)
{
    return failures;
}

static int
must_fail(void)
{
    if (fail_countdown == 0 || --fail_countdown > 0)
        return 0;
    failures++;
    return 1;
}

void *
mem_alloc(size_t size)
{
    return must_fail() ? NULL : malloc(size ? size : 1);
}

void *
mem_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : realloc(old, size ? size : 1);
}

void
mem_free(void *p)
{
    free(p);
}

void
mem_wipe(void *p, size_t size)
{
    if (p != NULL)
        explicit_bzero(p, size);
}
