/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_budget.c - a helper whose processor time is used up, and what
 * the VM says to that. */
#include <check.h>

#include "handoff.h"
#include "support_check.h"
#include "support_zygote.h"
#include "wire.h"

static struct zyg z;

static void
set_up(void)
{
    const char *const args[] = {"--spares", "0", NULL};
    zyg_open(&z, args);
}

static void
tear_down(void)
{
    zyg_close(&z);
}

/* A helper with 100 ms of a processor, which loops. */
static void
loop(struct zyg_helper *h)
{
    struct zyg_message m;
    struct ctl_out out, policy;
    ctl_begin(&policy);
    ctl_put_str(&policy, "level", "trusted");
    ctl_put_uint(&policy, "cpu_ms", 100);
    ck_ok(ctl_end(&policy));
    ctl_begin(&out);
    ctl_put_type(&out, CTL_spawn);
    ctl_put_uint(&out, "id", 1);
    ctl_put_map(&out, "policy", &policy);
    ck_ok(zyg_send(&z, &out));
    ctl_free(&policy);
    zyg_expect(&z, CTL_spawned, &m);
    zyg_take_helper(&m, h);
    ck_assert_int_eq(zyg_frame(h, NULL), WIRE_HELLO);
    zyg_exec(h, 5, "while True: pass");
}

/* It is spent: what does the VM say to that? */
static void
expect_spent(void)
{
    struct zyg_message m;
    zyg_expect(&z, CTL_spent, &m);
    ck_assert_uint_eq(zyg_uint(&m, "id"), 1);
    zyg_message_free(&m);
}

static void
answer_spent(uint64_t id, int renew)
{
    struct ctl_out m;
    ctl_begin(&m);
    ctl_put_type(&m, CTL_budget);
    ctl_put_uint(&m, "id", id);
    ctl_put_bool(&m, "renew", renew);
    ck_ok(zyg_send(&z, &m));
}

static void
expect_over(struct zyg_helper *h)
{
    struct zyg_message m;
    zyg_expect(&z, CTL_exited, &m);
    ck_assert_uint_eq(zyg_uint(&m, "signal"), 9);
    ck_assert(zyg_has(&m, "limit", "cpu_ms"));
    zyg_message_free(&m);
    zyg_helper_close(h);
}

START_TEST(ends_who_uses_up_the_cpu)
{
    struct zyg_helper h;
    loop(&h);
    expect_spent();
    answer_spent(1, 0);
    expect_over(&h);
}
END_TEST

/* As often as the VM says so; an answer about nobody changes nothing. */
START_TEST(goes_on_who_may)
{
    struct zyg_helper h;
    loop(&h);
    for (int i = 0; i < 3; i++) {
        expect_spent();
        answer_spent(2, 0);
        answer_spent(1, 1);
    }
    expect_spent();
    answer_spent(1, 0);
    expect_over(&h);
}
END_TEST

/* The VM says nothing: that is a no. */
START_TEST(ends_who_goes_on_unasked)
{
    struct zyg_helper h;
    loop(&h);
    expect_spent();
    expect_over(&h);
}
END_TEST

Suite *make_zygote_budget_suite(void);

Suite *
make_zygote_budget_suite(void)
{
    Suite *s = suite_create("zygote_budget");
    TCase *c = tcase_create("zygote_budget");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, ends_who_uses_up_the_cpu);
    tcase_add_test(c, goes_on_who_may);
    tcase_add_test(c, ends_who_goes_on_unasked);
    suite_add_tcase(s, c);
    return s;
}
