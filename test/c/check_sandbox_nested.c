/* SPDX-License-Identifier: Apache-2.0 */
/* check_sandbox_nested.c - grants within what may be written are left out. */
#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nested.h"
#include "support_check.h"

/*  base/given/sub  base/other  base/way -> base  base/given/out -> /  */
static char base[] = "/tmp/terrarium-nested.XXXXXX";
static struct policy policy;

static const char *
in(const char *name)
{
    static char path[4][PATH_MAX];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", base, name);
    return path[at];
}

static void
set_up(void)
{
    strcpy(base + strlen(base) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    ck_assert_int_eq(mkdir(in("given"), 0700), 0);
    ck_assert_int_eq(mkdir(in("given/sub"), 0700), 0);
    ck_assert_int_eq(mkdir(in("other"), 0700), 0);
    ck_assert_int_eq(symlink(base, in("way")), 0);
    ck_assert_int_eq(symlink("../given", in("other/back")), 0);
    ck_assert_int_eq(symlink("/", in("given/out")), 0);
    memset(&policy, 0, sizeof policy);
}

static void
tear_down(void)
{
    static const char *const links[] = {"way", "other/back", "given/out"};
    static const char *const folders[] = {"given/sub", "given", "other", ""};
    args_list_free(&policy.read);
    args_list_free(&policy.write);
    args_list_free(&policy.import);
    for (int i = 0; i < 3; i++)
        unlink(in(links[i]));
    for (int i = 0; i < 4; i++)
        rmdir(in(folders[i]));
}

static void
grant(struct args_list *to, const char *path)
{
    ck_ok(args_list_dup(to, path, strlen(path)));
}

/* How many are left of one path that is granted for reading. */
static int
left_of(const char *path)
{
    args_list_free(&policy.read);
    grant(&policy.read, path);
    ck_ok(nested_leave_out(&policy));
    ck_assert_ptr_null(policy.read.v[policy.read.count]);
    return (int)policy.read.count;
}

START_TEST(leaves_out_what_lies_within)
{
    grant(&policy.write, in("given"));
    ck_assert_int_eq(left_of(in("given/sub")), 0);
    ck_assert_int_eq(left_of(in("given/out")), 0);
    ck_assert_int_eq(left_of(in("given/out/etc")), 0);
    ck_assert_int_eq(left_of(in("given/not_there")), 0);
    ck_assert_int_eq(left_of(in("given/sub/../../other")), 0);
    ck_assert_uint_eq(policy.write.count, 1);
}
END_TEST

/* However it is called. */
START_TEST(goes_the_way_of_links)
{
    grant(&policy.write, in("way/given"));
    ck_assert_int_eq(left_of(in("given/sub")), 0);
    ck_assert_int_eq(left_of(in("way/way/given/sub")), 0);
    ck_assert_int_eq(left_of(in("other/back/sub")), 0);
    ck_assert_int_eq(left_of(in("other/.././given//sub/")), 0);
}
END_TEST

START_TEST(keeps_the_others)
{
    grant(&policy.write, in("given"));
    ck_assert_int_eq(left_of(in("given")), 1);
    ck_assert_int_eq(left_of(in("given/")), 1);
    ck_assert_int_eq(left_of(in("given/.")), 1);
    ck_assert_int_eq(left_of(in("other")), 1);
    ck_assert_int_eq(left_of(in("other/back")), 1);
    ck_assert_int_eq(left_of(in("way/other")), 1);
    ck_assert_int_eq(left_of(in("not_there/sub")), 1);
    ck_assert_int_eq(left_of("/"), 1);
}
END_TEST

/* In each list; and of two that may be written the inner one goes. */
START_TEST(looks_at_all_lists)
{
    int before = open_descriptors();
    grant(&policy.write, in("given/sub"));
    grant(&policy.write, in("given"));
    grant(&policy.write, in("other"));
    grant(&policy.import, in("given/sub"));
    grant(&policy.import, in("way"));
    ck_ok(nested_leave_out(&policy));
    ck_assert_uint_eq(policy.write.count, 2);
    ck_assert_str_eq(policy.write.v[0], in("given"));
    ck_assert_str_eq(policy.write.v[1], in("other"));
    ck_assert_uint_eq(policy.import.count, 1);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

START_TEST(links_may_go_round)
{
    ck_assert_int_eq(symlink("round", in("round")), 0);
    grant(&policy.write, in("given"));
    int left = left_of(in("round/given/sub"));
    unlink(in("round"));
    ck_assert_int_eq(left, 1);
}
END_TEST

Suite *
make_sandbox_nested_suite(void)
{
    Suite *s = suite_create("sandbox_nested");
    TCase *c = tcase_create("sandbox_nested");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, leaves_out_what_lies_within);
    tcase_add_test(c, goes_the_way_of_links);
    tcase_add_test(c, keeps_the_others);
    tcase_add_test(c, looks_at_all_lists);
    tcase_add_test(c, links_may_go_round);
    suite_add_tcase(s, c);
    return s;
}
