/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_callback_yield.c - requests that let others go first: which one
 * runs then, for the driver. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "drvsupport_callbacks.h"

/* Whoever runs is the one whose time being up begins a grace. */
static void
expect_runs(uint64_t id, ErlDrvTermData caller)
{
    fake_set_caller(caller);
    fake_helper_cancel(&cb, id);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
}

START_TEST(the_next_one_runs)
{
    uint64_t a = cb_submit_as(CB_A), b = cb_submit_as(CB_B);
    cb_say(WIRE_YIELDED, a);
    expect_runs(b, CB_B);
    cb_say(WIRE_ERROR, b);
    ck_assert_int_eq(fake_timer(), -1);
    cb_say(WIRE_STARTED, a);
    expect_runs(a, CB_A);
    cb_say(WIRE_ERROR, a);
    ck_assert_int_eq(fake_timer(), -1);
}
END_TEST

START_TEST(again_and_again)
{
    uint64_t a = cb_submit_as(CB_A), b = cb_submit_as(CB_B);
    cb_say(WIRE_YIELDED, a);
    cb_say(WIRE_YIELDED, b);
    for (int i = 0; i < 100; i++) {
        uint64_t id = i % 2 ? b : a;
        cb_say(WIRE_STARTED, id);
        cb_say(WIRE_YIELDED, id);
    }
    uint64_t c = cb_submit_as(CB_C);
    expect_runs(c, CB_C);
    cb_say(WIRE_ERROR, c);
    cb_say(WIRE_STARTED, b);
    cb_say(WIRE_RESULT, b);
    cb_say(WIRE_STARTED, a);
    cb_say(WIRE_RESULT, a);
}
END_TEST

/* It may call Erlang before and after, and on top of one that waits. */
START_TEST(with_callbacks)
{
    uint64_t a = cb_waiting(CB_A, "#1", 1), b = cb_submit_as(CB_B);
    ck_assert_int_eq(fake_helper_attach(&cb, b, "#2"), DRV_REPLY_OK);
    cb_say(WIRE_STARTED, b);
    cb_say(WIRE_YIELDED, b);
    ck_assert_int_eq(cb_resume(CB_A, a, 1), DRV_REPLY_PENDING);
    cb_say(WIRE_YIELDED, a);
    cb_say(WIRE_STARTED, b);
    cb_ask(b, 2);
    ck_assert_int_eq(cb_resume(CB_B, b, 2), DRV_REPLY_PENDING);
    cb_say(WIRE_RESULT, b);
    cb_say(WIRE_STARTED, a);
    cb_say(WIRE_RESULT, a);
}
END_TEST

/* In the line it has no grace, and may be skipped. */
START_TEST(cancelled_in_the_line)
{
    uint64_t a = cb_submit_as(CB_A), b = cb_submit_as(CB_B);
    cb_say(WIRE_YIELDED, a);
    fake_set_caller(CB_A);
    fake_helper_cancel(&cb, a);
    ck_assert_int_eq(fake_timer(), -1);
    cb_say(WIRE_RESULT, b);
    cb_say(WIRE_CANCELLED, a);
    ck_assert_int_eq(fake_timer(), -1);
}
END_TEST

/* The helper has read it, so it is not in the way of what is to be written. */
START_TEST(one_that_yielded_leaves_the_window)
{
    fake_set_caller(CB_A);
    uint64_t a = fake_helper_submit(&cb, 3 * WIRE_LIMIT_WINDOW_BYTES);
    uint8_t *body = malloc(3 * WIRE_LIMIT_WINDOW_BYTES);
    uint8_t small[64];
    uint64_t seen, b;
    size_t n;
    ck_assert_int_eq(
        fake_helper_take(&cb, &seen, body, 3 * WIRE_LIMIT_WINDOW_BYTES, &n),
        WIRE_CALL);
    free(body);
    b = cb_submit_as(CB_B);
    cb_takes_nothing();
    cb_say(WIRE_YIELDED, a);
    cb_takes(WIRE_CALL, b);
    cb_say(WIRE_RESULT, b);
    cb_say(WIRE_STARTED, a);
    cb_say(WIRE_RESULT, a);
    for (int i = 0; i < WIRE_LIMIT_WINDOW_REQUESTS; i++)
        b = cb_submit_as(CB_B);
    for (int i = 0; i < WIRE_LIMIT_WINDOW_REQUESTS; i++)
        fake_helper_take(&cb, &seen, small, sizeof small, &n);
    ck_assert_uint_eq(seen, b); /* all of them fit */
}
END_TEST

static uint64_t
odd_yield(int i)
{
    uint64_t a = cb_submit_as(CB_A);
    switch (i) {
    case 0:
        return 12345; /* nobody */
    case 1:           /* not the first */
        return cb_submit_as(CB_B);
    case 2: /* answered */
        cb_say(WIRE_RESULT, a);
        return a;
    case 3: /* already */
        cb_submit_as(CB_B);
        cb_say(WIRE_YIELDED, a);
        return a;
    case 4: /* it waits for a callback */
        cb_ask(a, 1);
        return a;
    default: /* a nested one */
        cb_ask(a, 1);
        a = cb_submit_as(CB_A);
        cb_say(WIRE_STARTED, a);
        return a;
    }
}

START_TEST(odd_yields)
{
    uint64_t id = odd_yield(_i);
    fake_forget_messages();
    cb_say(WIRE_YIELDED, id);
    cb_expect_violation();
}
END_TEST

Suite *make_drv_callback_yield_suite(void);
Suite *
make_drv_callback_yield_suite(void)
{
    const TTest *const tests[] = {the_next_one_runs, again_and_again,
                                  with_callbacks, cancelled_in_the_line,
                                  one_that_yielded_leaves_the_window};
    TCase *tc;
    Suite *s = cb_suite("drv_callback_yield", tests,
                        sizeof tests / sizeof *tests, &tc);
    tcase_add_loop_test(tc, odd_yields, 0, 6);
    return s;
}
