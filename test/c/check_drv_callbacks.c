/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_callbacks.c - callbacks in the driver: who gets the question, what
 * goes back, and which request runs. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "drvsupport_callbacks.h"

/* ---- there and back ------------------------------------------------------ */

START_TEST(a_question_is_a_message)
{
    uint64_t id = cb_waiting(CB_A, "#1", 1);
    ck_assert_int_eq(fake_messages(), 1);
    ck_assert_ptr_nonnull(strstr(fake_message(0), "{py_answer,#1,68,<<131,"));
    ck_assert_int_eq(cb_resume(CB_A, id, 1), DRV_REPLY_PENDING);
    cb_takes(WIRE_CALLED, CB_FIRST + 1);
    ck_assert_int_eq(fake_helper_attach(&cb, id, "#2"), DRV_REPLY_OK);
    cb_say(WIRE_RESULT, id);
    ck_assert_str_eq(fake_message(1), "{py_answer,#2,65,<<131,97,1>>}");
    ck_assert_int_eq(cb_resume(CB_A, id, 1), DRV_REPLY_GONE);
}
END_TEST

START_TEST(a_question_before_attach_is_kept)
{
    uint8_t body[16], reply[64];
    uint64_t id = cb_submit_as(CB_A), seen;
    cb_takes(WIRE_CALL, id);
    cb_ask(id, 1);
    ck_assert_int_eq(fake_messages(), 0);
    memcpy(body, &id, 8);
    memcpy(body + 8, "#1", 2);
    long n = fake_control(cb.port, DRV_OP_ATTACH, body, 10, reply, 64);
    ck_assert_int_eq(n, 9 + CB_QUESTION);
    ck_assert_int_eq(reply[0], DRV_REPLY_CALLBACK);
    memcpy(&seen, reply + 1, 8);
    ck_assert(seen == id && reply[9] == 131);
    ck_assert_int_eq(cb_resume(CB_A, id, 1), DRV_REPLY_PENDING);
    cb_say(WIRE_RESULT, id);
    ck_assert_int_eq(fake_helper_attach(&cb, id, "#1"), DRV_REPLY_RESULT);
}
END_TEST

START_TEST(many_in_a_row)
{
    uint64_t id = cb_waiting(CB_A, "#1", 1);
    for (uint64_t n = 1; n < 200; n++) {
        ck_assert_int_eq(cb_resume(CB_A, id, n), DRV_REPLY_PENDING);
        cb_takes(WIRE_CALLED, CB_FIRST + n);
        ck_assert_int_eq(fake_helper_attach(&cb, id, "#1"), DRV_REPLY_OK);
        cb_ask(id, n + 1);
        ck_assert_int_eq(fake_messages(), (int)n + 1);
    }
    cb_resume(CB_A, id, 200);
    cb_say(WIRE_RESULT, id);
}
END_TEST

START_TEST(only_its_caller_goes_on)
{
    uint8_t reply[64];
    uint64_t id = cb_waiting(CB_A, "#1", 1);
    ck_assert_int_eq(cb_resume(CB_B, id, 1), DRV_REPLY_GONE);
    ck_assert_int_eq(cb_resume(CB_A, id + 1, 1), DRV_REPLY_GONE);
    fake_control(cb.port, DRV_OP_RESUME, &id, 8, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
    cb_takes_nothing();
    ck_assert_int_eq(cb_resume(CB_A, id, 1), DRV_REPLY_PENDING);
    cb_takes(WIRE_CALLED, CB_FIRST + 1);
    cb_say(WIRE_RESULT, id);
}
END_TEST

/* Of threads: to the owner, and back without a request. */
START_TEST(of_no_request)
{
    uint8_t body[9 + 3], reply[64];
    uint64_t number = CB_FIRST + 7,
             id = cb_submit_as(CB_A); /* so that it is read */
    cb_takes(WIRE_CALL, id);
    cb_ask(0, 7);
    ck_assert_ptr_nonnull(strstr(fake_message(0), "{Port,{callback,<<131,"));
    memcpy(body, &number, 8);
    body[8] = WIRE_RAISED;
    memcpy(body + 9, cb_etf_one, 3);
    fake_control(cb.port, DRV_OP_REPLY, body, sizeof body, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
    cb_takes(WIRE_RAISED, number);
    body[8] = WIRE_CANCEL;
    fake_control(cb.port, DRV_OP_REPLY, body, sizeof body, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
    cb_say(WIRE_RESULT, id);
}
END_TEST

/* ---- who runs ------------------------------------------------------------ */

START_TEST(nested_ones_go_before_others)
{
    uint64_t a = cb_waiting(CB_A, "#1", 1);
    uint64_t others[40], n;
    for (int i = 0; i < 40; i++)
        others[i] = cb_submit_as(CB_OTHER);
    for (int i = 0; i < WIRE_LIMIT_WINDOW_REQUESTS; i++)
        cb_takes(WIRE_CALL, others[i]);
    cb_takes_nothing(); /* the window is full, but not for A */
    n = cb_submit_as(CB_A);
    cb_takes(WIRE_CALL, n);
    cb_say(WIRE_STARTED, n);
    cb_say(WIRE_RESULT, n);
    ck_assert_int_eq(fake_helper_attach(&cb, n, "#2"), DRV_REPLY_RESULT);
    ck_assert_int_eq(cb_resume(CB_A, a, 1), DRV_REPLY_PENDING);
    cb_takes(WIRE_CALLED, CB_FIRST + 1);
    cb_say(WIRE_RESULT, a);
    for (int i = 0; i < 40; i++)
        cb_say(WIRE_RESULT, others[i]);
}
END_TEST

/* One that waits is on the helper's side: it is in nobody's way. */
START_TEST(one_that_waits_leaves_the_window)
{
    fake_set_caller(CB_A);
    uint64_t a = fake_helper_submit(&cb, 3 * WIRE_LIMIT_WINDOW_BYTES);
    uint8_t *body = malloc(3 * WIRE_LIMIT_WINDOW_BYTES);
    uint64_t seen, b;
    size_t n;
    ck_assert_int_eq(
        fake_helper_take(&cb, &seen, body, 3 * WIRE_LIMIT_WINDOW_BYTES, &n),
        WIRE_CALL);
    free(body);
    b = cb_submit_as(CB_B);
    cb_takes_nothing();
    cb_ask(a, 1);
    cb_takes(WIRE_CALL, b);
    cb_say(WIRE_STARTED, b);
    cb_say(WIRE_RESULT, b);
    cb_say(WIRE_RESULT, a);
}
END_TEST

/* Its body comes by port_command, which is forced then. */
START_TEST(a_busy_port_takes_nested_ones)
{
    enum { LARGE = 200000 };
    const uint8_t what[2] = {WIRE_CALL, 0};
    uint8_t reply[64], *body = calloc(1, LARGE + 8);
    uint64_t id, seen, a = cb_waiting(CB_A, "#1", 1);
    size_t n;
    fake_set_caller(CB_B);
    ck_assert(fake_helper_submit(&cb, WIRE_LIMIT_HIGH_WATER) != 0);
    ck_assert_int_eq(fake_busy(), 1);
    fake_set_caller(CB_C);
    ck_assert(fake_helper_submit(&cb, 3) == 0);
    fake_set_caller(CB_A);
    fake_control(cb.port, DRV_OP_RESERVE, what, 2, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_NESTED);
    memcpy(&id, reply + 1, 8);
    memcpy(body, &id, 8);
    fake_command(cb.port, body, 8 + LARGE);
    uint64_t small = fake_helper_submit(&cb, 3);
    ck_assert(small != 0);
    uint8_t *all = malloc(WIRE_LIMIT_HIGH_WATER);
    fake_helper_take(&cb, &seen, all, WIRE_LIMIT_HIGH_WATER, &n);
    ck_assert_uint_eq(n, WIRE_LIMIT_HIGH_WATER); /* B's, which came first */
    fake_helper_pump(&cb);
    fake_helper_take(&cb, &seen, all, WIRE_LIMIT_HIGH_WATER, &n);
    ck_assert(seen == id && n == LARGE);
    cb_takes(WIRE_CALL, small);
    free(all);
    free(body);
    ck_assert_uint_eq(fake_queue(), 0);
    cb_say(WIRE_STARTED, id);
    cb_say(WIRE_RESULT, id);
    cb_say(WIRE_RESULT, a);
}
END_TEST

/* The last byte of a large request is held back; a nested one comes behind it.
 */
START_TEST(a_nested_one_behind_one_half_written)
{
    enum { LARGE = 3000000 };
    const uint8_t what[2] = {WIRE_CALL, 0};
    uint8_t reply[64], *body = calloc(1, LARGE + 8), *all = malloc(LARGE);
    uint64_t ids[2], seen;
    size_t n;
    cb_waiting(CB_A, "#1", 1);
    memset(body, 7, LARGE + 8);
    for (int i = 0; i < 2; i++) {
        fake_set_caller(i == 0 ? CB_B : CB_A);
        fake_control(cb.port, DRV_OP_RESERVE, what, 2, reply, sizeof reply);
        memcpy(&ids[i], reply + 1, 8);
        memcpy(body, reply + 1, 8);
        fake_command(cb.port, body, LARGE + 8);
        ck_assert_uint_gt(fake_queue(), 0);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(fake_helper_take(&cb, &seen, all, LARGE, &n),
                         WIRE_CALL);
        ck_assert(seen == ids[i] && n == LARGE);
        ck_assert_int_eq(all[0], 7);
        ck_assert_mem_eq(all, all + 1, LARGE - 1);
        fake_helper_pump(&cb);
    }
    free(all);
    free(body);
}
END_TEST

/* Its request has ended before the nested one begins, and another may have
 * begun meanwhile: what runs is what the helper says. */
START_TEST(a_nested_one_that_is_left_over)
{
    uint64_t a = cb_waiting(CB_A, "#1", 1), x = cb_submit_as(CB_B),
             n = cb_submit_as(CB_A);
    cb_say(WIRE_ERROR, a);
    cb_say(WIRE_STARTED, n);
    cb_ask(n, 2);
    fake_set_caller(CB_B);
    ck_assert_int_eq(fake_helper_attach(&cb, n, "#2"), DRV_REPLY_GONE);
    fake_set_caller(CB_A);
    ck_assert_int_eq(fake_helper_attach(&cb, n, "#2"), DRV_REPLY_CALLBACK);
    ck_assert_int_eq(cb_resume(CB_A, n, 2), DRV_REPLY_PENDING);
    cb_say(WIRE_RESULT, n);
    cb_ask(x, 3); /* plain, so nobody said that it has begun */
    cb_say(WIRE_RESULT, x);
    fake_set_caller(CB_A);
    ck_assert_int_eq(fake_helper_attach(&cb, a, "#1"), DRV_REPLY_ANSWER);
}
END_TEST

/* A coroutine's request: it has called nobody, and one runs on top of it. */
START_TEST(below_without_a_call)
{
    uint64_t x = cb_submit_as(CB_A), y = cb_submit_as(CB_B);
    cb_say(WIRE_STARTED, x);
    cb_say(WIRE_STARTED, y);
    fake_set_caller(CB_A);
    ck_assert_int_eq(fake_helper_attach(&cb, x, "#1"), DRV_REPLY_OK);
    ck_assert_int_eq(fake_helper_cancel(&cb, x), DRV_REPLY_DROPPED);
    ck_assert_int_eq(fake_timer(), -1); /* y runs */
    cb_say(WIRE_RESULT, y);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
    cb_say(WIRE_ERROR, x);
    ck_assert_int_eq(fake_timer(), -1);
}
END_TEST

Suite *make_drv_callbacks_suite(void);
Suite *
make_drv_callbacks_suite(void)
{
    const TTest *const tests[] = {a_question_is_a_message,
                                  a_question_before_attach_is_kept,
                                  many_in_a_row,
                                  only_its_caller_goes_on,
                                  of_no_request,
                                  nested_ones_go_before_others,
                                  one_that_waits_leaves_the_window,
                                  a_busy_port_takes_nested_ones,
                                  a_nested_one_behind_one_half_written,
                                  a_nested_one_that_is_left_over,
                                  below_without_a_call};
    TCase *tc;
    return cb_suite("drv_callbacks", tests, sizeof tests / sizeof *tests, &tc);
}
