/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_hostile.c - a helper that misbehaves loses its connection and its
 * life; the port stays sound and says why. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
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

/* Over a lane it is seen when something is asked for. */
static void
expect_violation(void)
{
    fake_helper_pump(&f);
    if (fake_messages() == 0)
        fake_helper_submit(&f, 3);
    ck_assert_int_eq(fake_messages(), 1);
    ck_assert_ptr_nonnull(strstr(fake_message(0), "{closed,{protocol,<<"));
    ck_assert_int_eq(fake_helper_killed(&f), 1);
    ck_assert(fake_helper_submit(&f, 3) == 0);
}

START_TEST(test_unknown_id)
{
    fake_helper_frame(&f, WIRE_RESULT, 12345, etf_one, 3);
    expect_violation();
}
END_TEST

START_TEST(test_answer_twice)
{
    uint64_t id = fake_helper_submit(&f, 3);
    fake_helper_frame(&f, WIRE_RESULT, id, etf_one, 3);
    fake_helper_frame(&f, WIRE_RESULT, id, etf_one, 3);
    expect_violation();
}
END_TEST

START_TEST(test_reserved_is_not_answerable)
{
    uint8_t reply[64];
    const uint8_t what[2] = {WIRE_CALL, 0};
    uint64_t id;
    fake_control(f.port, DRV_OP_RESERVE, what, 2, reply, sizeof reply);
    memcpy(&id, reply + 1, 8);
    fake_helper_frame(&f, WIRE_RESULT, id, etf_one, 3);
    expect_violation();
}
END_TEST

/* Terms that must never reach Erlang. */
static const struct {
    const char *bytes;
    size_t n;
} bad_terms[] = {
    {"", 0},                              /* nothing */
    {"\x83", 1},                          /* no term */
    {"\x84\x61\x01", 3},                  /* no magic */
    {"\x83\x61\x01\x00", 4},              /* a byte too many */
    {"\x83\x50\x00\x00\x00\x01\x78", 7},  /* compressed */
    {"\x83\x6c\xff\xff\xff\xff\x61", 7},  /* four thousand million elements */
    {"\x83\x6d\x7f\xff\xff\xff\x61", 7},  /* a binary longer than its frame */
    {"\x83\x64\x00\x01\x61", 5},          /* an old atom */
    {"\x83\x77\x02\xc3\x28", 5},          /* an atom that is not UTF-8 */
    {"\x83\x46\x7f\xf0\0\0\0\0\0\0", 10}, /* an infinite float */
};

START_TEST(test_bad_terms)
{
    uint64_t id = fake_helper_submit(&f, 3);
    fake_helper_frame(&f, WIRE_RESULT, id, bad_terms[_i].bytes,
                      bad_terms[_i].n);
    expect_violation();
}
END_TEST

static const struct wire_header bad_headers[] = {
    {.opcode = WIRE_CALL},                      /* our own direction */
    {.opcode = 0},                              /* no such opcode */
    {.opcode = 255},                            /* no such opcode */
    {.opcode = WIRE_HELLO, .length = 10},       /* a second hello */
    {.opcode = WIRE_RESULT, .flags = 1},        /* flags */
    {.opcode = WIRE_RESULT, .zero = 1},         /* padding */
    {.opcode = WIRE_CANCELLED, .length = 1},    /* a body where none is */
    {.opcode = WIRE_RESULT, .length = 1 << 30}, /* over the frame limit */
    {.opcode = WIRE_HELLO, .length = 1 << 20},  /* a control body too long */
};

START_TEST(test_bad_headers)
{
    uint32_t settings[9] = {1000, 1000, 1 << 20, 100, 20};
    uint8_t reply[8];
    uint8_t bytes[sizeof(struct wire_header) + 16] = {0};
    struct wire_header h = bad_headers[_i];
    fake_control(f.port, DRV_OP_SETTINGS, settings, sizeof settings, reply, 8);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
    memcpy(bytes, &h, sizeof h);
    ck_assert_int_eq(fake_helper_write(&f, bytes, sizeof bytes), 0);
    expect_violation();
}
END_TEST

START_TEST(test_announced_length_allocates_nothing)
{
    uint64_t id = fake_helper_submit(&f, 3);
    struct wire_header h = {
        .opcode = WIRE_RESULT, .length = WIRE_LIMIT_MAX_FRAME, .id = id};
    uint8_t start[] = {131, 109, 127, 255, 255, 249};
    ck_assert_int_eq(fake_helper_write(&f, &h, sizeof h), 0);
    ck_assert_int_eq(fake_helper_write(&f, start, sizeof start), 0);
    fake_helper_pump(&f); /* under ASan a 2 GiB allocation would be seen */
    ck_assert_int_eq(fake_messages(), 0);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_FRAME_DEADLINE_MS);
    fake_sleep(WIRE_LIMIT_FRAME_DEADLINE_MS);
    driver_init()->timeout(f.port);
    expect_violation();
}
END_TEST

START_TEST(test_frame_deadline_is_per_frame)
{
    uint64_t id = fake_helper_submit(&f, 3);
    struct wire_header h = {
        .opcode = WIRE_RESULT, .length = sizeof etf_one, .id = id};
    ck_assert_int_eq(fake_helper_write(&f, &h, 5), 0);
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_timer(), WIRE_LIMIT_FRAME_DEADLINE_MS);
    ck_assert_int_eq(fake_helper_write(&f, (char *)&h + 5, sizeof h - 5), 0);
    ck_assert_int_eq(fake_helper_write(&f, etf_one, sizeof etf_one), 0);
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_timer(), -1);
}
END_TEST

START_TEST(test_wrong_version)
{
    struct ctl_out o;
    ck_assert_int_eq(fake_helper_stop(&f), 0);
    fake_helper_start(&f, 1);
    ctl_begin(&o);
    ctl_put_uint(&o, "version", WIRE_LIMIT_VERSION);
    ctl_put_uint(&o, "fingerprint", WIRE_FINGERPRINT ^ 1);
    ck_assert_int_eq(ctl_end(&o), 0);
    fake_helper_frame(&f, WIRE_HELLO, 0, o.bytes.data, o.bytes.len);
    ctl_free(&o);
    expect_violation();
}
END_TEST

START_TEST(test_first_frame_is_no_hello)
{
    ck_assert_int_eq(fake_helper_stop(&f), 0);
    fake_helper_start(&f, 1);
    fake_helper_frame(&f, WIRE_RESULT, 1, etf_one, 3);
    expect_violation();
}
END_TEST

START_TEST(test_boot_error_is_passed_on)
{
    ck_assert_int_eq(fake_helper_stop(&f), 0);
    fake_helper_start(&f, 1);
    fake_helper_frame(&f, WIRE_ERROR, 0, etf_one, 3);
    fake_helper_pump(&f);
    ck_assert_str_eq(fake_message(0), "{Port,{boot_error,<<131,97,1>>}}");
}
END_TEST

START_TEST(test_nothing_follows_a_boot_error)
{
    ck_assert_int_eq(fake_helper_stop(&f), 0);
    fake_helper_start(&f, 1);
    for (int i = 0; i < 100; i++)
        fake_helper_frame(&f, WIRE_ERROR, 0, etf_one, 3);
    fake_helper_pump(&f);
    ck_assert_int_eq(fake_messages(), 2);
    ck_assert_ptr_nonnull(strstr(fake_message(1), "{closed,{protocol,<<"));
    ck_assert_int_eq(fake_helper_killed(&f), 1);
}
END_TEST

START_TEST(test_cancelled_unasked)
{
    uint64_t id = fake_helper_submit(&f, 3);
    fake_helper_frame(&f, WIRE_CANCELLED, id, NULL, 0);
    expect_violation();
}
END_TEST

/* ---- callbacks of no request --------------------------------------------- */

static const uint8_t question[] = {131, 104, 4, 110, 8,   0,   1,   0,  0,
                                   0,   0,   0, 0,   128, 106, 106, 106};

static void
ask(int times)
{
    for (int i = 0; i < times; i++)
        fake_helper_frame(&f, WIRE_CALLBACK, 0, question, sizeof question);
    fake_helper_pump(&f);
}

static int
served(uint64_t bytes)
{
    uint8_t reply[64];
    fake_control(f.port, DRV_OP_SERVED, &bytes, sizeof bytes, reply,
                 sizeof reply);
    return reply[0];
}

/* So many at once, and as many again once those have ended. */
START_TEST(test_unasked_are_counted)
{
    enum { MOST = WIRE_LIMIT_UNASKED };
    ck_assert(fake_helper_submit(&f, 3) != 0); /* so the port looks */
    ask(MOST);
    ck_assert_int_eq(fake_messages(), MOST);
    for (int i = 0; i < MOST; i++)
        ck_assert_int_eq(served(sizeof question), DRV_REPLY_OK);
    ck_assert_int_eq(served(sizeof question), DRV_REPLY_REFUSED);
    ask(MOST);
    ck_assert_int_eq(fake_messages(), 2 * MOST);
    ask(1);
    ck_assert_int_eq(fake_messages(), 2 * MOST + 1);
    ck_assert_ptr_nonnull(strstr(fake_message(2 * MOST), "{closed,{protocol,"));
    ck_assert_int_eq(fake_helper_killed(&f), 1);
}
END_TEST

/* Answers that the helper does not read are kept up to a bound. */
START_TEST(test_unread_answers_are_bounded)
{
    enum { EACH = 1 << 20, MANY = 100, HEAD = 9 };
    static uint8_t answer[HEAD + EACH] = {[8] = WIRE_CALLED};
    uint8_t reply[64];
    int told = 0;
    const uint32_t settings[9] = {1000, 30000, EACH, 1000, 0};
    fake_control(f.port, DRV_OP_SETTINGS, settings, sizeof settings, reply,
                 sizeof reply);
    while (told < MANY && fake_messages() == 0) {
        fake_control(f.port, DRV_OP_REPLY, answer, sizeof answer, reply,
                     sizeof reply);
        told++;
    }
    ck_assert_int_gt(told, WIRE_LIMIT_BACKLOG / EACH);
    ck_assert_int_lt(told, MANY);
    ck_assert_ptr_nonnull(strstr(fake_message(0), "{closed,{protocol,"));
    ck_assert_int_eq(fake_helper_killed(&f), 1);
}
END_TEST

START_TEST(test_random_bytes)
{
    uint8_t bytes[512];
    srand((unsigned)_i);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rand();
    ck_assert_int_eq(fake_helper_write(&f, bytes, sizeof bytes), 0);
    expect_violation();
}
END_TEST

START_TEST(test_bad_commands)
{
    static const unsigned ops[] = {0,
                                   5000,
                                   63,
                                   DRV_OP_RESERVE,
                                   DRV_OP_ATTACH,
                                   20,
                                   16,
                                   99,
                                   DRV_OP_SETTINGS,
                                   DRV_OP_WATCH,
                                   DRV_OP_LEAST,
                                   DRV_OP_ADOPT};
    uint8_t reply[128];
    const size_t n = ops[_i] < 64 && ops[_i] >= 16 ? 0 : 3;
    fake_control(f.port, ops[_i], "abc", n, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
    fake_command(f.port, "short", 5);
    fake_command(f.port, "not an id at all", 16);
    ck_assert(fake_helper_submit(&f, 3) != 0);
}
END_TEST

Suite *make_drv_hostile_suite(void);
Suite *
make_drv_hostile_suite(void)
{
    Suite *s = suite_create("drv_hostile");
    TCase *tc = tcase_create("hostile");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_unknown_id);
    tcase_add_test(tc, test_answer_twice);
    tcase_add_test(tc, test_reserved_is_not_answerable);
    tcase_add_loop_test(tc, test_bad_terms, 0,
                        sizeof bad_terms / sizeof bad_terms[0]);
    tcase_add_loop_test(tc, test_bad_headers, 0,
                        sizeof bad_headers / sizeof bad_headers[0]);
    tcase_add_test(tc, test_announced_length_allocates_nothing);
    tcase_add_test(tc, test_frame_deadline_is_per_frame);
    tcase_add_test(tc, test_wrong_version);
    tcase_add_test(tc, test_first_frame_is_no_hello);
    tcase_add_test(tc, test_boot_error_is_passed_on);
    tcase_add_test(tc, test_nothing_follows_a_boot_error);
    tcase_add_test(tc, test_cancelled_unasked);
    tcase_add_test(tc, test_unasked_are_counted);
    tcase_add_test(tc, test_unread_answers_are_bounded);
    tcase_add_loop_test(tc, test_random_bytes, 0, 50);
    tcase_add_loop_test(tc, test_bad_commands, 0, 12);
    suite_add_tcase(s, tc);
    return s;
}
