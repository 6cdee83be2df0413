/* SPDX-License-Identifier: Apache-2.0 */
/* check_sandbox_cgroup.c - control groups: where they are looked for and what
 * is written to them, in a folder that looks like a kernel's; and what they do,
 * in this host's own, if it has any. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "support_check.h"
#include "support_groups.h"
#include "support_process.h"

static struct process_folder root;
static struct cgroup_host host;
static char why[200];

/* ---- a folder in place of a kernel's ------------------------------------- */

static const char *const files[2][12] = {
    {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes",
     "memory.oom_control", "memory.max_usage_in_bytes", "memory.usage_in_bytes",
     "memory.failcnt", "memory.memsw.failcnt", "pids.max", "pids.current",
     "cgroup.procs", "tasks", NULL},
    {"memory.max", "memory.swap.max", "memory.oom.group", "memory.events",
     "memory.current", "pids.max", "pids.current", "cgroup.procs",
     "cgroup.kill", NULL}};
static int version, refuses, is_busy;

static int
make_fake(int at, const char *name)
{
    if (refuses)
        return errno = EROFS, -1;
    if (mkdirat(at, name, 0755) != 0)
        return -1;
    int dir = openat(at, name, O_RDONLY | O_DIRECTORY);
    for (int i = 0; files[version - 1][i] != NULL; i++)
        close(openat(dir, files[version - 1][i], O_CREAT | O_WRONLY, 0644));
    return close(dir);
}

static int
drop_fake(int at, const char *name)
{
    if (is_busy)
        return errno = EBUSY, -1;
    int dir = openat(at, name, O_RDONLY | O_DIRECTORY);
    for (int v = 0; dir >= 0 && v < 2; v++)
        for (int i = 0; files[v][i] != NULL; i++)
            unlinkat(dir, files[v][i], 0);
    if (dir >= 0)
        close(dir);
    return unlinkat(at, name, AT_REMOVEDIR);
}

static const struct cgroup_ways fake_ways = {make_fake, drop_fake};

static void
set_up(void)
{
    process_make_folder(&root);
    cgroup_host_init(&host, root.path);
    host.ways = &fake_ways;
    refuses = is_busy = 0;
}

static void
tear_down(void)
{
    cgroup_host_close(&host);
    process_remove_folder(&root);
}

/* The whole text of a file of the folder; "" if there is none. */
static const char *
text_of(const char *name)
{
    static char text[200];
    char path[300];
    snprintf(path, sizeof path, "%s/%s", root.path, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static const char *
in_group(const char *place, unsigned n, const char *file)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/terrarium.%d.%u/%s", place, (int)getpid(),
             n, file);
    return text_of(path);
}

static const struct policy some = {.level = LEVEL_DEFAULT,
                                   .threads = 1,
                                   .thread_count = 16,
                                   .memory = 100 << 20,
                                   .tmp_bytes = 1 << 20};

static void
version_1(void)
{
    version = 1;
    process_write_file(&root, "proc/self/cgroup",
                       "9:name=systemd:/\n8:pids:/outer/us\n"
                       "4:cpu,memory:/\n0::/\n");
    process_write_file(
        &root, "proc/self/mountinfo",
        "30 1 0:3 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
        "31 1 0:4 / /m rw shared:5 - cgroup cgroup rw,cpu,memory\n"
        "32 1 0:5 /outer /p rw,relatime - cgroup cgroup rw,pids\n"
        "33 1 0:6 / /u rw - cgroup2 cgroup2 rw\n");
    process_write_file(&root, "m/tasks", "");
    process_write_file(&root, "p/us/tasks", "");
    process_write_file(&root, "u/cgroup.procs", "");
}

START_TEST(finds_both_hierarchies_of_version_1)
{
    struct cgroup g;
    struct cgroup_end end;
    version_1();
    ck_assert_int_eq(cgroup_host_probe(&host, why, sizeof why), 0);
    ck_assert_int_eq(host.count, 2);
    ck_ok(cgroup_make(&host, &some, &g));
    ck_assert_str_eq(in_group("m", g.number, "memory.limit_in_bytes"),
                     "139460608");
    ck_assert_str_eq(in_group("m", g.number, "memory.memsw.limit_in_bytes"),
                     "139460608");
    ck_assert_str_eq(in_group("m", g.number, "pids.max"), "");
    ck_assert_str_eq(in_group("p/us", g.number, "pids.max"), "17");
    ck_ok(cgroup_join(&host, &g));
    ck_assert_str_eq(in_group("m", g.number, "tasks"), "0");
    ck_assert_str_eq(in_group("p/us", g.number, "tasks"), "0");
    cgroup_look(&host, &g, &end);
    ck_assert_int_eq(end.was_killed + end.was_full, 0);
    ck_ok(cgroup_remove(&host, &g));
    ck_assert_uint_eq(g.number, 0);
}
END_TEST

static void
version_2(const char *own, const char *gives)
{
    char path[100];
    version = 2;
    snprintf(path, sizeof path, "0::%s\n", own);
    process_write_file(&root, "proc/self/cgroup", path);
    process_write_file(&root, "proc/self/mountinfo",
                       "33 1 0:6 / /c rw - cgroup2 cgroup2 rw\n");
    snprintf(path, sizeof path, "c%s/cgroup.subtree_control", own);
    process_write_file(&root, path, gives);
}

START_TEST(finds_the_one_of_version_2)
{
    struct cgroup g;
    struct cgroup_end end;
    char file[100];
    version_2("/us", "cpu memory pids\n");
    ck_assert_int_eq(cgroup_host_probe(&host, why, sizeof why), 0);
    ck_assert_int_eq(host.count, 1);
    ck_ok(cgroup_make(&host, &some, &g));
    ck_assert_str_eq(in_group("c/us", g.number, "memory.max"), "139460608");
    ck_assert_str_eq(in_group("c/us", g.number, "memory.swap.max"), "0");
    ck_assert_str_eq(in_group("c/us", g.number, "memory.oom.group"), "1");
    ck_assert_str_eq(in_group("c/us", g.number, "pids.max"), "17");
    snprintf(file, sizeof file, "c/us/terrarium.%d.%u/memory.events",
             (int)getpid(), g.number);
    process_write_file(&root, file, "low 0\nmax 7\noom 0\noom_kill 1\n");
    cgroup_look(&host, &g, &end);
    ck_assert_int_eq(end.was_killed, 1); /* the whole host was full */
    ck_assert_int_eq(end.was_full, 0);
    process_write_file(&root, file, "low 0\nmax 7\noom 2\noom_kill 1\n");
    cgroup_look(&host, &g, &end);
    ck_assert_int_eq(end.was_full, 1);
    is_busy = 1;
    ck_err(cgroup_remove(&host, &g), E_AGAIN);
    ck_assert_str_eq(in_group("c/us", g.number, "cgroup.kill"), "1");
    is_busy = 0;
    ck_ok(cgroup_remove(&host, &g));
}
END_TEST

/* What a group says of itself once it is empty, and what of that is spotless.
 */
static const struct {
    const char *file, *spotless, *not ;
} says[2][8] = {
    {{"memory.usage_in_bytes", "2097152", "2097153"},
     {"memory.oom_control", "under_oom 0\noom_kill 0\n", "oom_kill 1\n"},
     {"memory.failcnt", "0", "1"},
     {"memory.memsw.failcnt", "0", "3"},
     {"memory.max_usage_in_bytes", "100000000", "139460608"},
     {"pids.current", "0", "1"}},
    {{"memory.current", "2097152", "2097153"},
     {"memory.events", "max 0\noom 0\noom_kill 0\n",
      "max 1\noom 0\noom_kill 0\n"},
     {"memory.events", "max 0\noom 0\noom_kill 0\n",
      "max 0\noom 1\noom_kill 0\n"},
     {"memory.events", "max 0\noom 0\noom_kill 0\n",
      "max 0\noom 0\noom_kill 2\n"},
     {"pids.current", "0", "2"}}};

static void
say(const struct cgroup *g, const char *file, const char *text)
{
    static const char *const places[] = {"m", "p/us", "c/us"};
    const char *place = version == 2                    ? places[2]
                        : strncmp(file, "pids", 4) == 0 ? places[1]
                                                        : places[0];
    char path[200];
    snprintf(path, sizeof path, "%s/terrarium.%d.%u/%s", place, (int)getpid(),
             g->number, file);
    process_write_file(&root, path, text);
}

static void
check_spots(void)
{
    struct cgroup g;
    ck_assert_int_eq(cgroup_host_probe(&host, why, sizeof why), 0);
    ck_ok(cgroup_make(&host, &some, &g));
    ck_assert(!cgroup_is_spotless(&host, &g)); /* it says nothing */
    for (int i = 0; says[version - 1][i].file != NULL; i++)
        say(&g, says[version - 1][i].file, says[version - 1][i].spotless);
    for (int i = 0; says[version - 1][i].file != NULL; i++) {
        ck_assert(cgroup_is_spotless(&host, &g));
        say(&g, says[version - 1][i].file, says[version - 1][i].not );
        ck_assert_msg(!cgroup_is_spotless(&host, &g), "%s: %s",
                      says[version - 1][i].file, says[version - 1][i].not );
        say(&g, says[version - 1][i].file, says[version - 1][i].spotless);
    }
    ck_ok(cgroup_remove(&host, &g));
    g.number = 77;
    ck_assert(!cgroup_is_spotless(&host, &g)); /* there is no such one */
}

START_TEST(sees_spots_by_version_1)
{
    version_1();
    check_spots();
}
END_TEST

START_TEST(sees_spots_by_version_2)
{
    version_2("/us", "cpu memory pids\n");
    check_spots();
}
END_TEST

/* A group with processes gives nothing on; the one above it does. */
START_TEST(takes_the_group_above_where_it_was_given)
{
    version_2("/us", "");
    process_write_file(&root, "c/cgroup.subtree_control", "memory pids");
    ck_err(cgroup_host_probe(&host, why, sizeof why), E_REFUSED);
    tear_down(), set_up();
    version_2("/us", "");
    process_write_file(&root, "c/cgroup.subtree_control", "memory pids");
    process_write_file(&root, "c/cgroup.type", "domain");
    process_write_file(&root, "c/us/memory.max", "max\n");
    ck_assert_int_eq(cgroup_host_probe(&host, why, sizeof why), 0);
    ck_assert_int_eq(host.count, 1);
    tear_down(), set_up();
    version_2("/us", "");
    process_write_file(&root, "c/cgroup.subtree_control", "memory pids");
    process_write_file(&root, "c/cgroup.type", "domain");
    process_write_file(&root, "c/us/memory.max", "1000000\n");
    ck_err(cgroup_host_probe(&host, why, sizeof why), E_REFUSED);
    tear_down(), set_up();
    version_2("/a/us", ""); /* above it is no top */
    process_write_file(&root, "c/a/cgroup.subtree_control", "memory pids");
    process_write_file(&root, "c/a/cgroup.type", "domain");
    ck_err(cgroup_host_probe(&host, why, sizeof why), E_REFUSED);
}
END_TEST

START_TEST(says_why_there_are_none)
{
    ck_err(cgroup_host_probe(&host, why, sizeof why), E_REFUSED);
    ck_assert_ptr_nonnull(strstr(why, "memory and pids"));
    tear_down(), set_up();
    version_1();
    refuses = 1;
    ck_err(cgroup_host_probe(&host, why, sizeof why), E_REFUSED);
    ck_assert_ptr_nonnull(strstr(why, "Read-only"));
    refuses = 0; /* it is tried once */
    ck_err(cgroup_host_probe(&host, why, sizeof why), E_REFUSED);
}
END_TEST

static int
is_there(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", root.path, name);
    return access(path, F_OK) == 0;
}

START_TEST(removes_what_a_dead_zygote_left)
{
    static const char *const kept[] = {"m/terrarium.1.1", "m/terrarium.x.1",
                                       "m/other.99999999.1", "m/terrarium",
                                       "m/terrarium.99999999x"};
    char ours[40];
    version_1();
    for (int i = 0; i < 5; i++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%s", root.path, kept[i]);
        ck_assert_int_eq(mkdir(path, 0755), 0);
    }
    process_write_file(&root, "m/terrarium.99999999.1/cgroup.procs", "");
    snprintf(ours, sizeof ours, "m/terrarium.%d.7", (int)getpid());
    process_write_file(&root, "m/terrarium.99999999.2/full", "");
    process_write_file(&root, "p/us/terrarium.99999999.1/cgroup.procs", "");
    char path[300];
    snprintf(path, sizeof path, "%s/%s", root.path, ours);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    ck_assert_int_eq(cgroup_host_probe(&host, why, sizeof why), 0);
    for (int i = 0; i < 5; i++)
        ck_assert_msg(is_there(kept[i]), "%s", kept[i]);
    ck_assert(!is_there("m/terrarium.99999999.1"));
    ck_assert(!is_there("p/us/terrarium.99999999.1"));
    ck_assert(is_there("m/terrarium.99999999.2")); /* something is in it */
    ck_assert(!is_there(ours));
}
END_TEST

START_TEST(limits_what_the_policy_does)
{
    struct policy p = {.level = LEVEL_TRUSTED};
    ck_assert_int_eq(cgroup_is_of_use(&p), 0);
    p.memory = 1;
    ck_assert_int_eq(cgroup_is_of_use(&p), 1);
    p = (struct policy){.level = LEVEL_TRUSTED, .procs = 5};
    ck_assert_int_eq(cgroup_is_of_use(&p), 1);
    p = (struct policy){.level = LEVEL_STRICT}; /* it has no threads */
    ck_assert_int_eq(cgroup_is_of_use(&p), 1);
    p = (struct policy){.level = LEVEL_DEFAULT, .threads = 1};
    ck_assert_int_eq(cgroup_is_of_use(&p), 0);
}
END_TEST

/* ---- this host's own ----------------------------------------------------- */

static int
has_groups(void)
{
    cgroup_host_close(&host);
    cgroup_host_init(&host, "");
    if (cgroup_host_probe(&host, why, sizeof why) == 0)
        return 1;
    printf("skipped: %s\n", why);
    return 0;
}

START_TEST(a_group_ends_who_takes_too_much)
{
    struct policy p = {.level = LEVEL_TRUSTED, .memory = 16 << 20};
    struct cgroup g;
    struct cgroup_end end;
    if (!has_groups())
        return;
    ck_ok(cgroup_make(&host, &p, &g));
    int status = groups_inside(&host, &g, groups_share_much);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    cgroup_look(&host, &g, &end);
    ck_assert_int_eq(end.was_killed, 1);
    ck_assert_int_eq(end.was_full, 1);
    groups_remove(&host, &g);
}
END_TEST

START_TEST(a_group_bounds_processes)
{
    struct policy p = {.level = LEVEL_TRUSTED, .procs = 3};
    struct cgroup g;
    struct cgroup_end end;
    if (!has_groups())
        return;
    ck_ok(cgroup_make(&host, &p, &g));
    int status = groups_inside(&host, &g, groups_fork_many);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 3);
    cgroup_look(&host, &g, &end);
    ck_assert_int_eq(end.was_killed, 0);
    groups_remove(&host, &g);
}
END_TEST

static int left_behind[2];

static void
do_nothing(void)
{
}

static int
counts_processes(void)
{
    unsigned all = 0;
    for (int i = 0; i < host.count; i++)
        all |= host.places[i].controllers;
    return (all & 1u << CGROUP_PIDS) != 0;
}

START_TEST(a_group_is_spotless_until_it_was_full)
{
    struct policy p = {.level = LEVEL_TRUSTED, .memory = 16 << 20};
    struct cgroup g;
    if (!has_groups() || !counts_processes())
        return;
    ck_ok(cgroup_make(&host, &p, &g));
    ck_assert(cgroup_is_spotless(&host, &g));
    ck_assert_int_eq(groups_inside(&host, &g, do_nothing), 0);
    ck_assert(cgroup_is_spotless(&host, &g));
    (void)groups_inside(&host, &g, groups_share_much);
    ck_assert(!cgroup_is_spotless(&host, &g));
    groups_remove(&host, &g);
}
END_TEST

/* In another session, as a daemon is. */
static void
leave_one_behind(void)
{
    pid_t child = fork();
    if (child == 0) {
        setsid();
        close(left_behind[0]);
        pause();
    }
    _exit(child > 0 ? 0 : 1);
}

/* The pipe's end is seen when the last who has it is gone. */
START_TEST(nothing_outlives_its_group)
{
    struct policy p = {.level = LEVEL_TRUSTED, .procs = 3};
    struct cgroup g;
    char c;
    if (!has_groups())
        return;
    ck_assert_int_eq(pipe(left_behind), 0);
    ck_ok(cgroup_make(&host, &p, &g));
    ck_assert_int_eq(groups_inside(&host, &g, leave_one_behind), 0);
    ck_assert(!cgroup_is_spotless(&host, &g));
    close(left_behind[1]);
    groups_remove(&host, &g);
    ck_assert_int_eq(read(left_behind[0], &c, 1), 0);
    close(left_behind[0]);
}
END_TEST

Suite *make_sandbox_cgroup_suite(void);

Suite *
make_sandbox_cgroup_suite(void)
{
    const TTest *const tests[] = {finds_both_hierarchies_of_version_1,
                                  finds_the_one_of_version_2,
                                  sees_spots_by_version_1,
                                  sees_spots_by_version_2,
                                  takes_the_group_above_where_it_was_given,
                                  says_why_there_are_none,
                                  removes_what_a_dead_zygote_left,
                                  limits_what_the_policy_does,
                                  a_group_ends_who_takes_too_much,
                                  a_group_bounds_processes,
                                  a_group_is_spotless_until_it_was_full,
                                  nothing_outlives_its_group};
    Suite *s = suite_create("sandbox_cgroup");
    TCase *c = tcase_create("sandbox_cgroup");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(s, c);
    return s;
}
