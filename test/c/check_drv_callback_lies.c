/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_callback_lies.c - what a helper may not say about callbacks. */
#include <check.h>
#include <string.h>

#include "drvsupport_callbacks.h"

START_TEST(twice)
{
    uint64_t a = cb_waiting(CB_A, "#1", 1);
    cb_ask(a, 2); /* allowed: it may have given up the first */
    cb_ask(a, 3);
    ck_assert_int_eq(cb_resume(CB_A, a, 1), DRV_REPLY_CALLBACK);
    ck_assert_int_eq(cb_resume(CB_A, a, 3), DRV_REPLY_PENDING);
    cb_say(WIRE_RESULT, a);
    fake_forget_messages();
    cb_ask(a, 4);
    cb_expect_violation();
}
END_TEST

START_TEST(of_an_unknown_request)
{
    uint64_t a = cb_submit_as(CB_A);
    cb_ask(a ^ (1 << 20), 1);
    cb_expect_violation();
}
END_TEST

START_TEST(of_one_that_does_not_run)
{
    cb_submit_as(CB_A);
    cb_ask(cb_submit_as(CB_B), 1);
    cb_expect_violation();
}
END_TEST

START_TEST(of_one_below)
{
    uint64_t a = cb_waiting(CB_A, "#1", 1);
    cb_say(WIRE_STARTED, cb_submit_as(CB_B));
    cb_ask(a, 2);
    cb_expect_violation();
}
END_TEST

START_TEST(of_one_only_reserved)
{
    const uint8_t what[2] = {WIRE_CALL, 0};
    uint8_t reply[64];
    uint64_t id;
    fake_control(cb.port, DRV_OP_RESERVE, what, 2, reply, sizeof reply);
    memcpy(&id, reply + 1, 8);
    cb_ask(id, 1);
    cb_expect_violation();
}
END_TEST

static uint64_t
odd_start(int i)
{
    uint64_t a, b;
    switch (i) {
    case 0:
        return 12345; /* nobody */
    case 1:
        return 0;
    case 2: /* one that is not the first, and nobody waits */
        cb_submit_as(CB_A);
        return cb_submit_as(CB_B);
    case 3: /* twice */
        a = cb_submit_as(CB_A);
        cb_say(WIRE_STARTED, a);
        return a;
    case 4: /* one that waits */
        return cb_waiting(CB_A, "#1", 1);
    case 5: /* one that was not written: the window is full */
        a = cb_waiting(CB_A, "#1", 1);
        for (b = 0; b < WIRE_LIMIT_WINDOW_REQUESTS; b++)
            cb_submit_as(CB_OTHER);
        return cb_submit_as(CB_OTHER);
    default: /* one that has been answered */
        a = cb_waiting(CB_A, "#1", 1);
        cb_say(WIRE_RESULT, a);
        return a;
    }
}

START_TEST(odd_starts)
{
    uint64_t id = odd_start(_i);
    fake_forget_messages();
    cb_say(WIRE_STARTED, id);
    cb_expect_violation();
}
END_TEST

static const uint8_t odd[][CB_QUESTION + 1] = {
    {3, 131, 97, 1}, /* no tuple */
    {18, 131, 104, 3, 110, 8, 0, 1, 0, 0, 0, 0, 0, 0, 128, 106, 106, 106},
    {12, 131, 104, 4, 97, 1, 106, 106, 116, 0, 0, 0, 0}, /* small */
    {21, 131, 104, 4,   110, 8,   1,   1, 0, 0, 0,
     0,  0,   0,   128, 106, 106, 116, 0, 0, 0, 0}, /* negative */
    {21, 131, 104, 4,   110, 8,   0, 1, 0, 0, 0, 0,
     0,  0,   127, 106, 106, 116, 0, 0, 0, 0}, /* without its highest bit */
};

START_TEST(odd_questions)
{
    uint64_t ids[2] = {0, cb_submit_as(CB_A)};
    const uint8_t *body = odd[_i / 2];
    fake_helper_frame(&cb, WIRE_CALLBACK, ids[_i % 2], body + 1, body[0]);
    cb_expect_violation();
}
END_TEST

Suite *make_drv_callback_lies_suite(void);
Suite *
make_drv_callback_lies_suite(void)
{
    const TTest *const tests[] = {twice, of_an_unknown_request,
                                  of_one_that_does_not_run, of_one_below,
                                  of_one_only_reserved};
    TCase *tc;
    Suite *s =
        cb_suite("drv_callback_lies", tests, sizeof tests / sizeof *tests, &tc);
    tcase_add_loop_test(tc, odd_starts, 0, 7);
    tcase_add_loop_test(tc, odd_questions, 0,
                        2 * (int)(sizeof odd / sizeof *odd));
    return s;
}
