/* SPDX-License-Identifier: Apache-2.0 */
/* check_err.c - the result codes and their texts. */
#include <string.h>

#include "support_check.h"

static const int codes[] = {
#define X(name, code, text) name,
    ERR_LIST(X)
#undef X
};
enum { CODES = sizeof codes / sizeof codes[0] };

START_TEST(codes_are_negative_and_distinct)
{
    for (int i = 0; i < CODES; i++) {
        ck_assert_int_lt(codes[i], 0);
        for (int j = 0; j < i; j++)
            ck_assert_int_ne(codes[i], codes[j]);
    }
}
END_TEST

START_TEST(each_code_has_a_name_and_a_text)
{
    for (int i = 0; i < CODES; i++) {
        ck_assert_int_eq(strncmp(err_name(codes[i]), "E_", 2), 0);
        ck_assert_str_ne(err_name(codes[i]), "E_UNKNOWN");
        ck_assert_str_ne(err_str(codes[i]), "unknown error");
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(err_str(codes[i]), err_str(codes[j]));
    }
}
END_TEST

START_TEST(other_numbers_have_texts_too)
{
    ck_assert_str_eq(err_name(0), "E_UNKNOWN");
    ck_assert_str_eq(err_str(-12345), "unknown error");
    ck_assert_str_eq(err_name(E_LIMIT), "E_LIMIT");
    ck_assert_str_eq(err_str(E_TRAILING),
                     "bytes remain after the end of the data");
}
END_TEST

Suite *
make_err_suite(void)
{
    const TTest *const tests[] = {codes_are_negative_and_distinct,
                                  each_code_has_a_name_and_a_text,
                                  other_numbers_have_texts_too, NULL};
    return suite_of("err", tests, 10);
}
