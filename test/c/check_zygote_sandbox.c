/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_sandbox.c - spawn messages with a policy: what is locked, what
 * is refused and why, whose spares are whose.  What depends on who runs the
 * zygote is tried by another user as well, if we are root. */
#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handoff.h"
#include "lane.h"
#include "layers.h"
#include "support_check.h"
#include "support_process.h"
#include "support_zygote.h"
#include "wire.h"

static struct zyg z;
static int with_lane; /* what is asked for */

static void
set_up(void)
{
    with_lane = 0;
    const char *const args[] = {"--spares", "0", NULL};
    zyg_open(&z, args);
}

static void
tear_down(void)
{
    zyg_close(&z);
}

/* Tests are looped over whom it is run by. */
static int
begin_as(int user)
{
    const char *const args[] = {"--spares", "0", NULL};
    return user == ZYG_AS_WE_ARE || zyg_restart(&z, user, args);
}

/* A spawn or probe with a policy of this level; `key' has one string. */
static void
ask(const char *type, uint64_t id, const char *level, const char *key,
    const char *value, uint64_t ahead)
{
    struct ctl_out m, boot, policy;
    char *list = (char *)value;
    ctl_begin(&boot);
    ctl_put_bool(&boot, "lane", with_lane);
    ck_ok(ctl_end(&boot));
    ctl_begin(&policy);
    ctl_put_str(&policy, "level", level);
    if (key != NULL)
        ctl_put_strs(&policy, key, &list, 1);
    ck_ok(ctl_end(&policy));
    ctl_begin(&m);
    ctl_put_type(&m, type);
    ctl_put_uint(&m, "id", id);
    ctl_put_uint(&m, "ahead", ahead);
    ctl_put_map(&m, "boot", &boot);
    ctl_put_map(&m, "policy", &policy);
    ck_ok(zyg_send(&z, &m));
    ctl_free(&boot);
    ctl_free(&policy);
}

START_TEST(tells_the_layers_that_hold)
{
    struct zyg_message m;
    struct zyg_helper h;
    int by_root = geteuid() == 0 && _i == ZYG_AS_WE_ARE;
    if (!begin_as(_i))
        return;
    ask(CTL_spawn, 1, "default", NULL, NULL, 0);
    zyg_expect(&z, CTL_spawned, &m);
    ck_assert_uint_ne(zyg_layers(&m, "layers") & LAYER_SECCOMP, 0);
    zyg_take_helper(&m, &h);
    ck_assert_int_eq(zyg_frame(&h, NULL), WIRE_HELLO);
    ck_assert_uint_eq(process_status(h.pid, "Seccomp", 10), 2);
    ck_assert_uint_eq(process_status(h.pid, "NoNewPrivs", 10), 1);
    ck_assert_uint_eq(process_status(h.pid, "CapEff", 16), 0);
    if (by_root) /* a user namespace gives others a full one, of no use */
        ck_assert_uint_eq(process_status(h.pid, "CapBnd", 16), 0);
    zyg_helper_close(&h);
}
END_TEST

START_TEST(nothing_is_locked_without_a_policy)
{
    struct zyg_message m;
    struct zyg_helper h;
    zyg_send_spawn(&z, 1, 0);
    zyg_expect(&z, CTL_spawned, &m);
    ck_assert_uint_eq(zyg_layers(&m, "layers"), 0);
    zyg_take_helper(&m, &h);
    ck_assert_uint_eq(process_status(h.pid, "NoNewPrivs", 10), 0);
    zyg_helper_close(&h);
}
END_TEST

START_TEST(says_what_a_host_lacks)
{
    struct zyg_message m;
    struct ctl_out out, policy;
    char *names[] = {"landlock"};
    ctl_begin(&policy);
    ctl_put_str(&policy, "level", "default");
    ctl_put_strs(&policy, "without", names, 1);
    ctl_put_strs(&policy, "require", names, 1);
    ck_ok(ctl_end(&policy));
    for (int i = 0; i < 2; i++) {
        const char *type = i == 0 ? CTL_spawn : CTL_probe;
        ctl_begin(&out);
        ctl_put_type(&out, type);
        ctl_put_uint(&out, "id", 7);
        ctl_put_map(&out, "policy", &policy);
        ck_ok(zyg_send(&z, &out));
        zyg_expect(&z, i == 0 ? CTL_spawn_failed : CTL_probed, &m);
        ck_assert_uint_eq(zyg_uint(&m, "id"), 7);
        ck_assert_uint_eq(zyg_layers(&m, "missing"), LAYER_LANDLOCK);
        ck_assert(zyg_has(&m, "reason", "landlock"));
        zyg_message_free(&m);
    }
    ctl_free(&policy);
    zyg_wait_children(&z, 0);
}
END_TEST

START_TEST(names_what_is_wrong_with_a_policy)
{
    struct zyg_message m;
    ask(CTL_spawn, 1, "paranoid", NULL, NULL, 0);
    zyg_expect(&z, CTL_spawn_failed, &m);
    ck_assert(zyg_has(&m, "reason", "level"));
    zyg_message_free(&m);
    ask(CTL_spawn, 2, "default", "read", "etc", 0);
    zyg_expect(&z, CTL_spawn_failed, &m);
    ck_assert(zyg_has(&m, "reason", "read"));
    zyg_message_free(&m);
}
END_TEST

START_TEST(probes)
{
    struct zyg_message m;
    ask(CTL_probe, 9, "strict", NULL, NULL, 0);
    zyg_expect(&z, CTL_probed, &m);
    ck_assert_uint_eq(zyg_uint(&m, "id"), 9);
    ck_assert_uint_ne(zyg_layers(&m, "layers") & LAYER_SECCOMP, 0);
    zyg_message_free(&m);
    zyg_wait_children(&z, 0);
}
END_TEST

/* Of each policy whose helpers are forked ahead, if this system has what it
 * takes. */
static size_t
nests(void)
{
    int *at = NULL;
    return prctl(PR_GET_TID_ADDRESS, &at, 0, 0, 0) == 0 ? 1 : 0;
}

static int
is_nested(const struct zyg_message *m)
{
    int nested = 0;
    ck_assert(ctl_get_bool(&m->map, "nested", &nested));
    return nested;
}

/* One that was forked from a nest; the first ones are not. */
static void
take_nested(const char *level, struct zyg_helper *h)
{
    struct zyg_message m;
    long end = process_now_ms() + ZYG_WAIT_MS;
    for (uint64_t id = 100;; id++) {
        ask(CTL_spawn, id, level, NULL, NULL, 1);
        zyg_expect(&z, CTL_spawned, &m);
        int nested = is_nested(&m);
        zyg_take_helper(&m, h);
        ck_assert_int_eq(zyg_frame(h, NULL), WIRE_HELLO);
        if (nested)
            return;
        zyg_bury(&z, h);
        ck_assert_msg(process_now_ms() < end, "no helper of a nest");
        process_sleep_ms(20);
    }
}

static const char *const levels[] = {"default", "strict", "trusted"};
enum { LEVELS = sizeof levels / sizeof levels[0] };

/* It looks as one that was forked from the zygote. */
START_TEST(helpers_of_a_nest_are_locked)
{
    struct zyg_message m;
    struct zyg_helper nested, plain;
    const char *level = levels[_i % LEVELS];
    if (nests() == 0 || !begin_as(_i / LEVELS))
        return;
    take_nested(level, &nested);
    ask(CTL_spawn, 1, level, "without", "landlock_scope", 0);
    zyg_expect(&z, CTL_spawned, &m);
    ck_assert(!is_nested(&m));
    zyg_take_helper(&m, &plain);
    ck_assert_int_eq(zyg_frame(&plain, NULL), WIRE_HELLO);
    static const char *const numbers[] = {
        "Seccomp",         "NoNewPrivs", "CapEff", "CapPrm", "CapBnd", "CapAmb",
        "Seccomp_filters", "SigBlk",     "SigIgn", "SigCgt", "Groups"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        ck_assert_msg(process_status(nested.pid, numbers[i], 16) ==
                          process_status(plain.pid, numbers[i], 16),
                      "%s", numbers[i]);
    ck_assert_int_eq(getpgid(nested.pid), nested.pid);
    ck_assert_int_eq(getsid(nested.pid), nested.pid);
    if (geteuid() == 0) {
        ck_assert_int_eq(process_count_fds(nested.pid, ""),
                         process_count_fds(plain.pid, ""));
        ck_assert_int_eq(process_status(nested.pid, "Uid", 10) == 0,
                         process_status(plain.pid, "Uid", 10) == 0);
    }
    zyg_bury(&z, &plain);
    zyg_bury(&z, &nested);
}
END_TEST

/* The one child that leads no session. */
static void
kill_nest(void)
{
    pid_t pids[8];
    size_t n = process_children(z.pid, pids, 8), killed = 0;
    for (size_t i = 0; i < n; i++)
        if (getsid(pids[i]) != pids[i])
            killed += kill(pids[i], SIGKILL) == 0;
    ck_assert_uint_eq(killed, 1);
    zyg_wait_children(&z, n - 1);
}

/* Without it they are forked from the zygote again. */
START_TEST(a_nest_may_die)
{
    struct zyg_message m;
    struct zyg_helper h;
    int nested = 1;
    if (nests() == 0 || !begin_as(_i))
        return;
    take_nested("default", &h);
    zyg_bury(&z, &h);
    zyg_wait_children(&z, 2);
    kill_nest();
    for (uint64_t id = 1; id < 4; id++) {
        ask(CTL_spawn, id, "default", NULL, NULL, 1);
        zyg_expect(&z, CTL_spawned, &m);
        nested = is_nested(&m);
        zyg_take_helper(&m, &h);
        ck_assert_int_eq(zyg_frame(&h, NULL), WIRE_HELLO);
        zyg_bury(&z, &h);
    }
    ck_assert_int_eq(nested, 0);
}
END_TEST

/* Spares of one policy are never given to another. */
START_TEST(keeps_spares_of_a_kind)
{
    struct zyg_message m;
    struct zyg_helper h;
    ask(CTL_spawn, 1, "default", NULL, NULL, 2);
    zyg_expect(&z, CTL_spawned, &m);
    zyg_take_helper(&m, &h);
    ck_assert_int_eq(h.spare, 0);
    zyg_bury(&z, &h);
    zyg_wait_children(&z, 2 + nests());
    ask(CTL_spawn, 2, "strict", NULL, NULL, 0);
    zyg_expect(&z, CTL_spawned, &m);
    zyg_take_helper(&m, &h);
    ck_assert_int_eq(h.spare, 0);
    zyg_bury(&z, &h);
    ask(CTL_spawn, 3, "default", NULL, NULL, 0);
    zyg_expect(&z, CTL_spawned, &m);
    zyg_take_helper(&m, &h);
    ck_assert_int_eq(h.spare, 1);
    zyg_bury(&z, &h);
    zyg_wait_children(&z, 0);
}
END_TEST

/* Who wants a lane is not given a spare that has none. */
START_TEST(has_lanes_once_one_is_wanted)
{
    for (uint64_t id = 1; id < 4; id++) {
        struct zyg_message m;
        struct zyg_helper h;
        with_lane = id > 1;
        ask(CTL_spawn, id, "default", NULL, NULL, 1);
        zyg_expect(&z, CTL_spawned, &m);
        zyg_take_helper(&m, &h);
        ck_assert_int_eq(h.spare, id == 3);
        ck_assert_int_eq(lane_segment_check(h.lane) == 0, with_lane);
        zyg_bury(&z, &h);
        zyg_wait_children(&z, 1 + nests());
    }
}
END_TEST

/* It tells why on its standard error, and runs nothing. */
START_TEST(a_helper_that_can_not_be_locked_ends)
{
    struct zyg_message m;
    struct zyg_helper h;
    char text[400] = "";
    ask(CTL_spawn, 1, "default", "preload", "no_such_module", 0);
    zyg_expect(&z, CTL_spawned, &m);
    zyg_take_helper(&m, &h);
    ck_assert_int_eq(zyg_frame(&h, NULL), 0);
    ck_assert_int_gt(read(h.err, text, sizeof text - 1), 0);
    ck_assert_ptr_nonnull(strstr(text, "no_such_module"));
    zyg_expect(&z, CTL_exited, &m);
    ck_assert_uint_eq(zyg_uint(&m, "status"), HANDOFF_EXIT_SANDBOX);
    zyg_message_free(&m);
    zyg_helper_close(&h);
}
END_TEST

START_TEST(a_module_must_not_start_threads)
{
    struct process_folder f;
    struct zyg_message m;
    struct zyg_helper h;
    char text[400] = "";
    tear_down();
    process_make_folder(&f);
    process_write_file(
        &f, "starts_a_thread.py",
        "import threading\n"
        "e = threading.Event()\n"
        "threading.Thread(target=e.wait, daemon=True).start()\n");
    const char *const args[] = {"--spares", "0", "--path", f.path, NULL};
    zyg_open(&z, args);
    ask(CTL_spawn, 1, "default", "preload", "starts_a_thread", 0);
    zyg_expect(&z, CTL_spawned, &m);
    zyg_take_helper(&m, &h);
    ck_assert_int_eq(zyg_frame(&h, NULL), 0);
    ck_assert_int_gt(read(h.err, text, sizeof text - 1), 0);
    ck_assert_ptr_nonnull(strstr(text, "threads"));
    zyg_helper_close(&h);
    process_remove_folder(&f);
}
END_TEST

/* What a preloaded module has open is for trusted helpers only. */
START_TEST(nothing_of_preloaded_modules_is_open)
{
    struct process_folder f;
    struct zyg_message m;
    struct zyg_helper h;
    char secret[100];
    tear_down();
    process_make_folder(&f);
    process_write_file(&f, "secret", "x");
    process_write_file(&f, "opens_a_file.py",
                       "import os\n"
                       "f = open(os.path.dirname(__file__) + '/secret')\n");
    const char *const args[] = {
        "--spares", "0", "--path", f.path, "--preload", "opens_a_file", NULL};
    zyg_open(&z, args);
    snprintf(secret, sizeof secret, "%s/secret", f.path);
    zyg_spawn(&z, 1, &h);
    ck_assert_int_eq(process_count_fds(h.pid, secret), 1);
    zyg_bury(&z, &h);
    ask(CTL_spawn, 2, "default", NULL, NULL, 0);
    zyg_expect(&z, CTL_spawned, &m);
    zyg_take_helper(&m, &h);
    ck_assert_int_eq(zyg_frame(&h, NULL), WIRE_HELLO);
    if (geteuid() == 0) { /* others can not look at it */
        ck_assert_int_gt(process_count_fds(h.pid, ""), 3);
        ck_assert_int_eq(process_count_fds(h.pid, secret), 0);
        ck_assert_int_eq(process_count_fds(h.pid, "mnt:"), 0);
        ck_assert_int_eq(process_count_fds(h.pid, "anon_inode:landlock"), 0);
    }
    zyg_bury(&z, &h);
    process_remove_folder(&f);
}
END_TEST

/* More policies than there is room for, one after the other. */
START_TEST(forgets_policies_that_nobody_uses)
{
    struct zyg_message m;
    char port[8];
    int before;
    ask(CTL_probe, 1, "default", "connect", "1", 0);
    zyg_expect(&z, CTL_probed, &m);
    zyg_message_free(&m);
    before = process_count_fds(z.pid, "");
    for (int i = 0; i < 80; i++) {
        snprintf(port, sizeof port, "%d", 1000 + i);
        ask(CTL_probe, 2, "default", "connect", port, 0);
        zyg_expect(&z, CTL_probed, &m);
        ck_assert_uint_ne(zyg_layers(&m, "layers"), 0);
        zyg_message_free(&m);
    }
    ck_assert_int_le(process_count_fds(z.pid, ""), before + 32 * 8);
}
END_TEST

Suite *make_zygote_sandbox_suite(void);

Suite *
make_zygote_sandbox_suite(void)
{
    const TTest *const tests[] = {nothing_is_locked_without_a_policy,
                                  says_what_a_host_lacks,
                                  names_what_is_wrong_with_a_policy,
                                  probes,
                                  keeps_spares_of_a_kind,
                                  has_lanes_once_one_is_wanted,
                                  a_helper_that_can_not_be_locked_ends,
                                  a_module_must_not_start_threads,
                                  nothing_of_preloaded_modules_is_open,
                                  forgets_policies_that_nobody_uses};
    const TTest *const by_users[] = {tells_the_layers_that_hold,
                                     a_nest_may_die};
    Suite *s = suite_create("zygote_sandbox");
    TCase *c = tcase_create("zygote_sandbox");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    for (size_t i = 0; i < sizeof by_users / sizeof by_users[0]; i++)
        tcase_add_loop_test(c, by_users[i], 0, ZYG_USERS);
    tcase_add_loop_test(c, helpers_of_a_nest_are_locked, 0, ZYG_USERS * LEVELS);
    suite_add_tcase(s, c);
    return s;
}
