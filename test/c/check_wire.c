/* SPDX-License-Identifier: Apache-2.0 */
/* check_wire.c - the wire's constants and the frame header's bytes. */
#include <string.h>

#include "support_check.h"
#include "wire.h"

START_TEST(the_header_is_little_endian)
{
    static const uint8_t expected[] = {4, 3, 2, 1, 65, 1, 0, 0,
                                       8, 7, 6, 5, 4,  3, 2, 1};
    struct wire_header h = {.length = 0x01020304,
                            .opcode = WIRE_RESULT,
                            .flags = WIRE_FLAG_RETURN_REF,
                            .id = 0x0102030405060708};
    struct wire_header back;
    uint8_t p[WIRE_LIMIT_HEADER_SIZE];
    wire_put_header(p, &h);
    ck_assert_mem_eq(p, expected, sizeof expected);
    ck_ok(wire_get_header(p, &back));
    ck_assert_mem_eq(&back, &h, sizeof h);
}
END_TEST

START_TEST(a_bad_header_sets_nothing)
{
    uint8_t p[WIRE_LIMIT_HEADER_SIZE] = {0};
    struct wire_header h, before;
    memset(&h, 0x5a, sizeof h);
    before = h;
    for (int i = 6; i < 8; i++) {
        p[i] = 0x80;
        ck_err(wire_get_header(p, &h), E_FORMAT);
        p[i] = 0;
    }
    p[3] = 0x80;
    ck_err(wire_get_header(p, &h), E_LIMIT);
    ck_assert_mem_eq(&h, &before, sizeof h);
    memset(p, 0xff, 3);
    p[3] = 0x7f;
    ck_ok(wire_get_header(p, &h));
    ck_assert_uint_eq(h.length, WIRE_LIMIT_MAX_FRAME);
}
END_TEST

START_TEST(the_table_knows_each_frame_and_no_other)
{
    int known = 0, listed = 0;
#define FRAME(name, code, direction, body, meaning) listed++;
#include "wire.def"
    for (int i = 0; i < 256; i++) {
        const struct wire_frame_info *info = wire_info((uint8_t)i);
        ck_assert_ptr_nonnull(info);
        if (info->name == NULL)
            continue;
        known++;
        ck_assert_int_ne(info->direction, 0);
        if (wire_is_request((uint8_t)i))
            ck_assert_int_eq(info->direction, WIRE_DOWN);
    }
    ck_assert_int_eq(known, listed); /* so no two share a code */
    ck_assert_str_eq(wire_info(WIRE_HELLO)->name, "HELLO");
    ck_assert_int_eq(wire_info(WIRE_BOOT)->body, WIRE_BODY_control);
    ck_assert_int_eq(wire_info(WIRE_CANCEL)->body, WIRE_BODY_none);
    ck_assert_int_eq(wire_info(WIRE_CALL)->body, WIRE_BODY_term);
}
END_TEST

START_TEST(requests_are_what_gets_an_answer)
{
    static const uint8_t yes[] = {WIRE_CALL,   WIRE_EVAL,    WIRE_EXEC,
                                  WIRE_METHOD, WIRE_GETATTR, WIRE_TO_TERM,
                                  WIRE_INFO};
    static const uint8_t no[] = {
        0,           WIRE_BOOT,  WIRE_CANCEL, WIRE_STOP, WIRE_HELLO,
        WIRE_RESULT, WIRE_ERROR, 63,          255,       WIRE_RELEASE};
    for (size_t i = 0; i < sizeof yes; i++)
        ck_assert_int_eq(wire_is_request(yes[i]), 1);
    for (size_t i = 0; i < sizeof no; i++)
        ck_assert_int_eq(wire_is_request(no[i]), 0);
}
END_TEST

/* port_control's commands share one number space with the requests. */
START_TEST(commands_and_requests_do_not_collide)
{
    int seen[256] = {0};
#define OP(name, code, meaning) ck_assert_int_eq(seen[code]++, 0);
#include "wire.def"
    for (int i = 0; i < 256; i++)
        ck_assert(!(seen[i] && wire_is_request((uint8_t)i)));
}
END_TEST

START_TEST(messages_are_called_by_their_names)
{
    ck_assert_str_eq(CTL_hello, "hello");
    ck_assert_str_eq(CTL_spawn_failed, "spawn_failed");
    ck_assert_int_ne(WIRE_FINGERPRINT, 0);
}
END_TEST

Suite *
make_wire_suite(void)
{
    const TTest *const tests[] = {the_header_is_little_endian,
                                  a_bad_header_sets_nothing,
                                  the_table_knows_each_frame_and_no_other,
                                  requests_are_what_gets_an_answer,
                                  commands_and_requests_do_not_collide,
                                  messages_are_called_by_their_names,
                                  NULL};
    return suite_of("wire", tests, 10);
}
