/* SPDX-License-Identifier: Apache-2.0 */
/* check_etf_texts.c - binaries as text: always what Python's own decoder says,
 * remembered or not. */
#include "pysupport_etf.h"

#include <string.h>

#include "etf_texts.h"

enum { MOST = 400 };

/* What it has to be: a str where Python takes it for UTF-8, else bytes. */
static void
is_right(const uint8_t *p, size_t n)
{
    PyObject *want = PyUnicode_DecodeUTF8((const char *)p, (Py_ssize_t)n, NULL);
    if (want == NULL) {
        PyErr_Clear();
        want = PyBytes_FromStringAndSize((const char *)p, (Py_ssize_t)n);
    }
    for (int i = 0; i < 3; i++) { /* new, seen, remembered */
        PyObject *got = etf_text(p, n);
        ck_assert_ptr_nonnull(got);
        ck_assert_ptr_eq(Py_TYPE(got), Py_TYPE(want));
        ck_assert_int_eq(PyObject_RichCompareBool(got, want, Py_EQ), 1);
        Py_DECREF(got);
    }
    Py_DECREF(want);
}

START_TEST(every_length_of_ascii)
{
    uint8_t p[MOST];
    for (size_t i = 0; i < MOST; i++)
        p[i] = (uint8_t)('a' + i % 26);
    for (size_t n = 0; n <= MOST; n++)
        is_right(p, n);
}
END_TEST

/* One piece that is not ASCII, good or bad, at each place. */
START_TEST(a_piece_anywhere)
{
    static const char *const pieces[] = {"\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "\xff",
                                         "\x80",
                                         "\xc3",
                                         "\xe2\x82",
                                         "\xf0\x9f\x98",
                                         "\xc0\x80",
                                         "\xed\xa0\x80",
                                         "\xf4\x90\x80\x80",
                                         "\xe0\x80\x80",
                                         "\xf8\x88\x80\x80",
                                         "\x80\x80\x80\x80"};
    uint8_t p[MOST];
    for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
        size_t n = strlen(pieces[k]);
        for (size_t at = 0; at + n <= MOST; at++) {
            memset(p, 'x', sizeof p);
            memcpy(p + at, pieces[k], n);
            is_right(p, at + n);
            is_right(p, MOST);
        }
    }
}
END_TEST

/* Text of such characters only, so that the look at the start is cut at each
 * place in a character; and noise. */
START_TEST(long_ones)
{
    static const char *const units[] = {"\xc3\xa9", "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80"};
    uint8_t p[MOST + 4];
    uint32_t seed = 1;
    for (size_t k = 0; k < 3; k++) {
        for (size_t lead = 0; lead < 8; lead++) {
            size_t n = lead;
            memset(p, 'x', sizeof p);
            for (; n < MOST; n += strlen(units[k]))
                memcpy(p + n, units[k], strlen(units[k]));
            is_right(p, n);
            is_right(p, n - 1);
        }
    }
    for (int i = 0; i < 5000; i++) {
        size_t n = next_random(&seed) % MOST;
        for (size_t j = 0; j < n; j++)
            p[j] = (uint8_t)next_random(&seed);
        is_right(p, n);
    }
}
END_TEST

/* Texts that share a slot drive each other out, and are never mixed up. */
START_TEST(names_are_told_apart)
{
    char text[48];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20000; i++) {
            int n =
                snprintf(text, sizeof text, "name-%0*d-tail", 1 + i % 30, i);
            is_right((const uint8_t *)text, (size_t)n);
        }
    }
}
END_TEST

/* What comes again is the same object; what does not is not kept. */
START_TEST(only_what_comes_again_is_kept)
{
    const uint8_t *p = (const uint8_t *)"a key of a map";
    PyObject *v[3];
    for (int i = 0; i < 3; i++)
        v[i] = etf_text(p, 14);
    ck_assert_ptr_eq(v[1], v[2]);
    ck_assert_int_eq(Py_REFCNT(v[0]), 1);
    for (int i = 0; i < 3; i++)
        Py_DECREF(v[i]);
    PyObject *once = etf_text((const uint8_t *)"only once", 9);
    ck_assert_int_eq(Py_REFCNT(once), 1);
    Py_DECREF(once);
}
END_TEST

/* Where text and hash share their ends the whole is still compared. */
START_TEST(the_middle_counts)
{
    const uint8_t *a = (const uint8_t *)"12345678-left--12345678";
    const uint8_t *b = (const uint8_t *)"12345678-right-12345678";
    ck_assert(etf_short_hash(a, 23) == etf_short_hash(b, 23));
    for (int i = 0; i < 4; i++) {
        is_right(a, 23);
        is_right(b, 23);
    }
}
END_TEST

static int
text_once(void)
{
    static int n;
    char text[32];
    snprintf(text, sizeof text, "memory %d", n++);
    watch_start(1);
    PyObject *o = etf_text((const uint8_t *)text, strlen(text));
    struct watched w = watch_stop();
    if (o == NULL) {
        expect_error(PyExc_MemoryError, "");
        ck_assert_int_eq(w.live, 0);
    }
    Py_XDECREF(o);
    return w.failed > 0 ? 1 : 0;
}

START_TEST(without_memory)
{
    ck_assert_int_eq(text_once(), 1);
}
END_TEST

Suite *
make_etf_texts_suite(void)
{
    const TTest *const tests[] = {every_length_of_ascii,
                                  a_piece_anywhere,
                                  long_ones,
                                  names_are_told_apart,
                                  only_what_comes_again_is_kept,
                                  the_middle_counts,
                                  without_memory,
                                  NULL};
    return peer_suite("etf_texts", tests, 60);
}
