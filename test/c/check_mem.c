/* SPDX-License-Identifier: Apache-2.0 */
/* check_mem.c - allocation that fails when it is told to. */
#include <string.h>

#include "support_check.h"

START_TEST(the_nth_allocation_fails_once)
{
    mem_fail_at(3);
    void *a = mem_alloc(8), *b = mem_alloc(8);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    ck_assert_int_eq(mem_failed(), 0);
    ck_assert_ptr_null(mem_alloc(8));
    ck_assert_int_eq(mem_failed(), 1);
    void *c = mem_alloc(8);
    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(mem_failed(), 1);
    mem_fail_at(0);
    ck_assert_int_eq(mem_failed(), 0);
    mem_free(a);
    mem_free(b);
    mem_free(c);
}
END_TEST

START_TEST(a_failed_realloc_keeps_the_old_block)
{
    char *p = mem_alloc(4);
    memcpy(p, "abc", 4);
    mem_fail_at(1);
    ck_assert_ptr_null(mem_realloc(p, 1 << 20));
    mem_fail_at(0);
    ck_assert_str_eq(p, "abc");
    p = mem_realloc(p, 1 << 20);
    ck_assert_ptr_nonnull(p);
    ck_assert_str_eq(p, "abc");
    mem_free(p);
}
END_TEST

START_TEST(zero_bytes_are_a_block_too)
{
    void *a = mem_alloc(0), *b = mem_alloc(0);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_ne(a, b);
    a = mem_realloc(a, 0);
    ck_assert_ptr_nonnull(a);
    mem_free(a);
    mem_free(b);
    mem_free(NULL);
}
END_TEST

Suite *
make_mem_suite(void)
{
    const TTest *const tests[] = {the_nth_allocation_fails_once,
                                  a_failed_realloc_keeps_the_old_block,
                                  zero_bytes_are_a_block_too, NULL};
    return suite_of("mem", tests, 10);
}
