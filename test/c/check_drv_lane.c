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
static struct lane peer;
static const uint8_t etf_one[] = {131, 97, 1};

static void
say(uint8_t opcode, uint64_t id, const void *body, size_t n)
{
    uint8_t head[WIRE_LIMIT_HEADER_SIZE];
    struct wire_header h = {.length = (uint32_t)n, .opcode = opcode, .id = id};
    struct iovec v[2] = {{head, sizeof head}, {(void *)body, n}};
    size_t done = 0;
    wire_put_header(head, &h);
    ck_assert_int_eq(lane_writev(&peer, v, 2, &done), 0);
    ck_assert_uint_eq(done, sizeof head + n);
    fake_helper_pump(&f);
}

static void
setup(void)
{
    struct ctl_out o;
    fake_helper_start_lane(&f, &peer);
    ctl_begin(&o);
    ctl_put_uint(&o, "version", WIRE_LIMIT_VERSION);
    ctl_put_uint(&o, "fingerprint", WIRE_FINGERPRINT);
    ck_assert_int_eq(ctl_end(&o), 0);
    say(WIRE_HELLO, 0, o.bytes.data, o.bytes.len);
    ctl_free(&o);
    fake_forget_messages();
}

static void
teardown(void)
{
    peer.sock = -1; /* it is f's */
    lane_close(&peer);
    ck_assert_int_eq(fake_helper_stop(&f), 0);
}

/* What the port wrote: opcode and id of one frame, its body left unread. */
static uint64_t
taken(uint8_t opcode, size_t bytes)
{
    uint8_t *p = malloc(bytes + WIRE_LIMIT_HEADER_SIZE);
    struct wire_header h;
    size_t at = 0, n;
    while (at < bytes + WIRE_LIMIT_HEADER_SIZE) {
        int e =
            lane_read(&peer, p + at, bytes + WIRE_LIMIT_HEADER_SIZE - at, &n);
        if (e == 0)
            at += n;
        else
            fake_helper_pump(&f);
    }
    ck_assert_int_eq(wire_get_header(p, &h), 0);
    free(p);
    ck_assert_uint_eq(h.opcode, opcode);
    ck_assert_uint_eq(h.length, bytes);
    return h.id;
}

/* A helper that is awake makes the port poll; this one never answers in time,
 * so the answer comes as a message.  The sizes lie around the window, the
 * limit of a record, and the ring. */
START_TEST(a_bet_that_is_lost_ends_in_a_message)
{
    static const size_t sizes[] = {3,     65519, 65520,  65521,
                                   65535, 65536, 131072, 1 << 20};
    lane_disarm(&peer);
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
    struct lane_words *w = &peer.shared->helper;
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
