/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_courier.c - messages of Python: handed on, and not read while too
 * many are on their way. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_helper.h"

enum { COURIER = 7, BODY = 10000, COST = BODY + WIRE_LIMIT_SEND_OVERHEAD };

static struct fake_helper f;

static void
setup(void)
{
    fake_helper_ready(&f);
}

static void
teardown(void)
{
    ck_assert_int_eq(fake_helper_stop(&f), 0);
}

/* A command of this process; the first byte of the reply. */
static int
command(ErlDrvTermData who, unsigned op, const void *body, size_t n)
{
    uint8_t reply[128];
    fake_set_caller(who);
    fake_control(f.port, op, body, n, reply, sizeof reply);
    fake_set_caller(1);
    return reply[0];
}

static int
delivered(ErlDrvTermData who, uint64_t bytes)
{
    return command(who, DRV_OP_SENT, &bytes, sizeof bytes);
}

/* <<131, BINARY_EXT, Size:32, …>>, BODY bytes in all; the i-th. */
static void
send_large(uint32_t i)
{
    static uint8_t body[BODY] = {131, 109, 0, 0, 0, 0};
    uint32_t size = BODY - 6;
    for (int k = 0; k < 4; k++)
        body[2 + k] = (uint8_t)(size >> (24 - 8 * k));
    memcpy(body + 6, &i, sizeof i);
    fake_helper_frame(&f, WIRE_SEND, 0, body, sizeof body);
    channel_ring(&f.channel);
    fake_helper_pump(&f);
}

START_TEST(a_message_is_handed_on)
{
    static const uint8_t body[] = {131, 104, 2, 97, 1, 97, 2};
    ck_assert_int_eq(command(COURIER, DRV_OP_COURIER, "", 0), DRV_REPLY_OK);
    fake_helper_frame(&f, WIRE_SEND, 0, body, sizeof body);
    channel_ring(&f.channel);
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_messages(), 1);
    ck_assert_str_eq(fake_message(0), "{py_send,<<131,104,2,97,1,97,2>>}");
}
END_TEST

START_TEST(a_message_that_nobody_takes)
{
    static const uint8_t body[] = {131, 97, 1};
    fake_helper_frame(&f, WIRE_SEND, 0, body, sizeof body);
    channel_ring(&f.channel);
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_helper_killed(&f), 1);
    ck_assert_ptr_nonnull(strstr(fake_message(0), "{closed,{protocol,"));
}
END_TEST

/* So many fill the credit; those behind wait, though they are here. */
START_TEST(too_many_are_not_read)
{
    enum { FIT = (WIRE_LIMIT_SEND_CREDIT + COST - 1) / COST, ALL = FIT + 5 };
    command(COURIER, DRV_OP_COURIER, "", 0);
    for (uint32_t i = 0; i < ALL; i++)
        send_large(i);
    ck_assert_int_eq(fake_messages(), FIT);
    ck_assert_int_eq(fake_watched(f.inner_socket) & ERL_DRV_READ, 0);
    ck_assert_int_eq(fake_timer(),
                     -1); /* no deadline for what we do not read */
    ck_assert_int_eq(delivered(COURIER, (uint64_t)COST), DRV_REPLY_OK);
    ck_assert_int_eq(fake_messages(), FIT);
    ck_assert_int_eq(delivered(COURIER, (uint64_t)COST * (FIT / 2)),
                     DRV_REPLY_OK);
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_messages(), ALL);
    ck_assert_int_ne(fake_watched(f.inner_socket) & ERL_DRV_READ, 0);
}
END_TEST

/* An answer behind them comes when they have been read. */
START_TEST(an_answer_behind_them)
{
    enum { FIT = (WIRE_LIMIT_SEND_CREDIT + COST - 1) / COST };
    static const uint8_t one[] = {131, 97, 1};
    command(COURIER, DRV_OP_COURIER, "", 0);
    uint64_t id = fake_helper_submit(&f, 3);
    ck_assert_int_eq(fake_helper_attach(&f, id, "#1"), DRV_REPLY_OK);
    for (uint32_t i = 0; i < FIT; i++)
        send_large(i);
    fake_helper_frame(&f, WIRE_RESULT, id, one, sizeof one);
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_messages(), FIT);
    delivered(COURIER, WIRE_LIMIT_SEND_CREDIT);
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_messages(), FIT + 1);
    ck_assert_str_eq(fake_message(FIT), "{py_answer,#1,65,<<131,97,1>>}");
}
END_TEST

START_TEST(only_the_courier_says_what_is_delivered)
{
    ck_assert_int_eq(delivered(COURIER, 1), DRV_REPLY_REFUSED);
    command(COURIER, DRV_OP_COURIER, "", 0);
    ck_assert_int_eq(delivered(COURIER + 1, 1), DRV_REPLY_REFUSED);
    ck_assert_int_eq(command(COURIER, DRV_OP_SENT, "abc", 3),
                     DRV_REPLY_REFUSED);
    /* More than there was is no debt. */
    ck_assert_int_eq(delivered(COURIER, UINT64_MAX), DRV_REPLY_OK);
    send_large(0);
    ck_assert_int_eq(fake_messages(), 1);
}
END_TEST

START_TEST(the_end_while_they_wait)
{
    enum { FIT = (WIRE_LIMIT_SEND_CREDIT + COST - 1) / COST };
    command(COURIER, DRV_OP_COURIER, "", 0);
    for (uint32_t i = 0; i < FIT + 3; i++)
        send_large(i);
    ck_assert_int_eq(fake_messages(), FIT);
    fake_helper_hang_up(&f);
    ck_assert_int_eq(delivered(COURIER, WIRE_LIMIT_SEND_CREDIT), DRV_REPLY_OK);
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_messages(), FIT + 4);
    ck_assert_str_eq(fake_message(FIT + 3), "{Port,{closed,eof}}");
}
END_TEST

Suite *make_drv_courier_suite(void);
Suite *
make_drv_courier_suite(void)
{
    Suite *s = suite_create("drv_courier");
    TCase *tc = tcase_create("courier");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, a_message_is_handed_on);
    tcase_add_test(tc, a_message_that_nobody_takes);
    tcase_add_test(tc, too_many_are_not_read);
    tcase_add_test(tc, an_answer_behind_them);
    tcase_add_test(tc, only_the_courier_says_what_is_delivered);
    tcase_add_test(tc, the_end_while_they_wait);
    suite_add_tcase(s, tc);
    return s;
}
