/* SPDX-License-Identifier: Apache-2.0 */
/* check_sandbox_pids.c - namespaces of process ids: who is born in one, what it
 * sees, how it ends, and that we are where we were; by whoever runs this, and
 * if that is root by another user, too.  Skipped, with a word, where none can
 * be had. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "profile.h"
#include "self.h"
#include "support_check.h"
#include "support_process.h"

static char *readable[] = {"/usr", "/lib", "/lib64", "/etc/alternatives", NULL};
static const struct args_list needed = {.v = readable, .count = 4};
static const struct policy plain = {.level = LEVEL_DEFAULT};
static char why[400];
static struct cell cell;

/* Run by whom: tests are looped over these. */
enum { AS_WE_ARE, AS_NOBODY, USERS };

static int
has_pids(int user)
{
    if (user == AS_NOBODY && !process_become_nobody())
        return 0;
    if (cell_make(&cell, &plain, &needed, why, sizeof why) == 0 &&
        cell.pids >= 0)
        return 1;
    puts("skipped: no namespaces of process ids here");
    cell_free(&cell);
    return 0;
}

static pid_t tester; /* this process */
static int had_open; /* descriptors */

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
has_no_more_open(void)
{
    return open_descriptors() == had_open ? 0 : 1;
}
/* It is where it was born, and the rest can be joined, but not again. */
static int
joins_the_rest(void)
{
    return cell_join(&cell) == 0 && access("/proc", F_OK) != 0 &&
                   access("/usr", F_OK) == 0
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

static pid_t
fork_inside(void)
{
    int lost;
    pid_t child = cell_fork(&cell, &lost);
    ck_assert(child >= 0 && !lost);
    return child;
}

/* The wait status of a child that is born in the cell. */
static int
inside(int (*attempt)(void))
{
    int status;
    pid_t child = fork_inside();
    if (child == 0)
        _exit(attempt());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

/* Nobody sees what it has open; root sees that it is nothing. */
static int
is_shut_away(pid_t first)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)first);
    if (geteuid() == 0)
        return process_count_fds(first, "") == 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int is = fd < 0 && errno == EACCES;
    io_close(&fd);
    return is;
}

START_TEST(children_are_born_in_it)
{
    int status;
    tester = getpid();
    if (!has_pids(_i))
        return;
    had_open = open_descriptors();
    ck_assert_int_eq(inside(is_hidden), 0);
    ck_assert_int_eq(inside(is_not_the_first), 0);
    ck_assert_int_eq(inside(knows_its_number_outside), 0);
    ck_assert_int_eq(inside(has_no_more_open), 0);
    ck_assert_int_eq(inside(joins_the_rest), 0);
    ck_assert_int_eq(inside(leave_an_orphan), 0);
    status = inside(abort_now);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    pid_t child = fork(); /* and this one where we are */
    if (child == 0)
        _exit(getppid() == tester && is_hidden() ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(open_descriptors(), had_open);
    cell_free(&cell);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left */
}
END_TEST

/* Whoever is in it ends with its first process; then nobody can be born. */
START_TEST(ends_as_a_whole)
{
    int status, lost;
    if (!has_pids(_i))
        return;
    pid_t child = fork_inside();
    while (child == 0)
        pause();
    /* It closes what it has after it has said that it is there. */
    for (int i = 0; !is_shut_away(cell.first); i++) {
        ck_assert_int_lt(i, 10000);
        process_sleep_ms(1);
    }
    kill(cell.first, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_int_eq(process_wait_gone(cell.first, 10000), 1);
    ck_assert_int_eq(cell_fork(&cell, &lost), -1);
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_int_eq(lost, 0);
    int before = open_descriptors();
    cell_free(&cell);
    ck_assert_int_lt(open_descriptors(), before);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* none is left */
}
END_TEST

/* Who keeps it dies with us, and so does who lives there. */
START_TEST(ends_with_us)
{
    int pids[2] = {0, 0}, ends[2], status;
    ck_assert_int_eq(pipe(ends), 0);
    pid_t maker = fork();
    if (maker == 0) {
        if (has_pids(_i)) {
            pids[0] = cell.first;
            pids[1] = fork_inside();
        }
        while (pids[1] == 0 && pids[0] != 0)
            pause();
        _exit(write(ends[1], pids, sizeof pids) == sizeof pids ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(maker, &status, 0), maker);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(read(ends[0], pids, sizeof pids), sizeof pids);
    for (int i = 0; i < 2; i++)
        if (pids[i] != 0)
            ck_assert_int_eq(process_wait_gone(pids[i], 10000), 1);
}
END_TEST

/* Where it can not be entered, nobody is born and nothing is left. */
START_TEST(says_why_nobody_is_born)
{
    int lost;
    if (!has_pids(_i))
        return;
    int before = open_descriptors(), good = cell.pids;
    cell.pids = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(cell_fork(&cell, &lost), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(lost, 0);
    ck_assert_int_eq(cell_fork_works(&cell), 0);
    ck_assert_int_eq(errno, EINVAL);
    close(cell.pids);
    cell.pids = good;
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert_int_eq(cell_fork_works(&cell), 1);
    cell_free(&cell);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

START_TEST(can_be_left_out)
{
    struct policy p = {.level = LEVEL_DEFAULT, .without = LAYER_PIDS};
    if (!has_pids(_i))
        return;
    cell_free(&cell);
    ck_ok(cell_make(&cell, &p, &needed, why, sizeof why));
    ck_assert_str_eq(why, "");
    ck_assert_int_eq(cell.pids, -1);
    ck_assert_int_eq(cell.first, 0);
    cell_free(&cell);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

/* At `default', with this layer required, or (NULL) none. */
static int
make_profile(struct profile *p, const char *required, unsigned *missing)
{
    static struct profile_host host = {.readable = {.v = readable, .count = 4},
                                       .prefix = "/usr"};
    char *list = (char *)required;
    struct ctl_out out;
    struct ctl_in in;
    struct ctl_map m;
    ctl_begin(&out);
    ctl_put_str(&out, "level", "default");
    if (required != NULL)
        ctl_put_strs(&out, "require", &list, 1);
    ck_ok(ctl_end(&out));
    ck_ok(ctl_open(&in, out.bytes.data, out.bytes.len, &m));
    int e = profile_make(p, &m, &host, missing, why, sizeof why);
    ctl_close(&in);
    ctl_free(&out);
    return e;
}

/* A profile that is put on elsewhere has no such layer, and fails. */
START_TEST(is_proved)
{
    struct profile p;
    unsigned missing;
    int status;
    if (!has_pids(_i))
        return;
    cell_free(&cell);
    ck_ok(make_profile(&p, "pid_namespace", &missing));
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

/* ---- poorer hosts -------------------------------------------------------- */

static int
put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int e = fd < 0 ? E_SYS : io_write_all(fd, text, strlen(text));
    io_close(&fd);
    return e;
}

/* A host, for this process, that gives no namespaces of this kind to anyone:
 * such limits are a user namespace's. */
static int
forbid(const char *kind)
{
    char map[64], path[64];
    (void)process_become_nobody();
    unsigned uid = geteuid(), gid = getegid();
    if (unshare(CLONE_NEWUSER) != 0)
        return 0;
    ck_ok(put("/proc/self/setgroups", "deny"));
    snprintf(map, sizeof map, "%u %u 1", uid, uid);
    ck_ok(put("/proc/self/uid_map", map));
    snprintf(map, sizeof map, "%u %u 1", gid, gid);
    ck_ok(put("/proc/self/gid_map", map));
    snprintf(path, sizeof path, "/proc/sys/user/max_%s_namespaces", kind);
    return put(path, "0") == 0;
}

START_TEST(is_missing_where_it_is_forbidden)
{
    static const struct {
        const char *kind;
        unsigned layers; /* of those that are asked about */
        const char *reason;
    } hosts[] = {{"pid", LAYER_NAMESPACES, "(process ids: "},
                 {"user", 0, "(namespaces: "}};
    const unsigned both = LAYER_NAMESPACES | LAYER_PIDS;
    struct profile p;
    unsigned missing;
    int before = open_descriptors();
    if (!forbid(hosts[_i].kind)) {
        puts("skipped: no user namespaces here");
        return;
    }
    ck_ok(make_profile(&p, NULL, &missing));
    ck_assert_uint_eq(p.layers & both, hosts[_i].layers);
    profile_free(&p);
    ck_err(make_profile(&p, "pid_namespace", &missing), E_REFUSED);
    ck_assert_uint_eq(missing, LAYER_PIDS);
    ck_assert_ptr_nonnull(strstr(why, "pid_namespace"));
    ck_assert_msg(strstr(why, hosts[_i].reason) != NULL, "%s", why);
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

/* Root, but of a user namespace only: our namespace of process ids is not its.
 */
static int
become_inner_root(void)
{
    char map[64];
    unsigned uid = geteuid(), gid = getegid();
    if (unshare(CLONE_NEWUSER) != 0)
        return 0;
    ck_ok(put("/proc/self/setgroups", "deny"));
    snprintf(map, sizeof map, "0 %u 1", uid);
    ck_ok(put("/proc/self/uid_map", map));
    snprintf(map, sizeof map, "0 %u 1", gid);
    ck_ok(put("/proc/self/gid_map", map));
    return 1;
}

START_TEST(is_not_had_where_there_is_no_way_back)
{
    int status;
    if (!become_inner_root()) {
        puts("skipped: no user namespaces here");
        return;
    }
    ck_assert_uint_eq(geteuid(), 0);
    (void)cell_make(&cell, &plain, &needed, why, sizeof why);
    ck_assert_int_eq(cell.pids, -1);
    ck_assert_int_eq(cell.own_pids, -1);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    cell_free(&cell);
}
END_TEST

Suite *make_sandbox_pids_suite(void);

Suite *
make_sandbox_pids_suite(void)
{
    const TTest *const tests[] = {children_are_born_in_it,
                                  ends_as_a_whole,
                                  ends_with_us,
                                  says_why_nobody_is_born,
                                  can_be_left_out,
                                  is_proved,
                                  is_not_had_where_there_is_no_way_back};
    Suite *s = suite_create("sandbox_pids");
    TCase *c = tcase_create("sandbox_pids");
    tcase_set_timeout(c, 60);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_loop_test(c, tests[i], 0, USERS);
    tcase_add_loop_test(c, is_missing_where_it_is_forbidden, 0, 2);
    suite_add_tcase(s, c);
    return s;
}
