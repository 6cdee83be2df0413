/* SPDX-License-Identifier: Apache-2.0 */
/* check_buf.c - the growable buffer: growth, its maximum, failures. */
#include <string.h>

#include "buf.h"
#include "support_check.h"

START_TEST(puts_arrive_in_network_order)
{
    static const uint8_t expected[] = {
        1, 2, 3, 4, 5, 6, 7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff};
    struct buf b;
    buf_init(&b, 100);
    ck_ok(buf_put_u8(&b, 1));
    ck_ok(buf_put_be16(&b, 0x0203));
    ck_ok(buf_put_be32(&b, 0x04050607));
    ck_ok(buf_put_be64(&b, 0xf8f9fafbfcfdfeffu));
    ck_ok(buf_put(&b, NULL, 0));
    ck_assert_uint_eq(b.len, sizeof expected);
    ck_assert_mem_eq(b.data, expected, sizeof expected);
    ck_assert_uint_eq(get_be16(b.data + 1), 0x0203);
    ck_assert_uint_eq(get_be32(b.data + 3), 0x04050607);
    ck_assert(get_be64(b.data + 7) == 0xf8f9fafbfcfdfeffu);
    buf_fini(&b);
}
END_TEST

START_TEST(it_grows_by_any_step)
{
    for (size_t step = 1; step <= 1000; step = step * 3 + 1) {
        struct buf b;
        char chunk[1100];
        buf_init(&b, 1 << 20);
        for (int i = 0; i < 50; i++) {
            memset(chunk, i, step);
            ck_ok(buf_put(&b, chunk, step));
        }
        ck_assert_uint_eq(b.len, 50 * step);
        ck_assert_uint_le(b.len, b.cap);
        for (size_t i = 0; i < b.len; i++)
            ck_assert_uint_eq(b.data[i], i / step);
        buf_fini(&b);
    }
}
END_TEST

static void
unchanged(const struct buf *b, const struct buf *before, const char *bytes)
{
    ck_assert_ptr_eq(b->data, before->data);
    ck_assert_uint_eq(b->len, before->len);
    ck_assert_uint_eq(b->cap, before->cap);
    ck_assert_mem_eq(b->data, bytes, b->len);
}

START_TEST(the_maximum_holds_and_a_failure_changes_nothing)
{
    struct buf b;
    buf_init(&b, 10);
    ck_ok(buf_put(&b, "01234567", 8));
    struct buf before = b;
    ck_err(buf_put(&b, "abc", 3), E_LIMIT);
    unchanged(&b, &before, "01234567");
    ck_err(buf_grow(&b, SIZE_MAX), E_LIMIT);
    ck_err(buf_grow(&b, SIZE_MAX - 7), E_LIMIT);
    ck_err(buf_reserve(&b, SIZE_MAX), E_LIMIT);
    unchanged(&b, &before, "01234567");
    ck_err(buf_put_be64(&b, 0), E_LIMIT);
    ck_err(buf_put_be32(&b, 0), E_LIMIT);
    unchanged(&b, &before, "01234567");
    ck_ok(buf_put_be16(&b, 0x3839));
    ck_assert_uint_eq(b.cap, 10);
    ck_err(buf_put_u8(&b, 0), E_LIMIT);
    ck_assert_mem_eq(b.data, "0123456789", 10);
    buf_fini(&b);
}
END_TEST

START_TEST(without_memory_nothing_changes)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    mem_fail_at(1);
    ck_err(buf_put_u8(&b, 7), E_NOMEM);
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(b.len, 0);
    mem_fail_at(0);
    ck_ok(buf_put(&b, "kept", 4));
    struct buf before = b;
    mem_fail_at(1);
    ck_err(buf_grow(&b, 10000), E_NOMEM);
    mem_fail_at(0);
    unchanged(&b, &before, "kept");
    buf_fini(&b);
}
END_TEST

START_TEST(consume_drops_from_the_front)
{
    struct buf b;
    buf_init(&b, 100);
    buf_consume(&b, 5);
    ck_assert_uint_eq(b.len, 0);
    ck_ok(buf_put(&b, "abcdef", 6));
    buf_consume(&b, 0);
    buf_consume(&b, 2);
    ck_assert_uint_eq(b.len, 4);
    ck_assert_mem_eq(b.data, "cdef", 4);
    buf_consume(&b, 1000);
    ck_assert_uint_eq(b.len, 0);
    buf_fini(&b);
}
END_TEST

START_TEST(reset_gives_large_memory_back)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    ck_ok(buf_grow(&b, 5000));
    b.len = 5000;
    buf_reset(&b, 8192);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_uint_eq(b.cap, 5000);
    ck_ok(buf_grow(&b, 10000));
    buf_reset(&b, 8192);
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(b.cap, 0);
    ck_assert_uint_eq(b.max, 1 << 20);
    ck_ok(buf_put_u8(&b, 1));
    buf_fini(&b);
    buf_fini(&b);
    ck_assert_uint_eq(b.max, 1 << 20);
}
END_TEST

Suite *
make_buf_suite(void)
{
    const TTest *const tests[] = {
        puts_arrive_in_network_order,
        it_grows_by_any_step,
        the_maximum_holds_and_a_failure_changes_nothing,
        without_memory_nothing_changes,
        consume_drops_from_the_front,
        reset_gives_large_memory_back,
        NULL};
    return suite_of("buf", tests, 10);
}
