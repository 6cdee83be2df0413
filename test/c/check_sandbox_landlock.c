/* SPDX-License-Identifier: Apache-2.0 */
/* check_sandbox_landlock.c - a ruleset as each older kernel would have it, and
 * that the filter of system calls refuses what such a one does not yet know. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filter.h"
#include "landlock.h"
#include "support_check.h"
#include "support_process.h"

static struct process_folder folder;
static char *paths[] = {"/usr", "/lib", "/lib64", NULL};
static const struct args_list readable = {.v = paths, .count = 3};
static const struct policy policy = {.level = LEVEL_DEFAULT};
static char secret[100], other[100];

static void
set_up(void)
{
    process_make_folder(&folder);
    process_write_file(&folder, "secret", "secret");
    process_write_file(&folder, "below/x", "");
    snprintf(secret, sizeof secret, "%s/secret", folder.path);
    snprintf(other, sizeof other, "%s/below/moved", folder.path);
}

static void
tear_down(void)
{
    process_remove_folder(&folder);
}

/* ---- attempts: 0 or errno ------------------------------------------------ */

static int
open_with(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}
static int
read_granted(void)
{
    return open_with("/usr/lib/os-release", O_RDONLY);
}
static int
read_secret(void)
{
    return open_with(secret, O_RDONLY);
}
static int
write_secret(void)
{
    return open_with(secret, O_WRONLY);
}
static int
create(void)
{
    return open_with(other, O_WRONLY | O_CREAT);
}
static int
truncate_secret(void)
{
    return truncate(secret, 1) == 0 ? 0 : errno;
}
static int
empty_secret(void)
{
    return open_with(secret, O_RDONLY | O_TRUNC);
}
static int
move(void)
{
    return rename(secret, other) == 0 ? 0 : errno;
}

/* In a process under the ruleset of that ABI, and the filter or not. */
static int
under(int abi, int filtered, int (*attempt)(void))
{
    int status, fd = -1;
    const char *bad = NULL;
    struct filter f;
    ck_ok(landlock_ruleset(&policy, &readable, abi, 0, &fd, &bad));
    ck_ok(filter_make(&f, &policy));
    pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            landlock_restrict(fd) != 0 ||
            (filtered && filter_install(f.code, f.count) != 0))
            _exit(200);
        _exit(attempt());
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    close(fd);
    filter_free(&f);
    return WEXITSTATUS(status);
}

/* _i: the ABI. */
START_TEST(closes_files_by_each)
{
    if (landlock_abi() < _i || !filter_available()) {
        printf("skipped: no Landlock of ABI %d here\n", _i);
        return;
    }
    ck_assert_int_eq(under(_i, 0, read_granted), 0);
    ck_assert_int_eq(under(_i, 0, read_secret), EACCES);
    ck_assert_int_eq(under(_i, 0, write_secret), EACCES);
    ck_assert_int_eq(under(_i, 0, create), EACCES);
    ck_assert_int_ne(under(_i, 0, move), 0);
    ck_assert_int_eq(under(_i, 0, empty_secret), EACCES);
    if (_i >= 3)
        ck_assert_int_eq(under(_i, 0, truncate_secret), EACCES);
}
END_TEST

/* Before ABI 3 a file can be truncated that can not be opened. */
START_TEST(the_filter_makes_up_for_older_ones)
{
    struct stat s;
    if (landlock_abi() < _i || !filter_available())
        return;
    ck_assert_int_eq(under(_i, 1, read_granted), 0);
    ck_assert_int_ne(under(_i, 1, truncate_secret), 0);
    ck_assert_int_ne(under(_i, 1, empty_secret), 0);
    ck_assert_int_ne(under(_i, 1, move), 0);
    ck_assert_int_eq(stat(secret, &s), 0);
    ck_assert_int_eq((int)s.st_size, 6);
    if (_i < 3)
        ck_assert_int_eq(under(_i, 0, truncate_secret), 0);
}
END_TEST

START_TEST(each_has_its_layers)
{
    static const unsigned layers[] = {0,
                                      LAYER_LANDLOCK,
                                      LAYER_LANDLOCK,
                                      LAYER_LANDLOCK,
                                      LAYER_LANDLOCK | LAYER_LANDLOCK_NET,
                                      LAYER_LANDLOCK | LAYER_LANDLOCK_NET,
                                      LAYER_LANDLOCK | LAYER_LANDLOCK_NET |
                                          LAYER_LANDLOCK_SCOPE};
    for (int abi = 0; abi < 7; abi++)
        ck_assert_uint_eq(landlock_layers(abi), layers[abi]);
}
END_TEST

Suite *make_sandbox_landlock_suite(void);

Suite *
make_sandbox_landlock_suite(void)
{
    Suite *s = suite_create("sandbox_landlock");
    TCase *c = tcase_create("sandbox_landlock");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, closes_files_by_each, 1, 8);
    tcase_add_loop_test(c, the_filter_makes_up_for_older_ones, 1, 8);
    tcase_add_test(c, each_has_its_layers);
    suite_add_tcase(s, c);
    return s;
}
