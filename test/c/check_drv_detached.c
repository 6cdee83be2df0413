/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_detached.c - requests that leave the line and are answered later,
 * in any order. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "fake_helper.h"

static struct fake_helper f;
static const uint8_t etf_one[] = {131, 97, 1};

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

static uint64_t
submit_async(void)
{
    uint8_t reply[64];
    uint64_t id = 0;
    fake_control(f.port, WIRE_CALL | WIRE_FLAG_ASYNC << 8, etf_one, 3, reply,
                 sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_PENDING);
    memcpy(&id, reply + 1, 8);
    return id;
}

static void
detach(uint64_t id)
{
    fake_helper_frame(&f, WIRE_DETACHED, id, NULL, 0);
    fake_helper_pump(&f);
}

static void
answer(uint64_t id)
{
    fake_helper_frame(&f, WIRE_RESULT, id, etf_one, sizeof etf_one);
    fake_helper_pump(&f);
}

/* The opcode of the next frame to the helper, or -1; its id. */
static int
taken(uint64_t *id)
{
    uint8_t body[8];
    size_t n;
    return fake_helper_take(&f, id, body, sizeof body, &n);
}

START_TEST(test_answers_in_any_order)
{
    uint64_t a = submit_async(), b = submit_async(), c = submit_async();
    detach(a);
    fake_helper_attach(&f, a, "#1");
    fake_helper_attach(&f, b, "#2");
    detach(b);
    detach(c);
    ck_assert_int_eq(fake_messages(), 0);
    answer(b);
    answer(a);
    ck_assert_str_eq(fake_message(0), "{py_answer,#2,65,<<131,97,1>>}");
    ck_assert_str_eq(fake_message(1), "{py_answer,#1,65,<<131,97,1>>}");
    answer(c); /* kept until its caller asks */
    ck_assert_int_eq(fake_messages(), 2);
    ck_assert_int_eq(fake_helper_attach(&f, c, "#3"), DRV_REPLY_RESULT);
}
END_TEST

/* The window is for those that wait for their turn. */
START_TEST(test_the_window_is_left)
{
    enum { COUNT = 3 * WIRE_LIMIT_WINDOW_REQUESTS };
    uint64_t ids[COUNT], seen;
    for (int i = 0; i < COUNT; i++)
        ids[i] = submit_async();
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(taken(&seen), WIRE_CALL);
        ck_assert(seen == ids[i]);
        detach(seen);
    }
    for (int i = COUNT - 1; i >= 0; i--) {
        fake_helper_attach(&f, ids[i], "#1");
        answer(ids[i]);
    }
    ck_assert_int_eq(fake_messages(), COUNT);
}
END_TEST

/* Others run meanwhile, and an interrupt is meant for them. */
START_TEST(test_others_run)
{
    uint8_t reply[64];
    uint64_t a = submit_async();
    detach(a);
    fake_control(f.port, DRV_OP_INTERRUPT, "", 0, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_GONE);
    uint64_t b = fake_helper_submit(&f, 3);
    fake_helper_attach(&f, b, "#2");
    answer(b);
    ck_assert_str_eq(fake_message(0), "{py_answer,#2,65,<<131,97,1>>}");
    fake_helper_attach(&f, a, "#1");
    answer(a);
    ck_assert_int_eq(fake_messages(), 2);
}
END_TEST

/* Its caller gives up (0) or dies (1): the helper is told, no timer runs, and
 * what it says later is for nobody. */
START_TEST(test_given_up)
{
    uint64_t a = submit_async(), seen;
    detach(a);
    ck_assert_int_eq(taken(&seen), WIRE_CALL);
    fake_helper_attach(&f, a, "#1");
    if (_i == 0)
        ck_assert_int_eq(fake_helper_cancel(&f, a), DRV_REPLY_DROPPED);
    else
        fake_exit_process(f.port, 1);
    ck_assert_int_eq(taken(&seen), WIRE_CANCEL);
    ck_assert(seen == a);
    ck_assert_int_eq(fake_timer(), -1);
    answer(a);
    fake_set_caller(2);
    uint64_t b = fake_helper_submit(&f, 3);
    ck_assert(b != 0);
    answer(b);
    ck_assert_int_eq(fake_messages(), 0);
    ck_assert_int_eq(fake_helper_attach(&f, a, "#1"), DRV_REPLY_GONE);
}
END_TEST

/* Interrupted before it said so: there is no grace for what does not run. */
START_TEST(test_given_up_while_it_runs)
{
    uint64_t a = submit_async();
    fake_helper_attach(&f, a, "#1");
    ck_assert_int_eq(fake_helper_cancel(&f, a), DRV_REPLY_INTERRUPTED);
    ck_assert_int_ge(fake_timer(), 0);
    detach(a);
    ck_assert_int_eq(fake_timer(), -1);
    answer(a);
    ck_assert_int_eq(fake_messages(), 1);
}
END_TEST

START_TEST(test_helper_dies)
{
    uint8_t reply[64];
    uint64_t a = submit_async(), b = submit_async();
    detach(a);
    detach(b);
    fake_helper_attach(&f, a, "#1");
    fake_helper_cancel(&f, b);
    fake_helper_hang_up(&f);
    fake_helper_pump(&f);
    fake_forget_messages();
    fake_control(f.port, DRV_OP_FAIL, etf_one, 3, reply, sizeof reply);
    ck_assert_int_eq(fake_messages(), 1);
    ck_assert_str_eq(fake_message(0), "{py_answer,#1,0,<<131,97,1>>}");
}
END_TEST

/* A reference that nobody will hold is let go of: its caller has given up (0),
 * or has died before it asked for the answer that was there (1). */
START_TEST(test_unwanted_references)
{
    static const uint8_t number[] = {131, 98, 1, 2, 3, 4};
    static const uint8_t released[] = {131, 104, 1, 98, 1, 2, 3, 4};
    uint8_t reply[64], body[16];
    uint64_t id, seen;
    size_t n;
    fake_control(f.port, WIRE_CALL | WIRE_FLAG_RETURN_REF << 8, etf_one, 3,
                 reply, sizeof reply);
    memcpy(&id, reply + 1, 8);
    fake_helper_take(&f, &seen, body, sizeof body, &n);
    if (_i == 0) {
        fake_helper_cancel(&f, id);
        ck_assert_int_eq(taken(&seen), WIRE_CANCEL);
    }
    fake_helper_frame(&f, WIRE_RESULT, id, number, sizeof number);
    fake_helper_pump(&f);
    if (_i == 1)
        fake_exit_process(f.port, 1);
    ck_assert_int_eq(fake_helper_take(&f, &seen, body, sizeof body, &n),
                     WIRE_RELEASE);
    ck_assert_uint_eq(n, sizeof released);
    ck_assert_mem_eq(body, released, n);
}
END_TEST

/* A request that was not to be awaited, one that nobody made, one that has
 * left already, one that is answered. */
START_TEST(test_what_cannot_leave)
{
    uint64_t id = _i == 0 ? fake_helper_submit(&f, 3) : submit_async();
    if (_i == 2)
        detach(id);
    if (_i == 3)
        answer(id);
    fake_helper_frame(&f, WIRE_DETACHED, _i == 1 ? 12345 : id, NULL, 0);
    fake_helper_pump(&f);
    if (fake_messages() == 0)
        fake_helper_submit(&f, 3);
    ck_assert_int_eq(fake_messages(), 1);
    ck_assert_ptr_nonnull(strstr(fake_message(0), "{closed,{protocol,<<"));
    ck_assert_int_eq(fake_helper_killed(&f), 1);
}
END_TEST

Suite *make_drv_detached_suite(void);
Suite *
make_drv_detached_suite(void)
{
    Suite *s = suite_create("drv_detached");
    TCase *tc = tcase_create("detached");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_answers_in_any_order);
    tcase_add_test(tc, test_the_window_is_left);
    tcase_add_test(tc, test_others_run);
    tcase_add_loop_test(tc, test_given_up, 0, 2);
    tcase_add_test(tc, test_given_up_while_it_runs);
    tcase_add_test(tc, test_helper_dies);
    tcase_add_loop_test(tc, test_unwanted_references, 0, 2);
    tcase_add_loop_test(tc, test_what_cannot_leave, 0, 4);
    suite_add_tcase(s, tc);
    return s;
}
