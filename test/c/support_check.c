/* SPDX-License-Identifier: Apache-2.0 */
/* support_check.c - what several suites need. */
#include "support_check.h"

#include <dirent.h>

void
each_allocation_fails(int (*once)(void))
{
    long n = 0, failed;
    do {
        mem_fail_at(++n);
        int e = once();
        failed = mem_failed();
        mem_fail_at(0);
        ck_assert_msg(e == (failed ? E_NOMEM : 0), "allocation %ld failing: %s",
                      n, err_name(e));
    } while (failed != 0);
    ck_assert_int_gt(n, 1); /* it does allocate */
}

int
open_descriptors(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(d);
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count;
}

/* xorshift32 */
uint32_t
next_random(uint32_t *state)
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

Suite *
suite_of(const char *name, const TTest *const *tests, int seconds)
{
    Suite *s = suite_create(name);
    TCase *c = tcase_create(name);
    tcase_set_timeout(c, seconds);
    for (; *tests != NULL; tests++)
        tcase_add_test(c, *tests);
    suite_add_tcase(s, c);
    return s;
}
