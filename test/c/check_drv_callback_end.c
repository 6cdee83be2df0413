/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_callback_end.c - callbacks in the driver when a request, a caller
 * or the helper ends meanwhile. */
#include <check.h>
#include <string.h>

#include "drvsupport_callbacks.h"

/* B runs on top of CB_A, whose time is up: A is told at once, B is not hit, and
 * A has its grace when it comes to the top. */
START_TEST(cancel_buried)
{
    uint64_t a = cb_waiting(CB_A, "#1", 1), b = cb_submit_as(CB_B);
    cb_takes(WIRE_CALL, b);
    cb_say(WIRE_STARTED, b);
    fake_set_caller(CB_A);
    ck_assert_int_eq(fake_helper_attach(&cb, a, "#2"), DRV_REPLY_OK);
    ck_assert_int_eq(fake_helper_cancel(&cb, a), DRV_REPLY_DROPPED);
    cb_takes(WIRE_CANCEL, a);
    ck_assert_int_eq(fake_timer(), -1);
    cb_say(WIRE_RESULT, b);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
    cb_say(WIRE_ERROR, a);
    ck_assert_int_eq(fake_timer(), -1);
    ck_assert_int_eq(fake_messages(), 1); /* the question */
}
END_TEST

/* On top: its answer is waited for. */
START_TEST(cancel_on_top)
{
    uint64_t a = cb_waiting(CB_A, "#1", 1);
    ck_assert_int_eq(fake_helper_attach(&cb, a, "#2"), DRV_REPLY_OK);
    ck_assert_int_eq(fake_helper_cancel(&cb, a), DRV_REPLY_INTERRUPTED);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
    cb_ask(a, 2); /* clean-up code calls: nobody is there */
    ck_assert_int_eq(fake_messages(), 1);
    cb_say(WIRE_ERROR, a);
    ck_assert_str_eq(fake_message(1), "{py_answer,#2,66,<<131,97,1>>}");
    ck_assert_int_eq(fake_timer(), -1);
}
END_TEST

/* The caller is in its function, the helper has given that call up and makes
 * another: that is what the caller gets when it goes on, and then it is still
 * one whose requests are nested. */
START_TEST(another_question_meanwhile)
{
    uint8_t reply[64];
    uint64_t number, a = cb_waiting(CB_A, "#1", 1);
    cb_ask(a, 2);
    long n = cb_resume_as(CB_A, a, 1, reply);
    ck_assert_int_eq(n, 9 + CB_QUESTION);
    ck_assert_int_eq(reply[0], DRV_REPLY_CALLBACK);
    memcpy(&number, reply + 9 + 6, 8);
    ck_assert(number == CB_FIRST + 2);
    cb_takes_nothing();
    uint64_t b = cb_submit_as(CB_B), nested = cb_submit_as(CB_A);
    cb_takes(WIRE_CALL, b);
    cb_takes(WIRE_CALL, nested);
    cb_say(WIRE_STARTED, nested);
    cb_say(WIRE_RESULT, nested);
    ck_assert_int_eq(cb_resume(CB_A, a, 2), DRV_REPLY_PENDING);
    cb_takes(WIRE_CALLED, CB_FIRST + 2);
    cb_say(WIRE_RESULT, a);
}
END_TEST

/* It has ended while its caller is in the function. */
START_TEST(an_answer_meanwhile)
{
    uint64_t a = cb_waiting(CB_A, "#1", 1);
    cb_say(WIRE_RESULT, a);
    ck_assert_int_eq(fake_messages(), 1);
    ck_assert_int_eq(cb_resume(CB_A, a, 1), DRV_REPLY_RESULT);
    ck_assert_int_eq(cb_resume(CB_A, a, 1), DRV_REPLY_GONE);
}
END_TEST

START_TEST(caller_dies_in_its_function)
{
    uint64_t a = cb_waiting(CB_A, "#1", 1), n = cb_submit_as(CB_A);
    cb_takes(WIRE_CALL, n);
    cb_say(WIRE_STARTED, n);
    fake_exit_process(cb.port, CB_A);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
    cb_say(WIRE_ERROR, n);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
    cb_say(WIRE_ERROR, a);
    ck_assert_int_eq(fake_timer(), -1);
    ck_assert_int_eq(fake_messages(), 1);
}
END_TEST

START_TEST(helper_dies_under_a_function)
{
    uint8_t reply[64];
    uint64_t a = cb_waiting(CB_A, "#1", 1), b = cb_submit_as(CB_B);
    cb_say(WIRE_STARTED, b);
    cb_ask(b, 2);
    fake_helper_hang_up(&cb);
    fake_helper_pump(&cb);
    ck_assert_int_eq(cb_resume(CB_A, a, 1), DRV_REPLY_PENDING);
    fake_control(cb.port, DRV_OP_FAIL, cb_etf_one, 3, reply, sizeof reply);
    ck_assert_int_eq(fake_helper_attach(&cb, a, "#3"), DRV_REPLY_ANSWER);
    ck_assert_int_eq(cb_resume(CB_B, b, 2), DRV_REPLY_ANSWER);
}
END_TEST

START_TEST(interrupt_hits_the_top)
{
    uint8_t reply[64];
    uint64_t a = cb_waiting(CB_A, "#1", 1);
    fake_control(cb.port, DRV_OP_INTERRUPT, "", 0, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
    ck_assert_int_eq(fake_timer(), -1); /* no grace: nobody gave up */
    cb_say(WIRE_ERROR, a);
    ck_assert_int_eq(cb_resume(CB_A, a, 1), DRV_REPLY_ANSWER);
    fake_control(cb.port, DRV_OP_INTERRUPT, "", 0, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_GONE);
}
END_TEST

START_TEST(allocation_failures)
{
    for (long k = 1; k < 12; k++) {
        uint64_t id = cb_submit_as(CB_A);
        cb_takes(WIRE_CALL, id);
        fake_fail_at(k);
        cb_ask(id, 1);
        int kept = fake_helper_attach(&cb, id, "#1");
        fake_fail_at(0);
        if (kept == DRV_REPLY_GONE)
            return; /* dropped, as is said: the helper's answer is unknown */
        cb_resume(CB_A, id, 1);
        cb_takes(WIRE_CALLED, CB_FIRST + 1);
        cb_say(WIRE_RESULT, id);
    }
}
END_TEST

Suite *make_drv_callback_end_suite(void);
Suite *
make_drv_callback_end_suite(void)
{
    const TTest *const tests[] = {cancel_buried,
                                  cancel_on_top,
                                  another_question_meanwhile,
                                  an_answer_meanwhile,
                                  caller_dies_in_its_function,
                                  helper_dies_under_a_function,
                                  interrupt_hits_the_top,
                                  allocation_failures};
    TCase *tc;
    return cb_suite("drv_callback_end", tests, sizeof tests / sizeof *tests,
                    &tc);
}
