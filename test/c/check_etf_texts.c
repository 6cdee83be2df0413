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

/* The hash of 16 bytes before the last eight are in it. */
static uint64_t
half_hash(const uint8_t *p)
{
    uint64_t a;
    memcpy(&a, p, 8);
    a = (16 ^ a) * UINT64_C(0x9e3779b97f4a7c15);
    return a ^ a >> 32;
}

/* Another text of 16 characters with the same hash. */
static void
find_twin(const uint8_t *a, uint8_t *b, uint32_t *seed)
{
    uint64_t tail, high = UINT64_C(0x8080808080808080);
    do {
        for (int i = 0; i < 8; i++)
            b[i] = (uint8_t)(next_random(seed) & 0x7f);
        memcpy(&tail, a + 8, 8);
        tail ^= half_hash(a) ^ half_hash(b);
    } while ((tail & high) != 0 || memcmp(a, b, 8) == 0);
    memcpy(b + 8, &tail, 8);
}

/* Whoever makes texts of the same hash gets each as it is. */
START_TEST(twins_are_told_apart)
{
    const uint8_t *a = (const uint8_t *)"a key of a dict.";
    uint8_t b[16];
    uint32_t seed = 7;
    for (int i = 0; i < 100; i++) {
        find_twin(a, b, &seed);
        ck_assert(etf_short_hash(a, 16) == etf_short_hash(b, 16));
        is_right(a, 16);
        is_right(b, 16);
        is_right(a, 16);
    }
}
END_TEST

/* Names that differ in one place only, wherever it is, have slots of their
 * own: one that comes again in between is still there. */
START_TEST(one_byte_makes_another_slot)
{
    char text[41];
    for (size_t n = 2; n <= 40; n++) {
        for (size_t at = 0; at < n; at++) {
            memset(text, 'm', n);
            uint64_t h = etf_short_hash((const uint8_t *)text, n);
            size_t shared = 0;
            for (char c = 'a'; c < 'm'; c++) {
                text[at] = c;
                shared +=
                    etf_short_hash((const uint8_t *)text, n) % 1024 == h % 1024;
            }
            ck_assert_uint_le(shared, 1);
        }
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
                                  twins_are_told_apart,
                                  one_byte_makes_another_slot,
                                  without_memory,
                                  NULL};
    return peer_suite("etf_texts", tests, 60);
}
