/* SPDX-License-Identifier: Apache-2.0 */
/* check_sandbox_unified.c - places for groups by version 2, in a kernel's own
 * groups: what a service with Delegate=yes has, a session, a container.
 *
 * Each test makes a group below one that gives memory and pids, and a process
 * that goes there, into namespaces of mounts and of groups of its own where it
 * needs them; the test removes the group.  Skipped, with a word, where there is
 * no version 2 with these controllers, or no right to make groups in it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cgroup.h"
#include "io.h"
#include "support_check.h"
#include "support_groups.h"
#include "support_process.h"

enum { SOMEBODY = 65534 };

static struct cgroup_host host;
static char why[200];
static char top[PATH_MAX + 64]; /* the group of the test */
static int base = -1;           /* where that is */
static char base_name[64];

/* ---- the test's own group ------------------------------------------------ */

static int
gives_both(int at)
{
    char list[512];
    return cgroup_text(at, "cgroup.subtree_control", list, sizeof list) > 0 &&
           cgroup_is_listed(list, "memory") && cgroup_is_listed(list, "pids");
}

/* Where groups can be made by the rules of the code, else, for root, at the top
 * of what is mounted.  A descriptor, or -1. */
static int
find_base(char path[PATH_MAX])
{
    char own[PATH_MAX];
    int at = -1;
    if (!cgroup_own("", NULL, own, path))
        return -1;
    cgroup_host_init(&host, "");
    if (cgroup_host_probe(&host, why, sizeof why) == 0 && host.count == 1 &&
        host.places[0].version == 2)
        at = dup(host.places[0].fd);
    else if (geteuid() == 0)
        at = open(path, O_RDONLY | O_DIRECTORY);
    cgroup_host_close(&host);
    if (at >= 0 && !gives_both(at))
        io_close(&at);
    return at;
}

static int
has_base(void)
{
    char path[PATH_MAX], link[64];
    base = find_base(path);
    snprintf(base_name, sizeof base_name, "terrarium-test-%d", (int)getpid());
    snprintf(link, sizeof link, "/proc/self/fd/%d", base);
    ssize_t n = base < 0 ? -1 : readlink(link, path, sizeof path - 1);
    if (n > 0 && mkdirat(base, base_name, 0755) == 0) {
        path[n] = 0;
        snprintf(top, sizeof top, "%s/%.40s", path, base_name);
        return 1;
    }
    puts("skipped: no control groups of version 2 with memory and pids can be "
         "made here");
    io_close(&base);
    return 0;
}

static int
is_root(void)
{
    if (geteuid() == 0)
        return 1;
    puts("skipped: this test is root's");
    return 0;
}

/* Whoever is still in it is ended, and a group goes after those below it. */
static void
drop_base(void)
{
    char command[2 * sizeof top + 100];
    snprintf(command, sizeof command,
             "echo 1 2>/dev/null >'%s/cgroup.kill'; "
             "find '%s' -depth -type d -exec rmdir {} ';' 2>/dev/null",
             top, top);
    for (int i = 0; i < 500 && access(top, F_OK) == 0; i++)
        if (system(command) != 0)
            process_sleep_ms(10);
    ck_assert_int_ne(access(top, F_OK), 0);
    io_close(&base);
}

/* ---- groups in it -------------------------------------------------------- */

static const char *
path_of(const char *group, const char *file)
{
    static char path[PATH_MAX + 200];
    snprintf(path, sizeof path, "%s%s/%s", top, group, file);
    return path;
}

static void
put(const char *group, const char *file, const char *text)
{
    int fd = open(path_of(group, file), O_WRONLY | O_CLOEXEC);
    ck_assert_msg(fd >= 0, "%s: %s", path_of(group, file), strerror(errno));
    ck_assert_msg(write(fd, text, strlen(text)) > 0, "%s to %s: %s", text,
                  path_of(group, file), strerror(errno));
    close(fd);
}

static void
make(const char *group)
{
    ck_assert_int_eq(mkdir(path_of(group, ""), 0755), 0);
}

/* How many processes are in it. */
static size_t
population(const char *group)
{
    pid_t pids[CGROUP_PIDS_READ];
    int at = open(path_of(group, ""), O_RDONLY | O_DIRECTORY);
    size_t n = at < 0 ? 0 : cgroup_pids(at, pids);
    io_close(&at);
    return n;
}

static void
mark(const char *group)
{
    const char *path = path_of(group, "");
    if (setxattr(path, "user.delegate", "1", 1, 0) != 0)
        ck_assert_int_eq(setxattr(path, "trusted.delegate", "1", 1, 0), 0);
}

static void
enter(const char *group)
{
    put(group, "cgroup.procs", "0");
}

/* A process that does nothing, where this one is. */
static pid_t
bystander(void)
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        for (;;)
            pause();
    return child;
}

/* The actor's asserts are told by its end. */
static void
act(void (*actor)(void))
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        cgroup_host_init(&host, "");
        actor();
        cgroup_host_close(&host);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* ---- what holds wherever there is a place -------------------------------- */

static void
check_refused(const char *text)
{
    ck_err(cgroup_host_probe(&host, why, sizeof why), E_REFUSED);
    ck_assert_msg(strstr(why, text) != NULL, "%s", why);
    ck_assert_int_eq(host.count, 0);
}

static void
check_memory(void)
{
    struct policy p = {.level = LEVEL_TRUSTED, .memory = 16 << 20};
    struct cgroup g;
    struct cgroup_end end;
    ck_ok(cgroup_make(&host, &p, &g));
    ck_assert(cgroup_is_spotless(&host, &g));
    int status = groups_inside(&host, &g, groups_share_much);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    cgroup_look(&host, &g, &end);
    ck_assert_int_eq(end.was_killed, 1);
    ck_assert_int_eq(end.was_full, 1);
    ck_assert(!cgroup_is_spotless(&host, &g));
    groups_remove(&host, &g);
}

static void
check_processes(void)
{
    struct policy p = {.level = LEVEL_TRUSTED, .procs = 3};
    struct cgroup g;
    ck_ok(cgroup_make(&host, &p, &g));
    int status = groups_inside(&host, &g, groups_fork_many);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 3);
    groups_remove(&host, &g);
}

static void
check_groups(void)
{
    ck_assert_msg(cgroup_host_probe(&host, why, sizeof why) == 0, "%s", why);
    ck_assert_int_eq(host.count, 1);
    ck_assert_int_eq(host.places[0].version, 2);
    check_memory();
    check_processes();
}

/* The next zygote, which finds itself in the leaf. */
static void
check_groups_of_the_next(void)
{
    act(check_groups);
}

/* ---- a service ----------------------------------------------------------- */

static void
be_a_service(void)
{
    enter("/unit");
    pid_t other = bystander();
    check_groups();
    ck_assert_uint_eq(population("/unit"), 0);
    ck_assert_uint_eq(population("/unit/terrarium"), 2);
    check_groups_of_the_next();
    kill(other, SIGKILL);
}

static void
make_a_unit(void)
{
    put("", "cgroup.subtree_control", "+memory +pids");
    make("/unit");
}

START_TEST(leaves_a_delegated_group_for_a_leaf)
{
    if (!has_base())
        return;
    make_a_unit();
    mark("/unit");
    act(be_a_service);
    drop_base();
}
END_TEST

static void
be_a_user(void)
{
    enter("/unit");
    ck_assert_int_eq(setgroups(0, NULL), 0);
    ck_assert_int_eq(setgid(SOMEBODY), 0);
    ck_assert_int_eq(setuid(SOMEBODY), 0);
    check_groups();
    ck_assert_uint_eq(population("/unit/terrarium"), 1);
    check_groups_of_the_next();
}

START_TEST(does_so_without_being_root)
{
    static const char *const files[] = {"", "cgroup.procs", "cgroup.threads",
                                        "cgroup.subtree_control"};
    if (!is_root() || !has_base())
        return;
    make_a_unit();
    if (setxattr(path_of("/unit", ""), "user.delegate", "1", 1, 0) == 0) {
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(
                chown(path_of("/unit", files[i]), SOMEBODY, SOMEBODY), 0);
        act(be_a_user);
    } else {
        puts("skipped: groups have no attributes for users here");
    }
    drop_base();
}
END_TEST

static void
be_in_a_subgroup(void)
{
    enter("/unit/main");
    check_groups();
    ck_assert_uint_eq(population("/unit/main"), 1);
    ck_assert_int_ne(access(path_of("/unit/terrarium", ""), F_OK), 0);
}

static void
be_limited(void)
{
    enter("/unit/main");
    check_refused("limited");
}

START_TEST(takes_the_group_above_a_subgroup)
{
    if (!has_base())
        return;
    make_a_unit();
    mark("/unit");
    make("/unit/main");
    act(be_in_a_subgroup);
    put("/unit/main", "pids.max", "100");
    act(be_limited);
    drop_base();
}
END_TEST

static void
be_not_delegated(void)
{
    enter("/unit");
    check_refused("not delegated");
    ck_assert_uint_eq(population("/unit"), 1);
}

static void
be_without_controllers(void)
{
    enter("/unit");
    check_refused("not given");
}

START_TEST(leaves_others_groups_alone)
{
    if (!has_base())
        return;
    make("/unit");
    mark("/unit");
    act(be_without_controllers);
    put("", "cgroup.subtree_control", "+memory +pids");
    ck_assert_int_eq(rmdir(path_of("/unit", "")), 0);
    make("/unit");
    act(be_not_delegated);
    drop_base();
}
END_TEST

/* ---- a container --------------------------------------------------------- */

/* The group that we are in becomes the root, and is what is mounted. */
static void
contain(void)
{
    char own[PATH_MAX], mount_point[PATH_MAX];
    enter("");
    ck_assert_int_eq(cgroup_own("", NULL, own, mount_point), 1);
    ck_assert_int_eq(unshare(CLONE_NEWNS | CLONE_NEWCGROUP), 0);
    ck_assert_int_eq(mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    ck_assert_int_eq(umount2(mount_point, MNT_DETACH), 0);
    ck_assert_int_eq(mount("cgroup2", mount_point, "cgroup2", 0, NULL), 0);
    snprintf(top, sizeof top, "%s", mount_point);
}

static void
be_a_container(void)
{
    contain();
    pid_t other = bystander();
    check_groups();
    ck_assert_uint_eq(population(""), 0);
    ck_assert_uint_eq(population("/terrarium"), 2);
    check_groups_of_the_next();
    kill(other, SIGKILL);
}

static void
be_read_only(void)
{
    contain();
    ck_assert_int_eq(
        mount("", top, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    check_refused(strerror(EROFS));
    ck_assert_uint_eq(population(""), 1);
}

START_TEST(leaves_the_root_of_a_container)
{
    if (!is_root() || !has_base())
        return;
    act(be_read_only);
    act(be_a_container);
    drop_base();
}
END_TEST

static void
look_from_inside(void)
{
    ck_assert_int_eq(mount("proc", "/proc", "proc", 0, NULL), 0);
    check_refused("namespace");
}

/* One with process ids of its own, in a group with others that it can not see.
 */
static void
be_with_strangers(void)
{
    contain();
    ck_assert_int_eq(unshare(CLONE_NEWPID), 0);
    act(look_from_inside);
    ck_assert_uint_eq(population(""), 1);
    ck_assert_int_ne(access(path_of("/terrarium", ""), F_OK), 0);
}

START_TEST(moves_no_strangers)
{
    if (!is_root() || !has_base())
        return;
    act(be_with_strangers);
    drop_base();
}
END_TEST

Suite *make_sandbox_unified_suite(void);

Suite *
make_sandbox_unified_suite(void)
{
    const TTest *const tests[] = {leaves_a_delegated_group_for_a_leaf,
                                  does_so_without_being_root,
                                  takes_the_group_above_a_subgroup,
                                  leaves_others_groups_alone,
                                  leaves_the_root_of_a_container,
                                  moves_no_strangers,
                                  NULL};
    return suite_of("sandbox_unified", tests, 60);
}
