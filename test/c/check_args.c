/* SPDX-License-Identifier: Apache-2.0 */
/* check_args.c - option tables and lists of strings. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "err.h"
#include "mem.h"

struct target {
    const char *name;
    unsigned long number;
    int flag;
};

static int
set_name(void *target, const char *value, char *why, size_t n)
{
    (void)why, (void)n;
    ((struct target *)target)->name = value;
    return 0;
}

static int
set_number(void *target, const char *value, char *why, size_t n)
{
    return args_number(value, 1, 9, &((struct target *)target)->number, why, n);
}

static int
set_flag(void *target, const char *value, char *why, size_t n)
{
    (void)value, (void)why, (void)n;
    ((struct target *)target)->flag++;
    return 0;
}

static int
set_never(void *target, const char *value, char *why, size_t n)
{
    (void)target, (void)value, (void)why, (void)n;
    return E_NOMEM; /* no reason given: the code's own text */
}

static const struct args_option table[] = {
    {"--name", "NAME", set_name, "a name"},
    {"--number", "N", set_number, "a number"},
    {"--flag", NULL, set_flag, "a flag"},
    {"--never", NULL, set_never, "fails"},
};

static struct target target;
static int at, dashes;
static char why[200];

static int
parse(const char *const *argv)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    memset(&target, 0, sizeof target);
    at = 0;
    why[0] = 0;
    return args_parse(table, 4, &target, argc, (char **)argv, &at, &dashes, why,
                      sizeof why);
}

START_TEST(parses_both_forms)
{
    const char *const argv[] = {"--name", "a",      "--number=7", "--flag",
                                "rest",   "--flag", NULL};
    ck_assert_int_eq(parse(argv), 0);
    ck_assert_str_eq(target.name, "a");
    ck_assert_uint_eq(target.number, 7);
    ck_assert_int_eq(target.flag, 1);
    ck_assert_int_eq(at, 4);
    ck_assert_int_eq(dashes, 0);
}
END_TEST

START_TEST(stops_behind_dashes)
{
    const char *const argv[] = {"--flag", "--", "--flag", NULL};
    ck_assert_int_eq(parse(argv), 0);
    ck_assert_int_eq(at, 2);
    ck_assert_int_eq(dashes, 1);
    ck_assert_int_eq(target.flag, 1);
}
END_TEST

START_TEST(takes_any_value)
{
    const char *const argv[] = {"--name", "--flag", "--name=", NULL};
    ck_assert_int_eq(parse(argv), 0);
    ck_assert_str_eq(target.name, "");
    ck_assert_int_eq(target.flag, 0);
}
END_TEST

static const struct {
    const char *argv[3];
    const char *says;
} wrong[] = {
    {{"--nam", "x"}, "unknown option --nam"},
    {{"--names", "x"}, "unknown option --names"},
    {{"-n"}, "unknown option -n"},
    {{"--name"}, "--name needs a value (NAME)"},
    {{"--flag=yes"}, "--flag takes no value"},
    {{"--number", "0"}, "--number: '0' is not a number from 1 to 9"},
    {{"--number", "10"}, "--number: '10' is not a number from 1 to 9"},
    {{"--number", "-1"}, "--number: '-1' is not a number from 1 to 9"},
    {{"--number", "5x"}, "--number: '5x' is not a number from 1 to 9"},
    {{"--number", ""}, "--number: '' is not a number from 1 to 9"},
    {{"--number", "99999999999999999999"},
     "--number: '99999999999999999999' is not a number from 1 to 9"},
};

START_TEST(says_what_is_wrong)
{
    ck_assert_int_eq(parse(wrong[_i].argv), E_ARG);
    ck_assert_str_eq(why, wrong[_i].says);
}
END_TEST

START_TEST(gives_the_codes_own_text)
{
    const char *const argv[] = {"--never", NULL};
    ck_assert_int_eq(parse(argv), E_NOMEM);
    ck_assert_str_eq(why, "--never: out of memory");
}
END_TEST

START_TEST(explains_every_option)
{
    char text[1024] = "";
    FILE *f = fmemopen(text, sizeof text, "w");
    ck_assert_ptr_nonnull(f);
    args_help(f, table, 4);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, "--name NAME "));
    ck_assert_ptr_nonnull(strstr(text, " a number\n"));
    ck_assert_ptr_nonnull(strstr(text, "--flag "));
}
END_TEST

START_TEST(grows_lists)
{
    struct args_list l = {0};
    static char borrowed[] = "borrowed";
    ck_assert_int_eq(args_list_add(&l, borrowed), 0);
    ck_assert_int_eq(args_list_dup(&l, "copied and cut", 6), 0);
    ck_assert_uint_eq(l.count, 2);
    ck_assert_ptr_eq(l.v[0], borrowed);
    ck_assert_str_eq(l.v[1], "copied");
    ck_assert_ptr_null(l.v[2]);
    args_list_free(&l);
    ck_assert_uint_eq(l.count, 0);
}
END_TEST

START_TEST(keeps_lists_when_memory_lacks)
{
    int e = E_NOMEM;
    for (long n = 1; e != 0; n++) {
        struct args_list l = {0};
        mem_fail_at(0);
        ck_assert_int_eq(args_list_add(&l, "first"), 0);
        mem_fail_at(n);
        e = args_list_dup(&l, "second", 6);
        ck_assert(e == 0 || (e == E_NOMEM && mem_failed() == 1));
        ck_assert_uint_eq(l.count, e == 0 ? 2 : 1);
        ck_assert_ptr_null(l.v[l.count]);
        args_list_free(&l);
        ck_assert_int_lt(n, 20);
    }
    mem_fail_at(0);
}
END_TEST

Suite *make_args_suite(void);

Suite *
make_args_suite(void)
{
    Suite *s = suite_create("args");
    TCase *t = tcase_create("args");
    tcase_add_test(t, parses_both_forms);
    tcase_add_test(t, stops_behind_dashes);
    tcase_add_test(t, takes_any_value);
    tcase_add_loop_test(t, says_what_is_wrong, 0,
                        sizeof wrong / sizeof wrong[0]);
    tcase_add_test(t, gives_the_codes_own_text);
    tcase_add_test(t, explains_every_option);
    tcase_add_test(t, grows_lists);
    tcase_add_test(t, keeps_lists_when_memory_lacks);
    suite_add_tcase(s, t);
    return s;
}
