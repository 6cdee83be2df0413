/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote.c - a real zygote's start, greeting and end. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handoff.h"
#include "support_process.h"
#include "support_zygote.h"
#include "wire.h"

static void
expect_exit(struct zyg *z, int status)
{
    int got = zyg_wait(z);
    ck_assert(WIFEXITED(got));
    ck_assert_int_eq(WEXITSTATUS(got), status);
}

/* ---- start -------------------------------------------------------------- */

START_TEST(says_ready_then_hello)
{
    const char *const args[] = {"--name",    "n-1",  "--spares", "0",
                                "--preload", "json", NULL};
    struct zyg z;
    struct zyg_message m;
    const char *p;
    size_t n;
    zyg_start(&z, args, NULL);
    zyg_expect(&z, CTL_ready, &m);
    zyg_message_free(&m);
    zyg_send_hello(&z, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT, 0);
    zyg_expect(&z, CTL_hello, &m);
    ck_assert_uint_eq(zyg_uint(&m, "version"), WIRE_LIMIT_VERSION);
    ck_assert_uint_eq(zyg_uint(&m, "fingerprint"), WIRE_FINGERPRINT);
    ck_assert_uint_eq(zyg_uint(&m, "pid"), (uint64_t)z.pid);
    ck_assert_uint_eq(zyg_uint(&m, "threads"), 1);
    ck_assert(zyg_has(&m, "name", "n-1"));
    ck_assert(zyg_has(&m, "python", "3."));
    ck_assert(zyg_has(&m, "executable", "python"));
    ck_assert_uint_eq(ctl_list_len(&m.map, "preload"), 1);
    /* argv is complete and starts the same again */
    ck_assert_uint_eq(ctl_list_len(&m.map, "argv"), 10);
    ck_assert(ctl_list_bytes(&m.map, "argv", 0, &p, &n));
    char *program = strndup(p, n);
    ck_assert_int_eq(program[0], '/');
    ck_assert_int_eq(access(program, X_OK), 0);
    free(program);
    ck_assert(ctl_list_bytes(&m.map, "argv", 9, &p, &n));
    ck_assert(n == 4 && memcmp(p, "json", 4) == 0);
    zyg_message_free(&m);
    zyg_close(&z);
}
END_TEST

static void
check_mismatch(uint64_t version, uint64_t fingerprint, const char *word)
{
    struct zyg z;
    struct zyg_message m;
    zyg_start(&z, NULL, NULL);
    zyg_expect(&z, CTL_ready, &m);
    zyg_message_free(&m);
    zyg_send_hello(&z, version, fingerprint, 0);
    zyg_expect(&z, CTL_failed, &m);
    ck_assert(zyg_has(&m, "reason", "wire version 1 ("));
    ck_assert(zyg_has(&m, "reason", word));
    zyg_message_free(&m);
    expect_exit(&z, HANDOFF_EXIT_PROTOCOL);
}

/* Started as root by a launcher, with a VM that is not. */
START_TEST(refuses_a_vm_that_can_not_signal)
{
    struct zyg z;
    struct zyg_message m;
    int ends[2], status;
    char c;
    if (geteuid() != 0) {
        puts("skipped: needs root");
        return;
    }
    ck_assert_int_eq(pipe(ends), 0);
    pid_t vm = fork();
    if (vm == 0) {
        close(ends[0]);
        if (setresgid(65534, 65534, 65534) != 0 ||
            setresuid(65534, 65534, 65534) != 0 || write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &c, 1), 1);
    close(ends[0]);
    zyg_start(&z, NULL, NULL);
    zyg_expect(&z, CTL_ready, &m);
    zyg_message_free(&m);
    zyg_send_hello(&z, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT, (uint64_t)vm);
    zyg_expect(&z, CTL_failed, &m);
    ck_assert(zyg_has(&m, "reason", "another user"));
    zyg_message_free(&m);
    ck_assert_int_eq(WEXITSTATUS(zyg_wait(&z)), HANDOFF_EXIT_PROTOCOL);
    close(z.control);
    kill(vm, SIGKILL);
    ck_assert_int_eq(waitpid(vm, &status, 0), vm);
}
END_TEST

/* The socket is a launcher's that was root; who speaks is not.  What process it
 * is can not be known of every one. */
START_TEST(refuses_a_vm_of_another_user)
{
    struct zyg z;
    struct zyg_message m;
    int status;
    if (geteuid() != 0) {
        puts("skipped: needs root");
        return;
    }
    zyg_start(&z, NULL, NULL);
    zyg_expect(&z, CTL_ready, &m);
    zyg_message_free(&m);
    pid_t vm = fork();
    ck_assert_int_ge(vm, 0);
    if (vm == 0) {
        if (setresgid(65534, 65534, 65534) != 0 ||
            setresuid(65534, 65534, 65534) != 0)
            _exit(1);
        zyg_send_hello(&z, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT, 0);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(vm, &status, 0), vm);
    ck_assert_int_eq(status, 0);
    zyg_expect(&z, CTL_failed, &m);
    ck_assert(zyg_has(&m, "reason", "user 0's"));
    ck_assert(zyg_has(&m, "reason", "user 65534's"));
    zyg_message_free(&m);
    ck_assert_int_eq(WEXITSTATUS(zyg_wait(&z)), HANDOFF_EXIT_PROTOCOL);
    close(z.control);
}
END_TEST

START_TEST(refuses_another_version)
{
    check_mismatch(77, WIRE_FINGERPRINT, ", 77 (");
}
END_TEST

START_TEST(refuses_another_fingerprint)
{
    check_mismatch(WIRE_LIMIT_VERSION, 0xdecade, "(00decade)");
}
END_TEST

START_TEST(refuses_to_spawn_before_hello)
{
    struct zyg z;
    struct zyg_message m;
    zyg_start(&z, NULL, NULL);
    zyg_expect(&z, CTL_ready, &m);
    zyg_message_free(&m);
    zyg_send_spawn(&z, 5, 0);
    zyg_expect(&z, CTL_spawn_failed, &m);
    ck_assert_uint_eq(zyg_uint(&m, "id"), 5);
    ck_assert(zyg_has(&m, "reason", "hello"));
    zyg_message_free(&m);
    zyg_close(&z);
}
END_TEST

START_TEST(names_a_module_it_cannot_import)
{
    const char *const args[] = {"--preload", "no_such_module", NULL};
    struct zyg z;
    struct zyg_message m;
    zyg_start(&z, args, NULL);
    zyg_expect(&z, CTL_failed, &m);
    ck_assert(zyg_has(&m, "reason", "no_such_module"));
    zyg_message_free(&m);
    expect_exit(&z, HANDOFF_EXIT_INIT);
}
END_TEST

/* Of which it tells; deaths and orders to end are not theirs to take. */
START_TEST(warns_of_threads)
{
    enum { HELPERS = 20 };
    struct zyg_helper h;
    struct process_folder folder = {""};
    const char *args[] = {"--path", folder.path, "--preload", "has_thread",
                          NULL};
    struct zyg z;
    struct zyg_message m;
    process_make_folder(&folder);
    process_write_file(&folder, "has_thread.py",
                       "import threading, time\n"
                       "threading.Thread(target=time.sleep, args=(60,),"
                       " daemon=True).start()\n");
    zyg_start(&z, args, NULL);
    zyg_expect(&z, CTL_log, &m);
    ck_assert(zyg_has(&m, "level", "warning"));
    ck_assert(zyg_has(&m, "text", "started 1 thread"));
    zyg_message_free(&m);
    zyg_expect(&z, CTL_ready, &m);
    zyg_message_free(&m);
    zyg_send_hello(&z, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT, 0);
    zyg_expect(&z, CTL_hello, &m);
    ck_assert_uint_eq(zyg_uint(&m, "threads"), 2);
    zyg_message_free(&m);
    for (int i = 0; i < HELPERS; i++) {
        zyg_spawn(&z, (uint64_t)i, &h);
        ck_assert_int_eq(kill(h.pid, SIGKILL), 0);
        zyg_expect(&z, CTL_exited, &m);
        ck_assert_uint_eq(zyg_uint(&m, "id"), (uint64_t)i);
        zyg_message_free(&m);
        zyg_helper_close(&h);
    }
    ck_assert_int_eq(kill(z.pid, SIGTERM), 0);
    expect_exit(&z, 0);
    process_remove_folder(&folder);
}
END_TEST

static const char *const bad_usage[][3] = {
    {"--no-such-option", NULL},  {"--spares", "many", NULL},
    {"--spares", "1000", NULL},  {"--spares", NULL},
    {"surplus", NULL},           {"--control", "2", NULL},
    {"--control", "9999", NULL},
};

START_TEST(explains_bad_usage)
{
    const char *const *args = bad_usage[_i];
    struct zyg z;
    struct zyg_message m;
    zyg_start(&z, args, NULL);
    if (args[1] == NULL || strcmp(args[1], "9999") != 0) {
        zyg_expect(&z, CTL_failed, &m);
        ck_assert(zyg_has(&m, "reason", args[0]));
        zyg_message_free(&m);
    }
    expect_exit(&z, HANDOFF_EXIT_USAGE);
}
END_TEST

/* ---- what it inherits --------------------------------------------------- */

static void
inherit_badly(void)
{
    sigset_t term;
    signal(SIGCHLD, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_SETMASK, &term, NULL);
    dup2(STDERR_FILENO, 57); /* not close-on-exec */
}

START_TEST(undoes_what_it_inherited)
{
    struct zyg z;
    struct zyg_message m;
    zyg_start(&z, NULL, inherit_badly);
    zyg_expect(&z, CTL_ready, &m);
    zyg_message_free(&m);
    unsigned long long ignored = process_status(z.pid, "SigIgn", 16);
    ck_assert_uint_eq(ignored & (1ull << (SIGCHLD - 1)), 0);
    ck_assert_uint_eq(ignored & (1ull << (SIGUSR1 - 1)), 0);
    ck_assert_uint_ne(ignored & (1ull << (SIGINT - 1)), 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/57", (int)z.pid);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(process_count_fds(z.pid, "/dev/null"), 1);
    ck_assert_int_eq(getsid(z.pid), z.pid);
    kill(z.pid, SIGTERM);
    expect_exit(&z, HANDOFF_EXIT_OK);
}
END_TEST

START_TEST(survives_sigint)
{
    struct zyg z;
    zyg_open(&z, NULL);
    kill(z.pid, SIGINT);
    kill(z.pid, SIGPIPE);
    zyg_wait_children(&z, 2); /* it still keeps its spares */
    zyg_close(&z);
}
END_TEST

/* ---- end ---------------------------------------------------------------- */

static void
by_eof(struct zyg *z)
{
    io_close(&z->control);
}

static void
by_sigterm(struct zyg *z)
{
    kill(z->pid, SIGTERM);
}

static void
by_message(struct zyg *z)
{
    zyg_send_type(z, CTL_shutdown);
}

static void
by_sigkill(struct zyg *z)
{
    kill(z->pid, SIGKILL);
}

static void (*const endings[])(struct zyg *) = {by_eof, by_sigterm, by_message,
                                                by_sigkill};

/* Two helpers in use, one of them busy, two spares: none is left. */
START_TEST(takes_its_helpers_with_it)
{
    struct zyg z;
    struct zyg_helper a, b;
    pid_t pids[8];
    zyg_open(&z, NULL);
    zyg_spawn(&z, 1, &a);
    zyg_spawn(&z, 2, &b);
    zyg_exec(&b, 1, "while True: pass");
    zyg_wait_children(&z, 4);
    ck_assert_uint_eq(process_children(z.pid, pids, 8), 4);
    endings[_i](&z);
    int status = zyg_wait(&z);
    if (endings[_i] == by_sigkill)
        ck_assert(WIFSIGNALED(status));
    else
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int i = 0; i < 4; i++)
        ck_assert_msg(process_wait_gone(pids[i], 1000), "a helper is left");
    zyg_helper_close(&a);
    zyg_helper_close(&b);
}
END_TEST

/* Somebody else holds the control socket too: the pidfd tells. */
START_TEST(ends_with_the_vm_it_was_told_of)
{
    struct zyg z;
    struct zyg_message m;
    pid_t vm = fork();
    ck_assert_int_ge(vm, 0);
    if (vm == 0) {
        pause();
        _exit(0);
    }
    zyg_open(&z, NULL);
    zyg_send_hello(&z, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT, (uint64_t)vm);
    zyg_expect(&z, CTL_hello, &m);
    zyg_message_free(&m);
    kill(vm, SIGKILL);
    waitpid(vm, NULL, 0);
    expect_exit(&z, HANDOFF_EXIT_OK);
}
END_TEST

/* Numbers that are not our VM's: its own, a helper's, nobody's. */
START_TEST(does_not_believe_any_pid)
{
    struct zyg z;
    struct zyg_helper h;
    struct zyg_message m;
    /* Spares come and go with pidfds of their own. */
    const char *const args[] = {"--spares", "0", NULL};
    zyg_open(&z, args);
    zyg_spawn(&z, 1, &h);
    const uint64_t pids[] = {(uint64_t)z.pid, 4000000000u, UINT64_MAX};
    for (size_t i = 0; i < sizeof pids / sizeof pids[0]; i++) {
        int before = process_count_fds(z.pid, "anon_inode:[pidfd]");
        zyg_send_hello(&z, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT, pids[i]);
        zyg_expect(&z, CTL_hello, &m);
        zyg_message_free(&m);
        ck_assert_int_eq(process_count_fds(z.pid, "anon_inode:[pidfd]"),
                         before);
    }
    zyg_helper_close(&h);
    zyg_close(&z);
}
END_TEST

Suite *make_zygote_suite(void);

Suite *
make_zygote_suite(void)
{
    Suite *s = suite_create("zygote");
    TCase *start = tcase_create("start");
    tcase_add_test(start, says_ready_then_hello);
    tcase_add_test(start, refuses_another_version);
    tcase_add_test(start, refuses_a_vm_that_can_not_signal);
    tcase_add_test(start, refuses_a_vm_of_another_user);
    tcase_add_test(start, refuses_another_fingerprint);
    tcase_add_test(start, refuses_to_spawn_before_hello);
    tcase_add_test(start, names_a_module_it_cannot_import);
    tcase_add_test(start, warns_of_threads);
    tcase_add_loop_test(start, explains_bad_usage, 0,
                        sizeof bad_usage / sizeof bad_usage[0]);
    tcase_add_test(start, undoes_what_it_inherited);
    tcase_add_test(start, survives_sigint);
    suite_add_tcase(s, start);
    TCase *end = tcase_create("end");
    tcase_add_loop_test(end, takes_its_helpers_with_it, 0,
                        sizeof endings / sizeof endings[0]);
    tcase_add_test(end, ends_with_the_vm_it_was_told_of);
    tcase_add_test(end, does_not_believe_any_pid);
    suite_add_tcase(s, end);
    return s;
}
