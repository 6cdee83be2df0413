/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_pool.c - what pools need of a helper's port: that it drains, tells
 * after so many requests, counts them where others look, and times them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "drv_latency.h"
#include "drv_load.h"
#include "fake_helper.h"

static struct fake_helper f;
static uint8_t reply[1024];
static const uint8_t etf_one[] = {131, 97, 1};

static void
setup(void)
{
    fake_helper_ready(&f);
    fake_forget_messages();
}

static void
teardown(void)
{
    ck_assert_int_eq(fake_helper_stop(&f), 0);
}

static int
op(unsigned code, const void *body, size_t n)
{
    fake_control(f.port, code, body, n, reply, sizeof reply);
    return reply[0];
}

static void
answer(uint64_t id)
{
    fake_helper_frame(&f, WIRE_RESULT, id, etf_one, sizeof etf_one);
    fake_helper_pump(&f);
}

static int
is_told(const char *what)
{
    for (int i = 0; i < fake_messages(); i++)
        if (strstr(fake_message(i), what) != NULL)
            return 1;
    return 0;
}

/* ---- draining ------------------------------------------------------------ */

START_TEST(test_drains_at_once)
{
    ck_assert_int_eq(op(DRV_OP_DRAIN, "", 0), DRV_REPLY_OK);
    ck_assert(is_told("drained"));
    ck_assert(fake_helper_submit(&f, 3) == 0);
    fake_forget_messages();
    ck_assert_int_eq(op(DRV_OP_DRAIN, "", 0), DRV_REPLY_OK);
    ck_assert(!is_told("drained"));
}
END_TEST

START_TEST(test_drains_when_all_is_answered)
{
    uint64_t first = fake_helper_submit(&f, 3);
    uint64_t second = fake_helper_submit(&f, 3);
    fake_helper_attach(&f, first, "#1");
    fake_helper_attach(&f, second, "#2");
    op(DRV_OP_DRAIN, "", 0);
    ck_assert(fake_helper_submit(&f, 3) == 0);
    answer(first);
    ck_assert(!is_told("drained"));
    answer(second);
    ck_assert(is_told("drained"));
}
END_TEST

static int
submit(uint8_t opcode)
{
    const uint8_t what[2] = {opcode, 0};
    return op(DRV_OP_RESERVE, what, 2);
}

/* Objects are nowhere else, so for a while they are still asked here. */
START_TEST(test_drains_objects_last)
{
    ck_assert_int_eq(op(DRV_OP_DRAIN, "\1", 1), DRV_REPLY_OK);
    ck_assert(!is_told("drained"));
    ck_assert_int_eq(submit(WIRE_EVAL), DRV_REPLY_DOWN);
    ck_assert_int_eq(submit(WIRE_CALL), DRV_REPLY_DOWN);
    ck_assert_int_eq(submit(WIRE_METHOD), DRV_REPLY_PENDING);
    ck_assert_int_eq(submit(WIRE_GETATTR), DRV_REPLY_PENDING);
    ck_assert_int_eq(submit(WIRE_TO_TERM), DRV_REPLY_PENDING);
    op(DRV_OP_DRAIN, "", 0);
    ck_assert_int_eq(submit(WIRE_METHOD), DRV_REPLY_DOWN);
    op(DRV_OP_DRAIN, "\1", 1);
    ck_assert_int_eq(submit(WIRE_METHOD), DRV_REPLY_DOWN);
    ck_assert(!is_told("drained"));
    fake_exit_process(f.port, 1);
    ck_assert(is_told("drained"));
}
END_TEST

/* An answer that its caller has not fetched is not lost. */
START_TEST(test_a_held_answer_is_waited_for)
{
    uint64_t id = fake_helper_submit(&f, 3);
    op(DRV_OP_DRAIN, "", 0);
    answer(id);
    ck_assert(!is_told("drained"));
    ck_assert_int_eq(fake_helper_attach(&f, id, "#1"), DRV_REPLY_RESULT);
    ck_assert(is_told("drained"));
}
END_TEST

START_TEST(test_a_dead_caller_is_not_waited_for)
{
    fake_helper_submit(&f, 3);
    const uint8_t what[2] = {WIRE_EVAL, 0};
    ck_assert_int_eq(op(DRV_OP_RESERVE, what, 2), DRV_REPLY_PENDING);
    op(DRV_OP_DRAIN, "", 0);
    fake_exit_process(f.port, 1);
    ck_assert(!is_told("drained")); /* the first runs, perhaps */
    op(DRV_OP_FAIL, etf_one, sizeof etf_one);
    ck_assert(is_told("drained"));
}
END_TEST

/* Those who wait because the port is busy are told to come, and sent away. */
START_TEST(test_drain_lets_waiters_go)
{
    uint64_t id = fake_helper_submit(&f, WIRE_LIMIT_HIGH_WATER);
    ck_assert(fake_busy());
    fake_helper_attach(&f, id, "#1");
    ck_assert_int_eq(op(DRV_OP_WAIT_READY, "#9", 2), DRV_REPLY_OK);
    ck_assert(!is_told("py_ready"));
    op(DRV_OP_DRAIN, "", 0);
    ck_assert(is_told("{py_ready,#9}"));
    ck_assert(fake_helper_submit(&f, 3) == 0);
    op(DRV_OP_FAIL, etf_one, sizeof etf_one);
}
END_TEST

/* ---- counting ------------------------------------------------------------ */

static int
watch(uint64_t calls, uint32_t place)
{
    uint8_t body[12];
    memcpy(body, &calls, 8);
    memcpy(body + 8, &place, 4);
    return op(DRV_OP_WATCH, body, sizeof body);
}

static void
one(void)
{
    uint64_t id = fake_helper_submit(&f, 3);
    fake_helper_attach(&f, id, "#1");
    answer(id);
}

START_TEST(test_tells_after_so_many)
{
    ck_assert_int_eq(watch(3, 0), DRV_REPLY_OK);
    one();
    one();
    ck_assert(!is_told("calls"));
    one();
    ck_assert(is_told("calls"));
    fake_forget_messages();
    one();
    ck_assert(!is_told("calls"));
}
END_TEST

START_TEST(test_watch_refuses_nonsense)
{
    ck_assert_int_eq(watch(3, LOAD_PLACES), DRV_REPLY_REFUSED);
    ck_assert_int_eq(op(DRV_OP_WATCH, "12345", 5), DRV_REPLY_REFUSED);
    ck_assert_int_eq(watch(0, LOAD_PLACES - 1), DRV_REPLY_OK);
}
END_TEST

static uint32_t
least(ErlDrvData loads, uint32_t from, const uint32_t *places, size_t n)
{
    uint32_t i;
    long size = fake_control(loads, DRV_OP_LEAST | from << 8, places,
                             n * sizeof *places, reply, sizeof reply);
    ck_assert_int_eq(size, 5);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
    memcpy(&i, reply + 1, sizeof i);
    return i;
}

START_TEST(test_load_is_seen_elsewhere)
{
    char command[] = "py_drv load";
    const uint32_t places[3] = {7, 8, 9};
    ErlDrvData loads = driver_init()->start(NULL, command);
    ck_assert(loads != ERL_DRV_ERROR_ERRNO);
    ck_assert_int_eq(watch(0, 8), DRV_REPLY_OK);
    ck_assert_uint_eq(least(loads, 1, places, 3), 1);
    ck_assert_uint_eq(least(loads, 5, places, 3), 2);
    uint64_t id = fake_helper_submit(&f, 3);
    fake_helper_attach(&f, id, "#1");
    ck_assert_uint_eq(least(loads, 1, places, 3), 2);
    ck_assert_uint_eq(least(loads, 0, places + 1, 1), 0);
    answer(id);
    ck_assert_uint_eq(least(loads, 1, places, 3), 1);
    /* One that is reserved and given up never counted. */
    const uint8_t what[2] = {WIRE_EVAL, 0};
    op(DRV_OP_RESERVE, what, 2);
    op(DRV_OP_FAIL, etf_one, sizeof etf_one);
    ck_assert_uint_eq(least(loads, 1, places, 3), 1);
    driver_init()->stop(loads);
}
END_TEST

START_TEST(test_least_refuses_nonsense)
{
    char command[] = "py_drv load";
    const uint32_t nowhere[2] = {LOAD_PLACES, UINT32_MAX};
    ErlDrvData loads = driver_init()->start(NULL, command);
    fake_control(loads, DRV_OP_LEAST, "123", 3, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
    fake_control(loads, DRV_OP_LEAST, "", 0, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
    fake_control(loads, DRV_OP_KILL, "1234", 4, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
    ck_assert_uint_lt(least(loads, 0xffff, nowhere, 2), 2);
    driver_init()->stop(loads);
}
END_TEST

/* What a port counted goes with it, answered or not. */
START_TEST(test_load_ends_with_the_port)
{
    struct load l = {0};
    ck_assert_int_eq(load_begin(&l, 100), 0);
    load_add(&l, 1);
    load_add(&l, 1);
    ck_assert_uint_eq(l.here, 2);
    load_end(&l);
    ck_assert_uint_eq(l.here, 0);
    ck_assert_int_eq(load_begin(&l, LOAD_PLACES), -1);
}
END_TEST

/* ---- timing -------------------------------------------------------------- */

START_TEST(test_buckets)
{
    struct latency l = {0};
    latency_add(&l, 0, 1);
    latency_add(&l, 511, 1);
    latency_add(&l, 512, 8);
    latency_add(&l, 1023, 1);
    latency_add(&l, 1024, 1);
    latency_add(&l, UINT64_MAX, 1);
    ck_assert_uint_eq(l.bucket[0], 2);
    ck_assert_uint_eq(l.bucket[1], 9);
    ck_assert_uint_eq(l.bucket[2], 1);
    ck_assert_uint_eq(l.bucket[LATENCY_BUCKETS - 1], 1);
}
END_TEST

START_TEST(test_one_in_some_is_due)
{
    struct latency l = {0};
    int due = 0;
    for (int i = 0; i < 10 * LATENCY_ONE_IN; i++)
        due += latency_is_due(&l);
    ck_assert_int_eq(due, 10);
}
END_TEST

/* The last numbers of STATS are the buckets; none of these was polled for. */
START_TEST(test_answers_are_timed)
{
    unsigned sum = 0;
    for (int i = 0; i < 5; i++)
        one();
    long n = fake_control(f.port, DRV_OP_STATS, "", 0, reply, sizeof reply);
    ck_assert_int_gt(n, LATENCY_BUCKETS * 5);
    ck_assert_int_eq(reply[n - 1], 106);
    for (int i = 0; i < LATENCY_BUCKETS; i++) {
        const uint8_t *p = reply + n - 1 - (i + 1) * 5;
        ck_assert_int_eq(p[0], 98);
        sum += p[4];
    }
    ck_assert_uint_eq(sum, 5);
}
END_TEST

static uint64_t
ended(void)
{
    uint64_t n;
    ck_assert_int_eq(
        fake_control(f.port, DRV_OP_ENDED, "", 0, reply, sizeof reply),
        1 + sizeof n);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
    memcpy(&n, reply + 1, sizeof n);
    return n;
}

START_TEST(test_ended_are_counted)
{
    ck_assert_uint_eq(ended(), 0);
    for (unsigned i = 1; i <= 5; i++) {
        one();
        ck_assert_uint_eq(ended(), i);
    }
}
END_TEST

Suite *make_drv_pool_suite(void);
Suite *
make_drv_pool_suite(void)
{
    Suite *s = suite_create("drv_pool");
    TCase *tc = tcase_create("pool");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_drains_at_once);
    tcase_add_test(tc, test_drains_when_all_is_answered);
    tcase_add_test(tc, test_drains_objects_last);
    tcase_add_test(tc, test_a_held_answer_is_waited_for);
    tcase_add_test(tc, test_a_dead_caller_is_not_waited_for);
    tcase_add_test(tc, test_drain_lets_waiters_go);
    tcase_add_test(tc, test_tells_after_so_many);
    tcase_add_test(tc, test_watch_refuses_nonsense);
    tcase_add_test(tc, test_load_is_seen_elsewhere);
    tcase_add_test(tc, test_least_refuses_nonsense);
    tcase_add_test(tc, test_load_ends_with_the_port);
    tcase_add_test(tc, test_buckets);
    tcase_add_test(tc, test_one_in_some_is_due);
    tcase_add_test(tc, test_answers_are_timed);
    tcase_add_test(tc, test_ended_are_counted);
    suite_add_tcase(s, tc);
    return s;
}
