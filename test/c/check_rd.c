/* SPDX-License-Identifier: Apache-2.0 */
/* check_rd.c - the bounded reader never passes the end, at any length. */
#include <stdlib.h>
#include <string.h>

#include "rd.h"
#include "support_check.h"

static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

/* A block of exactly n bytes, so that a sanitizer sees any step beyond. */
static uint8_t *
exact(size_t n)
{
    uint8_t *p = malloc(n ? n : 1);
    ck_assert_ptr_nonnull(p);
    memcpy(p, bytes, n);
    return p;
}

/* 0 or the error; *moved tells by how much the reader moved. */
static int
get(struct rd *r, size_t width, uint64_t *v)
{
    uint8_t v8 = 0;
    uint16_t v16 = 0;
    uint32_t v32 = 0;
    int e = width == 1   ? rd_u8(r, &v8)
            : width == 2 ? rd_be16(r, &v16)
            : width == 4 ? rd_be32(r, &v32)
                         : rd_be64(r, v);
    if (width < 8)
        *v = v8 + v16 + v32;
    return e;
}

START_TEST(each_get_stops_at_the_end)
{
    static const uint64_t first[] = {
        [1] = 1, [2] = 0x0102, [4] = 0x01020304, [8] = 0x0102030405060708};
    for (size_t width = 1; width <= 8; width *= 2) {
        for (size_t n = 0; n <= sizeof bytes; n++) {
            uint8_t *p = exact(n);
            uint64_t v = 0;
            struct rd r;
            rd_init(&r, p, n);
            ck_err(get(&r, width, &v), n < width ? E_SHORT : 0);
            ck_assert(v == (n < width ? 0 : first[width]));
            ck_assert_uint_eq(rd_left(&r), n < width ? n : n - width);
            ck_err(rd_end(&r), rd_left(&r) == 0 ? 0 : E_TRAILING);
            free(p);
        }
    }
}
END_TEST

START_TEST(bytes_are_borrowed_or_left_alone)
{
    struct rd r;
    const uint8_t *p = NULL;
    rd_init(&r, bytes, sizeof bytes);
    ck_err(rd_bytes(&r, sizeof bytes + 1, &p), E_SHORT);
    ck_err(rd_bytes(&r, SIZE_MAX, &p), E_SHORT);
    ck_assert_ptr_null(p);
    ck_assert_uint_eq(rd_left(&r), sizeof bytes);
    ck_ok(rd_bytes(&r, 4, &p));
    ck_assert_ptr_eq(p, bytes);
    ck_ok(rd_bytes(&r, 0, &p));
    ck_assert_ptr_eq(p, bytes + 4);
    ck_ok(rd_bytes(&r, 6, &p));
    ck_ok(rd_end(&r));
    ck_ok(rd_bytes(&r, 0, &p));
    ck_err(rd_bytes(&r, 1, &p), E_SHORT);
}
END_TEST

Suite *
make_rd_suite(void)
{
    const TTest *const tests[] = {each_get_stops_at_the_end,
                                  bytes_are_borrowed_or_left_alone, NULL};
    return suite_of("rd", tests, 10);
}
