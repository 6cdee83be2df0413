/* SPDX-License-Identifier: Apache-2.0 */
/* drvsupport_callbacks.c - see drvsupport_callbacks.h. */
#include "drvsupport_callbacks.h"

#include <string.h>

struct fake_helper cb;
const uint8_t cb_etf_one[3] = {131, 97, 1};

static void
setup(void)
{
    fake_helper_ready(&cb);
}

static void
teardown(void)
{
    ck_assert_int_eq(fake_helper_stop(&cb), 0);
}

Suite *
cb_suite(const char *name, const TTest *const *tests, size_t n, TCase **tc)
{
    Suite *s = suite_create(name);
    *tc = tcase_create("callbacks");
    tcase_add_checked_fixture(*tc, setup, teardown);
    tcase_set_timeout(*tc, 60);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(*tc, tests[i]);
    suite_add_tcase(s, *tc);
    return s;
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

void
cb_ask(uint64_t id, uint64_t n)
{
    uint8_t body[CB_QUESTION];
    put_question(body, CB_FIRST + n);
    fake_helper_frame(&cb, WIRE_CALLBACK, id, body, sizeof body);
    fake_helper_pump(&cb);
}

void
cb_say(uint8_t opcode, uint64_t id)
{
    size_t n = opcode == WIRE_RESULT || opcode == WIRE_ERROR ? 3 : 0;
    fake_helper_frame(&cb, opcode, id, cb_etf_one, n);
    fake_helper_pump(&cb);
}

uint64_t
cb_submit_as(ErlDrvTermData who)
{
    fake_set_caller(who);
    uint64_t id = fake_helper_submit(&cb, 3);
    ck_assert(id != 0);
    return id;
}

long
cb_resume_as(ErlDrvTermData who, uint64_t id, uint64_t n, uint8_t *reply)
{
    uint8_t body[17 + 3];
    uint64_t number = CB_FIRST + n;
    memcpy(body, &id, 8);
    memcpy(body + 8, &number, 8);
    body[16] = WIRE_CALLED;
    memcpy(body + 17, cb_etf_one, 3);
    fake_set_caller(who);
    return fake_control(cb.port, DRV_OP_RESUME, body, sizeof body, reply, 64);
}

int
cb_resume(ErlDrvTermData who, uint64_t id, uint64_t n)
{
    uint8_t reply[64] = {0};
    cb_resume_as(who, id, n, reply);
    return reply[0];
}

void
cb_takes(uint8_t opcode, uint64_t id)
{
    uint8_t body[64];
    uint64_t seen;
    size_t n;
    ck_assert_int_eq(fake_helper_take(&cb, &seen, body, sizeof body, &n),
                     opcode);
    ck_assert_msg(seen == id, "another id");
}

void
cb_takes_nothing(void)
{
    uint8_t body[64];
    uint64_t seen;
    size_t n;
    ck_assert_int_eq(fake_helper_take(&cb, &seen, body, sizeof body, &n), -1);
}

uint64_t
cb_waiting(ErlDrvTermData who, const char *ref, uint64_t n)
{
    uint64_t id = cb_submit_as(who);
    cb_takes(WIRE_CALL, id);
    ck_assert_int_eq(fake_helper_attach(&cb, id, ref), DRV_REPLY_OK);
    cb_ask(id, n);
    return id;
}

void
cb_expect_violation(void)
{
    fake_helper_pump(&cb);
    if (fake_messages() == 0) {
        fake_set_caller(CB_OTHER);
        fake_helper_submit(&cb, 3);
    }
    const char *last = fake_message(fake_messages() - 1);
    ck_assert_ptr_nonnull(last);
    ck_assert_msg(strstr(last, "{closed,{protocol,<<") != NULL, "%s", last);
    ck_assert_int_eq(fake_helper_killed(&cb), 1);
}
