/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_lane.c - the driver over a lane, with the test as its helper. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "err.h"
#include "fake_helper.h"
#include "lane_layout.h"

static struct fake_helper f;
static const uint8_t etf_one[] = {131, 97, 1};

static void
say(uint8_t opcode, uint64_t id, const void *body, size_t n)
{
    fake_helper_frame(&f, opcode, id, body, n);
    fake_helper_pump(&f);
}

static void
setup(void)
{
    fake_helper_start_over(&f, 1, 1);
    fake_helper_hello(&f);
}

static void
teardown(void)
{
    ck_assert_int_eq(fake_helper_stop(&f), 0);
}

/* What the port wrote: the id of one frame. */
static uint64_t
taken(uint8_t opcode, size_t bytes)
{
    uint64_t id = 0;
    size_t n = 0;
    ck_assert_int_eq(fake_helper_take(&f, &id, NULL, 0, &n), opcode);
    ck_assert_uint_eq(n, bytes);
    return id;
}

/* A helper that is awake makes the port poll; this one never answers in time,
 * so the answer comes as a message.  The sizes lie around the window, the
 * limit of a record, and the ring. */
START_TEST(a_bet_that_is_lost_ends_in_a_message)
{
    static const size_t sizes[] = {3,     65519, 65520,  65521,
                                   65535, 65536, 131072, 1 << 20};
    lane_disarm(&f.channel.lane);
    uint64_t id = fake_helper_submit(&f, sizes[_i]);
    ck_assert(id != 0);
    ck_assert(taken(WIRE_CALL, sizes[_i]) == id);
    ck_assert_int_eq(fake_helper_attach(&f, id, "#1"), DRV_REPLY_OK);
    say(WIRE_RESULT, id, etf_one, sizeof etf_one);
    ck_assert_int_eq(fake_messages(), 1);
    ck_assert_str_eq(fake_message(0), "{py_answer,#1,65,<<131,97,1>>}");
}
END_TEST

START_TEST(many_requests_fill_the_ring_and_none_is_lost)
{
    enum { COUNT = 200, BYTES = 3000 };
    uint64_t ids[COUNT];
    for (int i = 0; i < COUNT; i++) {
        ids[i] = fake_helper_submit(&f, BYTES);
        ck_assert(ids[i] != 0);
        ck_assert_int_eq(fake_helper_attach(&f, ids[i], "#1"), DRV_REPLY_OK);
    }
    for (int i = 0; i < COUNT; i++) {
        ck_assert(taken(WIRE_CALL, BYTES) == ids[i]);
        say(WIRE_RESULT, ids[i], etf_one, sizeof etf_one);
    }
    ck_assert_int_eq(fake_messages(), COUNT);
}
END_TEST

START_TEST(numbers_that_cannot_be_end_the_helper)
{
    struct lane_words *w = &f.channel.lane.shared->helper;
    if (_i == 0) { /* seen while reading */
        atomic_store(&w->head, 12345);
        ck_assert_int_gt((int)fake_helper_submit(&f, 3) != 0, 0);
    } else { /* seen while writing, when the ring seems full */
        atomic_store(&w->tail, UINT64_C(1) << 40);
        for (int i = 0; i < 40; i++)
            fake_helper_submit(&f, 60000);
        for (size_t n = 0; n < 3 * (size_t)LANE_RING; n += 4096) {
            uint8_t body[4096] = {WIRE_RELEASE};
            uint8_t reply[64];
            fake_control(f.port, DRV_OP_NOTICE, body, sizeof body, reply, 64);
        }
    }
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_helper_killed(&f), 1);
    int last = fake_messages() - 1;
    ck_assert_int_ge(last, 0);
    ck_assert_ptr_nonnull(strstr(fake_message(last), "{closed,{protocol,"));
}
END_TEST

Suite *make_drv_lane_suite(void);
Suite *
make_drv_lane_suite(void)
{
    Suite *suite = suite_create("drv_lane");
    TCase *t = tcase_create("lane");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, a_bet_that_is_lost_ends_in_a_message, 0, 8);
    tcase_add_test(t, many_requests_fill_the_ring_and_none_is_lost);
    tcase_add_loop_test(t, numbers_that_cannot_be_end_the_helper, 0, 2);
    suite_add_tcase(suite, t);
    return suite;
}
