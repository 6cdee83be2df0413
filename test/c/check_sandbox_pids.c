/* SPDX-License-Identifier: Apache-2.0 */
/* check_sandbox_pids.c - namespaces of process ids: who is born in one, what it
 * sees, how it ends, and that we are where we were.  Skipped, with a word,
 * where none can be had. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "profile.h"
#include "self.h"
#include "support_check.h"
#include "support_process.h"

static char *readable[] = {"/usr", "/lib", "/lib64", "/etc/alternatives", NULL};
static const struct args_list needed = {.v = readable, .count = 4};
static const struct policy plain = {.level = LEVEL_DEFAULT};
static char why[400];
static struct cell cell;

static int
has_pids(void)
{
    if (cell_make(&cell, &plain, &needed, why, sizeof why) == 0 &&
        cell.pids >= 0)
        return 1;
    puts("skipped: no namespaces of process ids here");
    cell_free(&cell);
    return 0;
}

static pid_t tester; /* this process */

static int
is_hidden(void)
{
    return kill(tester, 0) != 0 && errno == ESRCH ? 0 : 1;
}
static int
is_not_the_first(void)
{
    return getpid() > 1 && getppid() == 0 ? 0 : 1;
}
static int
knows_its_number_outside(void)
{
    return self_outer_pid(-1) > 0 && self_outer_pid(-1) != getpid() &&
                   kill(self_outer_pid(-1), 0) != 0
               ? 0
               : 1;
}
static int
abort_now(void)
{
    abort();
}
/* As the kernel ends what a forked process of a helper leaves. */
static int
leave_an_orphan(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(fork() >= 0 ? 0 : 1);
    return child > 0 && waitpid(child, NULL, 0) == child ? 0 : 1;
}

/* The wait status of a child that is born in the cell. */
static int
inside(int (*attempt)(void))
{
    int status;
    ck_ok(cell_fork_begin(&cell));
    pid_t child = fork();
    if (child != 0)
        ck_ok(cell_fork_end(&cell));
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(attempt());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

START_TEST(children_are_born_in_it)
{
    int status;
    tester = getpid();
    if (!has_pids())
        return;
    ck_assert_int_eq(inside(is_hidden), 0);
    ck_assert_int_eq(inside(is_not_the_first), 0);
    ck_assert_int_eq(inside(knows_its_number_outside), 0);
    ck_assert_int_eq(inside(leave_an_orphan), 0);
    status = inside(abort_now);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    pid_t child = fork(); /* and this one where we are */
    if (child == 0)
        _exit(getppid() == tester && is_hidden() ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    cell_free(&cell);
}
END_TEST

/* Whoever is in it ends with its first process; then nobody can be born. */
START_TEST(ends_as_a_whole)
{
    int status;
    if (!has_pids())
        return;
    ck_ok(cell_fork_begin(&cell));
    pid_t child = fork();
    while (child == 0)
        pause();
    ck_ok(cell_fork_end(&cell));
    /* It closes what it has after it has said that it is there. */
    for (int i = 0; process_count_fds(cell.first, "") != 0; i++) {
        ck_assert_int_lt(i, 10000);
        process_sleep_ms(1);
    }
    kill(cell.first, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_int_eq(process_wait_gone(cell.first, 10000), 1);
    ck_ok(cell_fork_begin(&cell));
    ck_assert_int_eq(fork(), -1);
    ck_assert_int_eq(errno, ENOMEM);
    ck_ok(cell_fork_end(&cell));
    int before = open_descriptors();
    cell_free(&cell);
    ck_assert_int_lt(open_descriptors(), before);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* none is left */
}
END_TEST

START_TEST(can_be_left_out)
{
    struct policy p = {.level = LEVEL_DEFAULT, .without = LAYER_PIDS};
    if (!has_pids())
        return;
    cell_free(&cell);
    ck_ok(cell_make(&cell, &p, &needed, why, sizeof why));
    ck_assert_int_eq(cell.pids, -1);
    ck_assert_int_eq(cell.first, 0);
    cell_free(&cell);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

/* A profile that is put on elsewhere has no such layer, and fails. */
START_TEST(is_proved)
{
    struct profile_host host = {.readable = needed, .prefix = "/usr"};
    struct profile p;
    struct ctl_out out;
    struct ctl_in in;
    struct ctl_map m;
    unsigned missing;
    int status;
    if (!has_pids())
        return;
    cell_free(&cell);
    ctl_begin(&out);
    ctl_put_str(&out, "level", "default");
    ck_ok(ctl_end(&out));
    ck_ok(ctl_open(&in, out.bytes.data, out.bytes.len, &m));
    ck_ok(profile_make(&p, &m, &host, &missing, why, sizeof why));
    ctl_close(&in);
    ctl_free(&out);
    ck_assert(p.layers & LAYER_PIDS);
    pid_t child = fork();
    if (child == 0)
        _exit(profile_apply(&p, why, sizeof why) != 0 &&
                      strstr(why, "process ids") != NULL
                  ? 0
                  : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    profile_free(&p);
}
END_TEST

Suite *make_sandbox_pids_suite(void);

Suite *
make_sandbox_pids_suite(void)
{
    const TTest *const tests[] = {children_are_born_in_it, ends_as_a_whole,
                                  can_be_left_out, is_proved};
    Suite *s = suite_create("sandbox_pids");
    TCase *c = tcase_create("sandbox_pids");
    tcase_set_timeout(c, 60);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(s, c);
    return s;
}
