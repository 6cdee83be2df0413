/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_places.c - a directory is known again, and another one of its
 * name is told from it. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "places.h"
#include "support_check.h"

static char root[] = "/tmp/terrarium-places-XXXXXX";
static char given[sizeof root + 8], other[sizeof root + 8];
static struct policy policy;
static struct places places;

static void
set_up(void)
{
    strcpy(root + sizeof root - 7, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    snprintf(given, sizeof given, "%s/given", root);
    snprintf(other, sizeof other, "%s/other", root);
    ck_assert_int_eq(mkdir(given, 0755), 0);
    memset(&policy, 0, sizeof policy);
    ck_ok(args_list_add(&policy.read, "/usr"));
    ck_ok(args_list_add(&policy.write, given));
    ck_ok(places_open(&places, &policy));
}

static void
tear_down(void)
{
    places_free(&places);
    args_list_free(&policy.read);
    args_list_free(&policy.write);
    (void)rmdir(given);
    (void)rmdir(other);
    ck_assert_int_eq(rmdir(root), 0);
}

START_TEST(the_same_is_known)
{
    ck_assert_int_eq(places_moved(&places, &policy), 0);
    ck_assert_int_eq(chmod(given, 0700), 0);
    ck_assert_int_eq(places_moved(&places, &policy), 0);
}
END_TEST

/* Also where a file system would give the number of the old one again. */
START_TEST(one_made_again_is_another)
{
    ck_assert_int_eq(rmdir(given), 0);
    ck_assert_int_eq(places_moved(&places, &policy), 1);
    ck_assert_int_eq(mkdir(given, 0755), 0);
    ck_assert_int_eq(places_moved(&places, &policy), 1);
}
END_TEST

START_TEST(one_in_its_place_is_another)
{
    ck_assert_int_eq(mkdir(other, 0755), 0);
    ck_assert_int_eq(rename(other, given), 0);
    ck_assert_int_eq(places_moved(&places, &policy), 1);
}
END_TEST

START_TEST(what_was_not_there_comes)
{
    struct places missing;
    struct policy p = {.level = LEVEL_DEFAULT};
    ck_ok(args_list_add(&p.import, other));
    ck_ok(places_open(&missing, &p));
    ck_assert_int_eq(places_moved(&missing, &p), 0);
    ck_assert_int_eq(mkdir(other, 0755), 0);
    ck_assert_int_eq(places_moved(&missing, &p), 1);
    places_free(&missing);
    args_list_free(&p.import);
}
END_TEST

START_TEST(closed_ones_hold_nothing)
{
    int fd = places.fds[0];
    places_close(&places);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    ck_assert_int_eq(places.fds[1], -1);
}
END_TEST

Suite *make_zygote_places_suite(void);

Suite *
make_zygote_places_suite(void)
{
    const TTest *const tests[] = {the_same_is_known, one_made_again_is_another,
                                  one_in_its_place_is_another,
                                  what_was_not_there_comes,
                                  closed_ones_hold_nothing};
    Suite *s = suite_create("zygote_places");
    TCase *c = tcase_create("zygote_places");
    tcase_add_checked_fixture(c, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(s, c);
    return s;
}
