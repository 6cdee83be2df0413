/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_pids.c - helpers in a namespace of process ids, forked and begun
 * anew: who keeps it, how all of it ends, that nobody is left behind; by a
 * zygote of ours, and if we are root by one of another user, too. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layers.h"
#include "support_check.h"
#include "support_process.h"
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

static int
begin_as(int user)
{
    const char *const args[] = {"--spares", "0", NULL};
    return user == ZYG_AS_WE_ARE || zyg_restart(&z, user, args);
}

static void
ask_spawn(uint64_t id, const char *how)
{
    struct ctl_out m, policy;
    ctl_begin(&policy);
    ctl_put_str(&policy, "level", "default");
    ctl_put_str(&policy, "spawn", how);
    ck_ok(ctl_end(&policy));
    ctl_begin(&m);
    ctl_put_type(&m, CTL_spawn);
    ctl_put_uint(&m, "id", id);
    ctl_put_map(&m, "policy", &policy);
    ck_ok(zyg_send(&z, &m));
    ctl_free(&policy);
}

/* It is this program, with a command line of its own, and holds what a forked
 * one does; modules that were preloaded again have nothing open either. */
START_TEST(begins_anew)
{
    struct process_folder f;
    struct zyg_message m;
    struct zyg_helper h[2];
    static const char *const rights[] = {"CapInh", "CapPrm", "CapEff",
                                         "CapAmb"};
    int fds[2];
    char path[64], line[4096] = "";
    process_make_folder(&f);
    ck_assert_int_eq(chmod(f.path, 0755), 0);
    process_write_file(&f, "secret", "x");
    process_write_file(&f, "opens_a_file.py",
                       "import os\n"
                       "f = open(os.path.dirname(__file__) + '/secret')\n");
    const char *const args[] = {
        "--spares", "0", "--path", f.path, "--preload", "opens_a_file", NULL};
    if (!zyg_restart(&z, _i, args)) {
        process_remove_folder(&f);
        return;
    }
    for (int i = 0; i < 2; i++) {
        ask_spawn((uint64_t)i + 1, i == 0 ? "fork" : "exec");
        zyg_expect(&z, CTL_spawned, &m);
        zyg_take_helper(&m, &h[i]);
        ck_assert_int_eq(zyg_frame(&h[i], NULL), WIRE_HELLO);
        fds[i] = process_count_fds(h[i].pid, "");
        for (size_t j = 0; j < sizeof rights / sizeof rights[0]; j++)
            ck_assert_uint_eq(process_status(h[i].pid, rights[j], 16), 0);
    }
    if (geteuid() == 0) {
        ck_assert_int_eq(fds[0], fds[1]);
        for (int fd = 3; fd < 20; fd++) {
            snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)h[1].pid, fd);
            if (access(path, F_OK) == 0 || readlink(path, line, 1) > 0)
                ck_assert_int_eq(process_is_cloexec(h[1].pid, fd), 1);
        }
    }
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)h[1].pid);
    FILE *file = fopen(path, "re");
    size_t n = file != NULL ? fread(line, 1, sizeof line - 1, file) : 0;
    ck_assert_uint_gt(n, 0);
    fclose(file);
    ck_assert_str_eq(line + strlen(line) + 1, "helper");
    ck_assert_uint_eq(process_status(h[1].pid, "PPid", 10), (unsigned)z.pid);
    ck_assert_uint_eq(process_status(h[1].pid, "Seccomp", 10), 2);
    kill(z.pid, SIGKILL); /* it dies with the zygote, as any */
    (void)zyg_wait(&z);
    ck_assert_int_eq(process_wait_gone(h[1].pid, 10000), 1);
    zyg_helper_close(&h[0]);
    zyg_helper_close(&h[1]);
    set_up();
    process_remove_folder(&f);
}
END_TEST

/* 0: there is none. */
static pid_t
keeper_of(const struct zyg_helper *h)
{
    char path[64], target[64], other[64];
    ssize_t n;
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)h->pid);
    n = readlink(path, target, sizeof target - 1);
    for (pid_t pid = z.pid; n > 0 && pid < h->pid; pid++) {
        snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
        if (readlink(path, other, sizeof other) == n &&
            memcmp(other, target, (size_t)n) == 0)
            return pid == z.pid ? 0 : pid;
    }
    return 0;
}

/* Ask for a helper, and find who keeps its namespace; 0: it has none. */
static pid_t
take_kept(const char *how, struct zyg_helper *h)
{
    struct zyg_message m;
    ask_spawn(1, how);
    zyg_expect(&z, CTL_spawned, &m);
    unsigned layers = zyg_layers(&m, "layers");
    zyg_take_helper(&m, h);
    ck_assert_int_eq(zyg_frame(h, NULL), WIRE_HELLO);
    ck_assert_uint_eq(process_status(h->pid, "PPid", 10), (unsigned)z.pid);
    pid_t keeper = keeper_of(h);
    ck_assert_int_eq(keeper != 0, (layers & LAYER_PIDS) != 0);
    if (keeper == 0)
        puts("skipped: no namespaces of process ids here");
    return keeper;
}

/* It closes what it has once it has been looked at. */
static void
wait_shut(pid_t keeper)
{
    for (long end = process_now_ms() + ZYG_WAIT_MS;
         geteuid() == 0 && process_count_fds(keeper, "") != 0;) {
        ck_assert_msg(process_now_ms() < end, "it keeps something open");
        process_sleep_ms(5);
    }
}

static const char *const ways[] = {"fork", "exec"};
enum { WAYS = sizeof ways / sizeof ways[0] };

/* Numbers are those of outside; the keeper's death is that of the helper; then
 * there is another; and none outlives the zygote. */
START_TEST(a_namespace_of_process_ids_is_kept)
{
    struct zyg_message m;
    struct zyg_helper h;
    const char *how = ways[_i % WAYS];
    if (!begin_as(_i / WAYS))
        return;
    pid_t keeper = take_kept(how, &h);
    if (keeper == 0)
        return;
    wait_shut(keeper);
    kill(keeper, SIGKILL);
    zyg_expect(&z, CTL_exited, &m);
    ck_assert_uint_eq(zyg_uint(&m, "signal"), SIGKILL);
    zyg_message_free(&m);
    zyg_helper_close(&h);
    ck_assert_int_eq(process_wait_gone(keeper, 10000), 1);
    zyg_send_spawn(&z, 9, 0); /* it has heard of it by then */
    zyg_expect(&z, CTL_spawned, &m);
    zyg_message_free(&m); /* that closes its socket */
    zyg_expect(&z, CTL_exited, &m);
    zyg_message_free(&m);
    keeper = take_kept(how, &h);
    wait_shut(keeper);
    kill(z.pid, SIGKILL);
    (void)zyg_wait(&z);
    ck_assert_int_eq(process_wait_gone(keeper, 10000), 1);
    ck_assert_int_eq(process_wait_gone(h.pid, 10000), 1);
    zyg_helper_close(&h);
    set_up(); /* for the end */
}
END_TEST

/* Threads that what the runtime preloads has started are not in its helpers. */
START_TEST(a_zygote_may_have_threads)
{
    struct process_folder f;
    struct zyg_helper h;
    process_make_folder(&f);
    ck_assert_int_eq(chmod(f.path, 0755), 0);
    process_write_file(
        &f, "starts_a_thread.py",
        "import threading\n"
        "e = threading.Event()\n"
        "threading.Thread(target=e.wait, daemon=True).start()\n");
    const char *const args[] = {"--spares", "0",         "--path",
                                f.path,     "--preload", "starts_a_thread",
                                NULL};
    if (zyg_restart(&z, _i, args)) {
        ck_assert_uint_eq(process_status(z.pid, "Threads", 10), 2);
        (void)take_kept("fork", &h);
        ck_assert_uint_eq(process_status(h.pid, "Threads", 10), 1);
        zyg_helper_close(&h);
        ck_assert_int_eq(process_wait_gone(h.pid, ZYG_WAIT_MS), 1);
    }
    process_remove_folder(&f);
}
END_TEST

/* Forked by way of another process or not, that is not among its children. */
START_TEST(forks_leave_nobody_behind)
{
    struct zyg_helper h[3];
    pid_t pids[8];
    if (!begin_as(_i))
        return;
    for (int i = 0; i < 3; i++)
        (void)take_kept("fork", &h[i]);
    ck_assert_uint_eq(process_children(z.pid, pids, 8), 3);
    for (int i = 0; i < 3; i++)
        zyg_bury(&z, &h[i]);
    zyg_wait_children(&z, 0);
}
END_TEST

Suite *make_zygote_pids_suite(void);

Suite *
make_zygote_pids_suite(void)
{
    const TTest *const tests[] = {forks_leave_nobody_behind,
                                  a_zygote_may_have_threads, begins_anew};
    Suite *s = suite_create("zygote_pids");
    TCase *c = tcase_create("zygote_pids");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_loop_test(c, tests[i], 0, ZYG_USERS);
    tcase_add_loop_test(c, a_namespace_of_process_ids_is_kept, 0,
                        ZYG_USERS * WAYS);
    suite_add_tcase(s, c);
    return s;
}
