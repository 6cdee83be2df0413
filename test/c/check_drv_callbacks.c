/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_callbacks.c - callbacks in the driver: who gets the question, what
 * goes back, which request runs, and what a helper may not say. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "fake_helper.h"

enum { A = 1, B = 2, C = 3, OTHER = 9, QUESTION = 14 + 7 };

static struct fake_helper f;
static const uint8_t etf_one[] = {131, 97, 1};
static const uint64_t first = (uint64_t)1 << 63;

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

/* {Number, [], [], #{}} */
static void
put_question(uint8_t *p, uint64_t number)
{
    static const uint8_t head[] = {131, 104, 4, 110, 8, 0};
    static const uint8_t tail[] = {106, 106, 116, 0, 0, 0, 0};
    memcpy(p, head, sizeof head);
    memcpy(p + sizeof head, &number, 8);
    memcpy(p + sizeof head + 8, tail, sizeof tail);
}

/* The helper calls a function. */
static void
ask(uint64_t id, uint64_t n)
{
    uint8_t body[QUESTION];
    put_question(body, first + n);
    fake_helper_frame(&f, WIRE_CALLBACK, id, body, sizeof body);
    fake_helper_pump(&f);
}

static void
say(uint8_t opcode, uint64_t id)
{
    size_t n = opcode == WIRE_RESULT || opcode == WIRE_ERROR ? 3 : 0;
    fake_helper_frame(&f, opcode, id, etf_one, n);
    fake_helper_pump(&f);
}

static uint64_t
submit_as(ErlDrvTermData who)
{
    fake_set_caller(who);
    uint64_t id = fake_helper_submit(&f, 3);
    ck_assert(id != 0);
    return id;
}

static long
resume_as(ErlDrvTermData who, uint64_t id, uint64_t n, uint8_t *reply)
{
    uint8_t body[17 + 3];
    uint64_t number = first + n;
    memcpy(body, &id, 8);
    memcpy(body + 8, &number, 8);
    body[16] = WIRE_CALLED;
    memcpy(body + 17, etf_one, 3);
    fake_set_caller(who);
    return fake_control(f.port, DRV_OP_RESUME, body, sizeof body, reply, 64);
}

static int
resume(ErlDrvTermData who, uint64_t id, uint64_t n)
{
    uint8_t reply[64] = {0};
    resume_as(who, id, n, reply);
    return reply[0];
}

/* The next frame that the helper gets; its flags are not looked at. */
static void
takes(uint8_t opcode, uint64_t id)
{
    uint8_t body[64];
    uint64_t seen;
    size_t n;
    ck_assert_int_eq(fake_helper_take(&f, &seen, body, sizeof body, &n),
                     opcode);
    ck_assert_msg(seen == id, "another id");
}

static void
takes_nothing(void)
{
    uint8_t body[64];
    uint64_t seen;
    size_t n;
    ck_assert_int_eq(fake_helper_take(&f, &seen, body, sizeof body, &n), -1);
}

/* A request of this process that waits in a callback, which it runs. */
static uint64_t
waiting(ErlDrvTermData who, const char *ref, uint64_t n)
{
    uint64_t id = submit_as(who);
    takes(WIRE_CALL, id);
    ck_assert_int_eq(fake_helper_attach(&f, id, ref), DRV_REPLY_OK);
    ask(id, n);
    return id;
}

static void
expect_violation(void)
{
    fake_helper_pump(&f);
    if (fake_messages() == 0) {
        fake_set_caller(OTHER);
        fake_helper_submit(&f, 3);
    }
    const char *last = fake_message(fake_messages() - 1);
    ck_assert_ptr_nonnull(last);
    ck_assert_msg(strstr(last, "{closed,{protocol,<<") != NULL, "%s", last);
    ck_assert_int_eq(fake_helper_killed(&f), 1);
}

/* ---- there and back ------------------------------------------------------ */

START_TEST(a_question_is_a_message)
{
    uint64_t id = waiting(A, "#1", 1);
    ck_assert_int_eq(fake_messages(), 1);
    ck_assert_ptr_nonnull(strstr(fake_message(0), "{py_answer,#1,68,<<131,"));
    ck_assert_int_eq(resume(A, id, 1), DRV_REPLY_PENDING);
    takes(WIRE_CALLED, first + 1);
    ck_assert_int_eq(fake_helper_attach(&f, id, "#2"), DRV_REPLY_OK);
    say(WIRE_RESULT, id);
    ck_assert_str_eq(fake_message(1), "{py_answer,#2,65,<<131,97,1>>}");
    ck_assert_int_eq(resume(A, id, 1), DRV_REPLY_GONE);
}
END_TEST

START_TEST(a_question_before_attach_is_kept)
{
    uint8_t body[16], reply[64];
    uint64_t id = submit_as(A), seen;
    takes(WIRE_CALL, id);
    ask(id, 1);
    ck_assert_int_eq(fake_messages(), 0);
    memcpy(body, &id, 8);
    memcpy(body + 8, "#1", 2);
    long n = fake_control(f.port, DRV_OP_ATTACH, body, 10, reply, 64);
    ck_assert_int_eq(n, 9 + QUESTION);
    ck_assert_int_eq(reply[0], DRV_REPLY_CALLBACK);
    memcpy(&seen, reply + 1, 8);
    ck_assert(seen == id && reply[9] == 131);
    ck_assert_int_eq(resume(A, id, 1), DRV_REPLY_PENDING);
    say(WIRE_RESULT, id);
    ck_assert_int_eq(fake_helper_attach(&f, id, "#1"), DRV_REPLY_RESULT);
}
END_TEST

START_TEST(many_in_a_row)
{
    uint64_t id = waiting(A, "#1", 1);
    for (uint64_t n = 1; n < 200; n++) {
        ck_assert_int_eq(resume(A, id, n), DRV_REPLY_PENDING);
        takes(WIRE_CALLED, first + n);
        ck_assert_int_eq(fake_helper_attach(&f, id, "#1"), DRV_REPLY_OK);
        ask(id, n + 1);
        ck_assert_int_eq(fake_messages(), (int)n + 1);
    }
    resume(A, id, 200);
    say(WIRE_RESULT, id);
}
END_TEST

START_TEST(only_its_caller_goes_on)
{
    uint8_t reply[64];
    uint64_t id = waiting(A, "#1", 1);
    ck_assert_int_eq(resume(B, id, 1), DRV_REPLY_GONE);
    ck_assert_int_eq(resume(A, id + 1, 1), DRV_REPLY_GONE);
    fake_control(f.port, DRV_OP_RESUME, &id, 8, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
    takes_nothing();
    ck_assert_int_eq(resume(A, id, 1), DRV_REPLY_PENDING);
    takes(WIRE_CALLED, first + 1);
    say(WIRE_RESULT, id);
}
END_TEST

/* Of threads: to the owner, and back without a request. */
START_TEST(of_no_request)
{
    uint8_t body[9 + 3], reply[64];
    uint64_t number = first + 7, id = submit_as(A); /* so that it is read */
    takes(WIRE_CALL, id);
    ask(0, 7);
    ck_assert_ptr_nonnull(strstr(fake_message(0), "{Port,{callback,<<131,"));
    memcpy(body, &number, 8);
    body[8] = WIRE_RAISED;
    memcpy(body + 9, etf_one, 3);
    fake_control(f.port, DRV_OP_REPLY, body, sizeof body, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
    takes(WIRE_RAISED, number);
    body[8] = WIRE_CANCEL;
    fake_control(f.port, DRV_OP_REPLY, body, sizeof body, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
    say(WIRE_RESULT, id);
}
END_TEST

/* ---- who runs ------------------------------------------------------------ */

START_TEST(nested_ones_go_before_others)
{
    uint64_t a = waiting(A, "#1", 1);
    uint64_t others[40], n;
    for (int i = 0; i < 40; i++)
        others[i] = submit_as(OTHER);
    for (int i = 0; i < WIRE_LIMIT_WINDOW_REQUESTS; i++)
        takes(WIRE_CALL, others[i]);
    takes_nothing(); /* the window is full, but not for A */
    n = submit_as(A);
    takes(WIRE_CALL, n);
    say(WIRE_STARTED, n);
    say(WIRE_RESULT, n);
    ck_assert_int_eq(fake_helper_attach(&f, n, "#2"), DRV_REPLY_RESULT);
    ck_assert_int_eq(resume(A, a, 1), DRV_REPLY_PENDING);
    takes(WIRE_CALLED, first + 1);
    say(WIRE_RESULT, a);
    for (int i = 0; i < 40; i++)
        say(WIRE_RESULT, others[i]);
}
END_TEST

/* One that waits is on the helper's side: it is in nobody's way. */
START_TEST(one_that_waits_leaves_the_window)
{
    fake_set_caller(A);
    uint64_t a = fake_helper_submit(&f, 3 * WIRE_LIMIT_WINDOW_BYTES);
    uint8_t *body = malloc(3 * WIRE_LIMIT_WINDOW_BYTES);
    uint64_t seen, b;
    size_t n;
    ck_assert_int_eq(
        fake_helper_take(&f, &seen, body, 3 * WIRE_LIMIT_WINDOW_BYTES, &n),
        WIRE_CALL);
    free(body);
    b = submit_as(B);
    takes_nothing();
    ask(a, 1);
    takes(WIRE_CALL, b);
    say(WIRE_STARTED, b);
    say(WIRE_RESULT, b);
    say(WIRE_RESULT, a);
}
END_TEST

/* Its body comes by port_command, which is forced then. */
START_TEST(a_busy_port_takes_nested_ones)
{
    enum { LARGE = 200000 };
    const uint8_t what[2] = {WIRE_CALL, 0};
    uint8_t reply[64], *body = calloc(1, LARGE + 8);
    uint64_t id, seen, a = waiting(A, "#1", 1);
    size_t n;
    fake_set_caller(B);
    ck_assert(fake_helper_submit(&f, WIRE_LIMIT_HIGH_WATER) != 0);
    ck_assert_int_eq(fake_busy(), 1);
    fake_set_caller(C);
    ck_assert(fake_helper_submit(&f, 3) == 0);
    fake_set_caller(A);
    fake_control(f.port, DRV_OP_RESERVE, what, 2, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_NESTED);
    memcpy(&id, reply + 1, 8);
    memcpy(body, &id, 8);
    fake_command(f.port, body, 8 + LARGE);
    uint64_t small = fake_helper_submit(&f, 3);
    ck_assert(small != 0);
    uint8_t *all = malloc(WIRE_LIMIT_HIGH_WATER);
    fake_helper_take(&f, &seen, all, WIRE_LIMIT_HIGH_WATER, &n);
    ck_assert_uint_eq(n, WIRE_LIMIT_HIGH_WATER); /* B's, which came first */
    fake_helper_pump(&f);
    fake_helper_take(&f, &seen, all, WIRE_LIMIT_HIGH_WATER, &n);
    ck_assert(seen == id && n == LARGE);
    takes(WIRE_CALL, small);
    free(all);
    free(body);
    ck_assert_uint_eq(fake_queue(), 0);
    say(WIRE_STARTED, id);
    say(WIRE_RESULT, id);
    say(WIRE_RESULT, a);
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
    waiting(A, "#1", 1);
    memset(body, 7, LARGE + 8);
    for (int i = 0; i < 2; i++) {
        fake_set_caller(i == 0 ? B : A);
        fake_control(f.port, DRV_OP_RESERVE, what, 2, reply, sizeof reply);
        memcpy(&ids[i], reply + 1, 8);
        memcpy(body, reply + 1, 8);
        fake_command(f.port, body, LARGE + 8);
        ck_assert_uint_gt(fake_queue(), 0);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(fake_helper_take(&f, &seen, all, LARGE, &n),
                         WIRE_CALL);
        ck_assert(seen == ids[i] && n == LARGE);
        ck_assert_int_eq(all[0], 7);
        ck_assert_mem_eq(all, all + 1, LARGE - 1);
        fake_helper_pump(&f);
    }
    free(all);
    free(body);
}
END_TEST

/* Its request has ended before the nested one begins, and another may have
 * begun meanwhile: what runs is what the helper says. */
START_TEST(a_nested_one_that_is_left_over)
{
    uint64_t a = waiting(A, "#1", 1), x = submit_as(B), n = submit_as(A);
    say(WIRE_ERROR, a);
    say(WIRE_STARTED, n);
    ask(n, 2);
    fake_set_caller(B);
    ck_assert_int_eq(fake_helper_attach(&f, n, "#2"), DRV_REPLY_GONE);
    fake_set_caller(A);
    ck_assert_int_eq(fake_helper_attach(&f, n, "#2"), DRV_REPLY_CALLBACK);
    ck_assert_int_eq(resume(A, n, 2), DRV_REPLY_PENDING);
    say(WIRE_RESULT, n);
    ask(x, 3); /* plain, so nobody said that it has begun */
    say(WIRE_RESULT, x);
    fake_set_caller(A);
    ck_assert_int_eq(fake_helper_attach(&f, a, "#1"), DRV_REPLY_ANSWER);
}
END_TEST

/* A coroutine's request: it has called nobody, and one runs on top of it. */
START_TEST(below_without_a_call)
{
    uint64_t x = submit_as(A), y = submit_as(B);
    say(WIRE_STARTED, x);
    say(WIRE_STARTED, y);
    fake_set_caller(A);
    ck_assert_int_eq(fake_helper_attach(&f, x, "#1"), DRV_REPLY_OK);
    ck_assert_int_eq(fake_helper_cancel(&f, x), DRV_REPLY_DROPPED);
    ck_assert_int_eq(fake_timer(), -1); /* y runs */
    say(WIRE_RESULT, y);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
    say(WIRE_ERROR, x);
    ck_assert_int_eq(fake_timer(), -1);
}
END_TEST

/* ---- the end ------------------------------------------------------------- */

/* B runs on top of A, whose time is up: A is told at once, B is not hit, and A
 * has its grace when it comes to the top. */
START_TEST(cancel_buried)
{
    uint64_t a = waiting(A, "#1", 1), b = submit_as(B);
    takes(WIRE_CALL, b);
    say(WIRE_STARTED, b);
    fake_set_caller(A);
    ck_assert_int_eq(fake_helper_attach(&f, a, "#2"), DRV_REPLY_OK);
    ck_assert_int_eq(fake_helper_cancel(&f, a), DRV_REPLY_DROPPED);
    takes(WIRE_CANCEL, a);
    ck_assert_int_eq(fake_timer(), -1);
    say(WIRE_RESULT, b);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
    say(WIRE_ERROR, a);
    ck_assert_int_eq(fake_timer(), -1);
    ck_assert_int_eq(fake_messages(), 1); /* the question */
}
END_TEST

/* On top: its answer is waited for. */
START_TEST(cancel_on_top)
{
    uint64_t a = waiting(A, "#1", 1);
    ck_assert_int_eq(fake_helper_attach(&f, a, "#2"), DRV_REPLY_OK);
    ck_assert_int_eq(fake_helper_cancel(&f, a), DRV_REPLY_INTERRUPTED);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
    ask(a, 2); /* clean-up code calls: nobody is there */
    ck_assert_int_eq(fake_messages(), 1);
    say(WIRE_ERROR, a);
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
    uint64_t number, a = waiting(A, "#1", 1);
    ask(a, 2);
    long n = resume_as(A, a, 1, reply);
    ck_assert_int_eq(n, 9 + QUESTION);
    ck_assert_int_eq(reply[0], DRV_REPLY_CALLBACK);
    memcpy(&number, reply + 9 + 6, 8);
    ck_assert(number == first + 2);
    takes_nothing();
    uint64_t b = submit_as(B), nested = submit_as(A);
    takes(WIRE_CALL, b);
    takes(WIRE_CALL, nested);
    say(WIRE_STARTED, nested);
    say(WIRE_RESULT, nested);
    ck_assert_int_eq(resume(A, a, 2), DRV_REPLY_PENDING);
    takes(WIRE_CALLED, first + 2);
    say(WIRE_RESULT, a);
}
END_TEST

/* It has ended while its caller is in the function. */
START_TEST(an_answer_meanwhile)
{
    uint64_t a = waiting(A, "#1", 1);
    say(WIRE_RESULT, a);
    ck_assert_int_eq(fake_messages(), 1);
    ck_assert_int_eq(resume(A, a, 1), DRV_REPLY_RESULT);
    ck_assert_int_eq(resume(A, a, 1), DRV_REPLY_GONE);
}
END_TEST

START_TEST(caller_dies_in_its_function)
{
    uint64_t a = waiting(A, "#1", 1), n = submit_as(A);
    takes(WIRE_CALL, n);
    say(WIRE_STARTED, n);
    fake_exit_process(f.port, A);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
    say(WIRE_ERROR, n);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
    say(WIRE_ERROR, a);
    ck_assert_int_eq(fake_timer(), -1);
    ck_assert_int_eq(fake_messages(), 1);
}
END_TEST

START_TEST(helper_dies_under_a_function)
{
    uint8_t reply[64];
    uint64_t a = waiting(A, "#1", 1), b = submit_as(B);
    say(WIRE_STARTED, b);
    ask(b, 2);
    fake_helper_hang_up(&f);
    fake_helper_pump(&f);
    ck_assert_int_eq(resume(A, a, 1), DRV_REPLY_PENDING);
    fake_control(f.port, DRV_OP_FAIL, etf_one, 3, reply, sizeof reply);
    ck_assert_int_eq(fake_helper_attach(&f, a, "#3"), DRV_REPLY_ANSWER);
    ck_assert_int_eq(resume(B, b, 2), DRV_REPLY_ANSWER);
}
END_TEST

START_TEST(interrupt_hits_the_top)
{
    uint8_t reply[64];
    uint64_t a = waiting(A, "#1", 1);
    fake_control(f.port, DRV_OP_INTERRUPT, "", 0, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
    ck_assert_int_eq(fake_timer(), -1); /* no grace: nobody gave up */
    say(WIRE_ERROR, a);
    ck_assert_int_eq(resume(A, a, 1), DRV_REPLY_ANSWER);
    fake_control(f.port, DRV_OP_INTERRUPT, "", 0, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_GONE);
}
END_TEST

START_TEST(allocation_failures)
{
    for (long k = 1; k < 12; k++) {
        uint64_t id = submit_as(A);
        takes(WIRE_CALL, id);
        fake_fail_at(k);
        ask(id, 1);
        int kept = fake_helper_attach(&f, id, "#1");
        fake_fail_at(0);
        if (kept == DRV_REPLY_GONE)
            return; /* dropped, as is said: the helper's answer is unknown */
        resume(A, id, 1);
        takes(WIRE_CALLED, first + 1);
        say(WIRE_RESULT, id);
    }
}
END_TEST

/* ---- lies ---------------------------------------------------------------- */

START_TEST(twice)
{
    uint64_t a = waiting(A, "#1", 1);
    ask(a, 2); /* allowed: it may have given up the first */
    ask(a, 3);
    ck_assert_int_eq(resume(A, a, 1), DRV_REPLY_CALLBACK);
    ck_assert_int_eq(resume(A, a, 3), DRV_REPLY_PENDING);
    say(WIRE_RESULT, a);
    fake_forget_messages();
    ask(a, 4);
    expect_violation();
}
END_TEST

START_TEST(of_an_unknown_request)
{
    uint64_t a = submit_as(A);
    ask(a ^ (1 << 20), 1);
    expect_violation();
}
END_TEST

START_TEST(of_one_that_does_not_run)
{
    submit_as(A);
    ask(submit_as(B), 1);
    expect_violation();
}
END_TEST

START_TEST(of_one_below)
{
    uint64_t a = waiting(A, "#1", 1);
    say(WIRE_STARTED, submit_as(B));
    ask(a, 2);
    expect_violation();
}
END_TEST

START_TEST(of_one_only_reserved)
{
    const uint8_t what[2] = {WIRE_CALL, 0};
    uint8_t reply[64];
    uint64_t id;
    fake_control(f.port, DRV_OP_RESERVE, what, 2, reply, sizeof reply);
    memcpy(&id, reply + 1, 8);
    ask(id, 1);
    expect_violation();
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
        submit_as(A);
        return submit_as(B);
    case 3: /* twice */
        a = submit_as(A);
        say(WIRE_STARTED, a);
        return a;
    case 4: /* one that waits */
        return waiting(A, "#1", 1);
    case 5: /* one that was not written: the window is full */
        a = waiting(A, "#1", 1);
        for (b = 0; b < WIRE_LIMIT_WINDOW_REQUESTS; b++)
            submit_as(OTHER);
        return submit_as(OTHER);
    default: /* one that has been answered */
        a = waiting(A, "#1", 1);
        say(WIRE_RESULT, a);
        return a;
    }
}

START_TEST(odd_starts)
{
    uint64_t id = odd_start(_i);
    fake_forget_messages();
    say(WIRE_STARTED, id);
    expect_violation();
}
END_TEST

static const uint8_t odd[][QUESTION + 1] = {
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
    uint64_t ids[2] = {0, submit_as(A)};
    const uint8_t *body = odd[_i / 2];
    fake_helper_frame(&f, WIRE_CALLBACK, ids[_i % 2], body + 1, body[0]);
    expect_violation();
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
                                  below_without_a_call,
                                  cancel_buried,
                                  cancel_on_top,
                                  another_question_meanwhile,
                                  an_answer_meanwhile,
                                  caller_dies_in_its_function,
                                  helper_dies_under_a_function,
                                  interrupt_hits_the_top,
                                  allocation_failures,
                                  twice,
                                  of_an_unknown_request,
                                  of_one_that_does_not_run,
                                  of_one_below,
                                  of_one_only_reserved};
    Suite *s = suite_create("drv_callbacks");
    TCase *tc = tcase_create("callbacks");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, odd_starts, 0, 7);
    tcase_add_loop_test(tc, odd_questions, 0,
                        2 * (int)(sizeof odd / sizeof *odd));
    suite_add_tcase(s, tc);
    return s;
}
