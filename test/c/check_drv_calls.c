/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_calls.c - requests, answers, cancellation, back-pressure. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

static void
answer(uint64_t id)
{
    fake_helper_frame(&f, WIRE_RESULT, id, etf_one, sizeof etf_one);
    fake_helper_pump(&f);
}

START_TEST(test_call)
{
    uint8_t body[16];
    uint64_t id = fake_helper_submit(&f, 3), seen;
    size_t n;
    ck_assert(id != 0);
    ck_assert_int_eq(fake_helper_take(&f, &seen, body, sizeof body, &n),
                     WIRE_CALL);
    ck_assert(seen == id && n == 3);
    ck_assert_int_eq(fake_helper_attach(&f, id, "#1"), DRV_REPLY_OK);
    answer(id);
    ck_assert_str_eq(fake_message(0), "{py_answer,#1,65,<<131,97,1>>}");
    ck_assert_int_eq(fake_helper_attach(&f, id, "#1"), DRV_REPLY_GONE);
}
END_TEST

START_TEST(test_answer_before_attach)
{
    uint8_t body[32], reply[64];
    uint64_t id = fake_helper_submit(&f, 3);
    answer(id);
    ck_assert_int_eq(fake_messages(), 0);
    memcpy(body, &id, 8);
    memcpy(body + 8, "#1", 2);
    long n = fake_control(f.port, DRV_OP_ATTACH, body, 10, reply, 64);
    ck_assert_int_eq(n, 3);
    ck_assert_int_eq(reply[0], DRV_REPLY_RESULT);
    ck_assert_mem_eq(reply, etf_one, 3);
}
END_TEST

START_TEST(test_only_its_caller_gets_the_answer)
{
    uint64_t id = fake_helper_submit(&f, 3);
    fake_set_caller(2);
    ck_assert_int_eq(fake_helper_attach(&f, id, "#2"), DRV_REPLY_GONE);
    ck_assert_int_eq(fake_helper_cancel(&f, id), DRV_REPLY_GONE);
    fake_set_caller(1);
    ck_assert_int_eq(fake_helper_attach(&f, id, "#1"), DRV_REPLY_OK);
    answer(id);
    ck_assert_int_eq(fake_messages(), 1);
}
END_TEST

START_TEST(test_reserve_and_command)
{
    uint8_t reply[64], *body = calloc(1, 8 + 300000), *got = malloc(300000);
    const uint8_t what[2] = {WIRE_EVAL, WIRE_FLAG_RETURN_REF};
    uint64_t seen;
    size_t n;
    fake_control(f.port, DRV_OP_RESERVE, what, 2, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_PENDING);
    memcpy(body, reply + 1, 8);
    memset(body + 8, 'x', 300000);
    fake_command(f.port, body, 8 + 300000);
    ck_assert_int_eq(fake_helper_take(&f, &seen, got, 300000, &n), WIRE_EVAL);
    ck_assert_uint_eq(n, 300000);
    ck_assert_mem_eq(got, body + 8, n);
    ck_assert_mem_eq(&seen, body, 8);
    ck_assert_uint_eq(fake_queue(), 0);
    free(body);
    free(got);
}
END_TEST

START_TEST(test_cancel_queued)
{
    uint8_t body[8];
    uint64_t first = fake_helper_submit(&f, 3);
    uint64_t second = fake_helper_submit(&f, 3), seen;
    size_t n;
    fake_helper_attach(&f, first, "#1");
    fake_helper_attach(&f, second, "#2");
    ck_assert_int_eq(fake_helper_cancel(&f, second), DRV_REPLY_DROPPED);
    fake_helper_take(&f, &seen, body, 8, &n);
    fake_helper_take(&f, &seen, body, 8, &n);
    ck_assert_int_eq(fake_helper_take(&f, &seen, body, 8, &n), WIRE_CANCEL);
    ck_assert(seen == second);
    ck_assert_int_eq(fake_timer(), -1);
    answer(first);
    fake_helper_frame(&f, WIRE_CANCELLED, second, NULL, 0);
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_messages(), 1);
}
END_TEST

/* What does not fit the window is not written, and leaves no trace. */
START_TEST(test_cancel_beyond_the_window)
{
    uint64_t ids[40], seen;
    uint8_t body[8];
    size_t n;
    int frames = 0;
    for (int i = 0; i < 40; i++)
        ids[i] = fake_helper_submit(&f, 3);
    fake_helper_attach(&f, ids[39], "#39");
    ck_assert_int_eq(fake_helper_cancel(&f, ids[39]), DRV_REPLY_DROPPED);
    fake_set_caller(2);
    uint64_t dying = fake_helper_submit(&f, 3);
    fake_exit_process(f.port, 2);
    fake_set_caller(1);
    while (fake_helper_take(&f, &seen, body, sizeof body, &n) == WIRE_CALL)
        frames++;
    ck_assert_int_eq(frames, WIRE_LIMIT_WINDOW_REQUESTS);
    for (int i = 0; i < 39; i++)
        answer(ids[i]);
    while (fake_helper_take(&f, &seen, body, sizeof body, &n) == WIRE_CALL) {
        ck_assert(seen != ids[39] && seen != dying);
        frames++;
    }
    ck_assert_int_eq(frames, 39);
    ck_assert_int_eq(fake_timer(), -1);
}
END_TEST

/* The caller of a large request gives up while it is being written: the CANCEL
 * frame comes with its last byte. */
START_TEST(test_cancel_half_written)
{
    size_t n = 3000000, at = 0;
    uint8_t reply[64], *body = calloc(1, 8 + n);
    const uint8_t what[2] = {WIRE_CALL, 0};
    uint8_t chunk[70000];
    size_t k, last = 0;
    uint64_t id;
    fake_control(f.port, DRV_OP_RESERVE, what, 2, reply, sizeof reply);
    memcpy(body, reply + 1, 8);
    memcpy(&id, reply + 1, 8);
    fake_command(f.port, body, 8 + n);
    free(body);
    ck_assert_uint_gt(fake_queue(), 0);
    fake_helper_attach(&f, id, "#1");
    ck_assert_int_eq(fake_helper_cancel(&f, id), DRV_REPLY_INTERRUPTED);
    while (at < n + 2 * WIRE_LIMIT_HEADER_SIZE) {
        k = fake_helper_read(&f, chunk, sizeof chunk);
        ck_assert(k > 0 || fake_queue() > 0);
        at += k;
        last = k > 0 ? k : last;
        fake_helper_pump(&f);
    }
    ck_assert_uint_eq(at, n + 2 * WIRE_LIMIT_HEADER_SIZE);
    struct wire_header h;
    ck_assert_uint_ge(last, WIRE_LIMIT_HEADER_SIZE);
    ck_assert_int_eq(wire_get_header(chunk + last - WIRE_LIMIT_HEADER_SIZE, &h),
                     0);
    ck_assert(h.opcode == WIRE_CANCEL && h.id == id);
}
END_TEST

START_TEST(test_cancel_running_then_kill)
{
    uint64_t id = fake_helper_submit(&f, 3);
    fake_helper_attach(&f, id, "#1");
    ck_assert_int_eq(fake_helper_cancel(&f, id), DRV_REPLY_INTERRUPTED);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
    fake_sleep(WIRE_LIMIT_GRACE_MS);
    driver_init()->timeout(f.port);
    ck_assert_int_eq(fake_helper_killed(&f), 1);
    ck_assert_str_eq(fake_message(0), "{Port,{closed,timeout}}");
    uint8_t reply[64];
    fake_control(f.port, DRV_OP_FAIL, etf_one, 3, reply, sizeof reply);
    ck_assert_str_eq(fake_message(1), "{py_answer,#1,0,<<131,97,1>>}");
}
END_TEST

START_TEST(test_interrupted_request_answers_in_time)
{
    uint64_t id = fake_helper_submit(&f, 3);
    fake_helper_attach(&f, id, "#1");
    fake_helper_cancel(&f, id);
    answer(id);
    ck_assert_int_eq(fake_timer(), -1);
    ck_assert_int_eq(fake_messages(), 1);
    fake_sleep(10 * WIRE_LIMIT_GRACE_MS);
    driver_init()->timeout(f.port);
    ck_assert_int_eq(fake_messages(), 1);
}
END_TEST

START_TEST(test_grace_starts_when_a_cancelled_request_comes_first)
{
    uint64_t first = fake_helper_submit(&f, 3);
    uint64_t second = fake_helper_submit(&f, 3);
    fake_helper_cancel(&f, second);
    ck_assert_int_eq(fake_timer(), -1);
    answer(first);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
}
END_TEST

START_TEST(test_caller_dies)
{
    uint8_t body[8];
    uint64_t id = fake_helper_submit(&f, 3), seen;
    size_t n;
    fake_helper_attach(&f, id, "#1");
    fake_exit_process(f.port, 1);
    fake_helper_take(&f, &seen, body, 8, &n);
    ck_assert_int_eq(fake_helper_take(&f, &seen, body, 8, &n), WIRE_CANCEL);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_GRACE_MS);
    fake_helper_frame(&f, WIRE_ERROR, id, etf_one, 3);
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_messages(), 0);
    ck_assert_int_eq(fake_timer(), -1);
}
END_TEST

static int
wait_ready(const char *ref)
{
    uint8_t reply[64];
    fake_control(f.port, DRV_OP_WAIT_READY, ref, strlen(ref), reply, 64);
    return reply[0];
}

static void
take_all(void)
{
    uint8_t body[8];
    uint64_t id;
    size_t n;
    for (int i = 0; i < 2000; i++) {
        fake_helper_pump(&f);
        fake_helper_take(&f, &id, body, sizeof body, &n);
    }
}

START_TEST(test_back_pressure)
{
    uint64_t id = fake_helper_submit(&f, WIRE_LIMIT_HIGH_WATER);
    ck_assert(id != 0);
    ck_assert_int_eq(fake_busy(), 1);
    fake_set_caller(2);
    ck_assert(fake_helper_submit(&f, 3) == 0);
    ck_assert_int_eq(wait_ready("#2"), DRV_REPLY_OK);
    ck_assert_int_eq(fake_messages(), 0);
    take_all();
    fake_set_caller(1);
    fake_helper_attach(&f, id, "#1");
    answer(id);
    ck_assert_int_eq(fake_busy(), 0);
    ck_assert_str_eq(fake_message(1), "{py_ready,#2}");
    fake_set_caller(3); /* a newcomer does not overtake a ticket holder */
    ck_assert(fake_helper_submit(&f, 3) == 0);
    fake_set_caller(2);
    ck_assert(fake_helper_submit(&f, 3) != 0);
    fake_set_caller(3);
    ck_assert(fake_helper_submit(&f, 3) != 0);
}
END_TEST

START_TEST(test_waiter_that_dies_gives_its_ticket_back)
{
    uint64_t id = fake_helper_submit(&f, WIRE_LIMIT_HIGH_WATER);
    for (int i = 0; i < 40; i++) {
        fake_set_caller((ErlDrvTermData)(10 + i));
        wait_ready("#w");
    }
    take_all();
    answer(id);
    ck_assert_int_eq(fake_messages(), 16);
    for (int i = 0; i < 16; i++)
        fake_exit_process(f.port, (ErlDrvTermData)(10 + i));
    ck_assert_int_eq(fake_messages(), 32);
    fake_set_caller(26);
    ck_assert_int_eq(fake_helper_cancel(&f, 0), DRV_REPLY_DROPPED);
    ck_assert_int_eq(fake_messages(), 33);
}
END_TEST

START_TEST(test_fail_reaches_everyone)
{
    uint8_t reply[64];
    const uint8_t what[2] = {WIRE_CALL, 0};
    uint64_t attached = fake_helper_submit(&f, 3);
    uint64_t loose = fake_helper_submit(&f, 3);
    uint64_t reserved;
    fake_helper_attach(&f, attached, "#1");
    fake_control(f.port, DRV_OP_RESERVE, what, 2, reply, sizeof reply);
    memcpy(&reserved, reply + 1, 8);
    fake_helper_hang_up(&f);
    fake_helper_pump(&f);
    ck_assert_str_eq(fake_message(0), "{Port,{closed,eof}}");
    ck_assert(fake_helper_submit(&f, 3) == 0);
    fake_control(f.port, DRV_OP_FAIL, etf_one, 3, reply, sizeof reply);
    ck_assert_str_eq(fake_message(1), "{py_answer,#1,0,<<131,97,1>>}");
    ck_assert_int_eq(fake_helper_attach(&f, loose, "#2"), DRV_REPLY_ANSWER);
    ck_assert_int_eq(fake_helper_attach(&f, reserved, "#3"), DRV_REPLY_ANSWER);
    ck_assert_int_eq(wait_ready("#4"), DRV_REPLY_OK);
    ck_assert_str_eq(fake_message(2), "{py_ready,#4}");
}
END_TEST

/* Its owner knows: it hears no more of the connection. */
START_TEST(test_fail_ends_the_connection)
{
    uint8_t reply[8], byte;
    fake_control(f.port, DRV_OP_FAIL, etf_one, 3, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
    ck_assert_int_eq(recv(f.channel.fd, &byte, 1, MSG_DONTWAIT), 0);
    ck_assert_int_eq(fake_messages(), 0);
    ck_assert(fake_helper_submit(&f, 3) == 0);
}
END_TEST

START_TEST(test_output_on_credit)
{
    char text[4096], tail[WIRE_LIMIT_STDERR_TAIL + 1];
    memset(text, 'o', sizeof text);
    ck_assert_int_eq(write(f.err, "first", 5), 5);
    fake_helper_pump(&f);
    ck_assert_str_eq(fake_message(0),
                     "{Port,{output,stderr,<<102,105,114,115,116>>}}");
    fake_forget_messages();
    for (int i = 0; i < 20; i++) {
        if (write(f.out, text, sizeof text) != (ssize_t)sizeof text)
            ck_abort_msg("pipe full");
        if (i == 7)
            fake_helper_pump(&f);
    }
    fake_helper_pump(&f);
    int n = fake_messages();
    ck_assert_str_eq(fake_message(n - 1), "{Port,output_paused}");
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_messages(), n);
    unsigned char reply[8];
    fake_control(f.port, DRV_OP_MORE_OUTPUT, "", 0, reply, sizeof reply);
    fake_helper_pump(&f);
    ck_assert_int_gt(fake_messages(), n);
    ck_assert_int_eq(fake_control(f.port, DRV_OP_STDERR, "", 0,
                                  (unsigned char *)tail, sizeof tail),
                     6);
    ck_assert_mem_eq(tail + 1, "first", 5);
}
END_TEST

START_TEST(test_large_answer_in_odd_chunks)
{
    size_t n = 3000000, at = 0;
    uint8_t *body = malloc(n);
    uint8_t head[WIRE_LIMIT_HEADER_SIZE];
    uint64_t id = fake_helper_submit(&f, 3);
    struct wire_header h = {
        .length = (uint32_t)n, .opcode = WIRE_RESULT, .id = id};
    memset(body, 'x', n);
    memcpy(body, "\x83m", 2);
    for (int i = 0; i < 4; i++)
        body[2 + i] = (uint8_t)((n - 6) >> (24 - 8 * i));
    fake_helper_attach(&f, id, "#1");
    wire_put_header(head, &h);
    for (size_t i = 0; i < sizeof head; i++) {
        ck_assert_int_eq(fake_helper_write(&f, head + i, 1), 0);
        fake_helper_pump(&f);
    }
    for (size_t k = (size_t)_i; at < n; k = k * 3 + 1) {
        size_t want = k % 200000 + 1 < n - at ? k % 200000 + 1 : n - at;
        ck_assert_int_eq(fake_helper_write(&f, body + at, want), 0);
        at += want;
        fake_helper_pump(&f);
    }
    ck_assert_str_eq(fake_message(0), "{py_answer,#1,65,<<3000000 bytes>>}");
    const unsigned char *got = fake_last_binary(&n);
    ck_assert_mem_eq(got, body, n);
    free(body);
}
END_TEST

START_TEST(test_ids_are_never_valid_twice)
{
    uint64_t before = 0;
    for (int i = 0; i < 2000; i++) {
        uint64_t id = fake_helper_submit(&f, 3);
        ck_assert(id != 0 && id != before);
        ck_assert((id & 0xffff) == 0); /* the same place again and again */
        answer(id);
        ck_assert_int_eq(fake_helper_attach(&f, id, "#1"), DRV_REPLY_RESULT);
        take_all();
        before = id;
        i += 200;
    }
}
END_TEST

START_TEST(test_allocation_failures)
{
    for (long k = 1; k < 40; k++) {
        fake_fail_at(k);
        uint64_t id = fake_helper_submit(&f, 3);
        if (id != 0) {
            fake_helper_attach(&f, id, "#1");
            answer(id);
            fake_helper_attach(&f, id, "#1");
        }
        fake_fail_at(0);
    }
    uint64_t id = fake_helper_submit(&f, 3);
    fake_helper_attach(&f, id, "#last");
    answer(id);
    ck_assert_str_eq(fake_message(fake_messages() - 1),
                     "{py_answer,#last,65,<<131,97,1>>}");
}
END_TEST

Suite *make_drv_calls_suite(void);
Suite *
make_drv_calls_suite(void)
{
    Suite *s = suite_create("drv_calls");
    TCase *tc = tcase_create("calls");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_call);
    tcase_add_test(tc, test_answer_before_attach);
    tcase_add_test(tc, test_only_its_caller_gets_the_answer);
    tcase_add_test(tc, test_reserve_and_command);
    tcase_add_test(tc, test_cancel_queued);
    tcase_add_test(tc, test_cancel_beyond_the_window);
    tcase_add_test(tc, test_cancel_half_written);
    tcase_add_test(tc, test_cancel_running_then_kill);
    tcase_add_test(tc, test_interrupted_request_answers_in_time);
    tcase_add_test(tc, test_grace_starts_when_a_cancelled_request_comes_first);
    tcase_add_test(tc, test_caller_dies);
    tcase_add_test(tc, test_back_pressure);
    tcase_add_test(tc, test_waiter_that_dies_gives_its_ticket_back);
    tcase_add_test(tc, test_fail_reaches_everyone);
    tcase_add_test(tc, test_fail_ends_the_connection);
    tcase_add_test(tc, test_output_on_credit);
    tcase_add_loop_test(tc, test_large_answer_in_odd_chunks, 0, 5);
    tcase_add_test(tc, test_ids_are_never_valid_twice);
    tcase_add_test(tc, test_allocation_failures);
    suite_add_tcase(s, tc);
    return s;
}
