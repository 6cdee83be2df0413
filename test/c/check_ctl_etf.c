/* SPDX-License-Identifier: Apache-2.0 */
/* check_ctl_etf.c - control messages as Erlang terms and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "etf_check.h"
#include "support_check.h"
#include "utf8.h"
#include "wire.h"

enum { PREFIX = 4 }; /* each buffer holds "keep" before */

static void
start(struct buf *b)
{
    buf_init(b, 1 << 20);
    ck_ok(buf_put(b, "keep", PREFIX));
}

static void
same(struct buf *b, const void *expected, size_t n)
{
    ck_assert_mem_eq(b->data, "keep", PREFIX);
    ck_assert_uint_eq(b->len - PREFIX, n);
    ck_assert_mem_eq(b->data + PREFIX, expected, n);
    buf_fini(b);
}

/* ---- to ETF ------------------------------------------------------------- */

static int
to_etf(const void *p, size_t n, struct buf *out)
{
    start(out);
    int e = ctl_to_etf(p, n, out);
    if (e != 0)
        ck_assert_uint_eq(out->len, PREFIX);
    return e;
}

/* The message {"k": value} becomes #{<<"k">> => term}. */
static void
value_becomes(const void *value, size_t n, const void *term, size_t k)
{
    static const uint8_t head[] = {131, 116, 0, 0, 0, 1, 109, 0, 0, 0, 1, 'k'};
    uint8_t message[200], etf[200];
    struct buf out;
    memcpy(message, "\x81\xa1k", 3);
    memcpy(message + 3, value, n);
    memcpy(etf, head, sizeof head);
    memcpy(etf + sizeof head, term, k);
    ck_ok(to_etf(message, 3 + n, &out));
    ck_ok(etf_check_all(out.data + PREFIX, out.len - PREFIX, 0, 100));
    same(&out, etf, sizeof head + k);
}
#define BECOMES(value, term)                                                   \
    value_becomes(value, sizeof(value) - 1, term, sizeof(term) - 1)

START_TEST(numbers_take_the_smallest_tag)
{
    BECOMES("\x00", "\x61\x00");
    BECOMES("\xcc\xff", "\x61\xff");
    BECOMES("\xcd\x01\x00", "b\x00\x00\x01\x00");
    BECOMES("\xce\x7f\xff\xff\xff", "b\x7f\xff\xff\xff");
    BECOMES("\xce\x80\x00\x00\x00", "n\x04\x00\x00\x00\x00\x80");
    BECOMES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            "n\x08\x00\xff\xff\xff\xff\xff\xff\xff\xff");
    BECOMES("\xff", "b\xff\xff\xff\xff");
    BECOMES("\xd2\x80\x00\x00\x00", "b\x80\x00\x00\x00");
    BECOMES("\xd3\xff\xff\xff\xff\x7f\xff\xff\xff",
            "n\x04\x01\x01\x00\x00\x80");
    BECOMES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
            "n\x08\x01\x00\x00\x00\x00\x00\x00\x00\x80");
    BECOMES("\xca\x3f\xc0\x00\x00", "F\x3f\xf8\x00\x00\x00\x00\x00\x00");
}
END_TEST

START_TEST(other_values_become_what_the_header_says)
{
    BECOMES("\xc0", "w\x03nil");
    BECOMES("\xc3", "w\x04true");
    BECOMES("\xc2", "w\x05"
                    "false");
    BECOMES("\xa2ok", "m\x00\x00\x00\x02ok");
    BECOMES("\xc4\x02\xff\x00", "m\x00\x00\x00\x02\xff\x00");
    BECOMES("\x90", "j");
    BECOMES("\x92\x01\x91\xa0",
            "l\x00\x00\x00\x02\x61\x01l\x00\x00\x00\x01m\x00\x00\x00\x00jj");
    BECOMES("\x80", "t\x00\x00\x00\x00");
}
END_TEST

START_TEST(what_erlang_could_not_decode_is_refused)
{
    static const char *const bad[] = {
        "\x81\xa1k\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", /* infinity */
        "\x81\xa1k\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", /* not a number */
        "\x82\xa1k\x01\xa1k\x02@@@@@@",                  /* k twice */
        "\x83\xa1k\x01\xa1j\x01\xa1k\x02@@@",
        "\x81\xa1z\x82\xa1k\x01\xa1k\x02@@@",
    };
    for (size_t i = 0; i < 5; i++) {
        struct buf out;
        const char *end = i < 2 ? bad[i] + 12 : strchr(bad[i], '@');
        ck_err(to_etf(bad[i], (size_t)(end - bad[i]), &out), E_FORMAT);
        buf_fini(&out);
    }
}
END_TEST

/* As many equal keys as a message can hold: still refused in no time. */
START_TEST(many_keys_are_compared_quickly)
{
    struct ctl_out o;
    struct buf out;
    char key[8];
    ctl_begin(&o);
    for (int i = 0; i < 18000; i++) {
        snprintf(key, sizeof key, "%05d", i);
        ctl_put_bool(&o, key, 1);
    }
    ck_ok(ctl_end(&o));
    ck_ok(to_etf(o.bytes.data, o.bytes.len, &out));
    buf_fini(&out);
    ctl_put_bool(&o, "00777", 0);
    ck_ok(ctl_end(&o));
    ck_err(to_etf(o.bytes.data, o.bytes.len, &out), E_FORMAT);
    buf_fini(&out);
    ctl_free(&o);
}
END_TEST

START_TEST(a_full_buffer_is_left_as_it_was)
{
    for (size_t max = PREFIX; max < PREFIX + 20; max++) {
        struct buf out;
        buf_init(&out, max);
        ck_ok(buf_put(&out, "keep", PREFIX));
        ck_err(ctl_to_etf("\x82\xa1k\xa1v\xa1l\x01", 8, &out), E_LIMIT);
        ck_assert_uint_eq(out.len, PREFIX);
        buf_fini(&out);
        buf_init(&out, max);
        ck_ok(buf_put(&out, "keep", PREFIX));
        ck_err(ctl_from_etf("\x83t\0\0\0\1m\0\0\0\1km\0\0\0\x12"
                            "123456789012345678",
                            35, &out),
               E_LIMIT);
        ck_assert_uint_eq(out.len, PREFIX);
        buf_fini(&out);
    }
}
END_TEST

/* ---- from ETF ----------------------------------------------------------- */

static int
from_etf(const void *p, size_t n, struct buf *out)
{
    uint8_t *exact = malloc(n ? n : 1);
    memcpy(exact, p, n);
    start(out);
    int e = ctl_from_etf(exact, n, out);
    if (e != 0)
        ck_assert_uint_eq(out->len, PREFIX);
    free(exact);
    return e;
}

/* #{k => term} becomes the message {"k": value}, or the error. */
static int
term_to(const void *term, size_t k, struct buf *out)
{
    static const uint8_t head[] = {131, 116, 0, 0, 0, 1, 119, 1, 'k'};
    uint8_t etf[1200];
    memcpy(etf, head, sizeof head);
    memcpy(etf + sizeof head, term, k);
    return from_etf(etf, sizeof head + k, out);
}

static void
term_becomes(const void *term, size_t k, const void *value, size_t n)
{
    uint8_t message[600];
    struct buf out;
    struct ctl_in in;
    struct ctl_map m;
    memcpy(message, "\x81\xa1k", 3);
    memcpy(message + 3, value, n);
    ck_ok(term_to(term, k, &out));
    ck_ok(ctl_open(&in, out.data + PREFIX, out.len - PREFIX, &m));
    ctl_close(&in);
    same(&out, message, 3 + n);
}
#define FROM(term, value)                                                      \
    term_becomes(term, sizeof(term) - 1, value, sizeof(value) - 1)

START_TEST(terms_become_values)
{
    FROM("\x61\x05", "\x05");
    FROM("b\xff\xff\xff\xff", "\xff");
    FROM("b\x00\x01\x00\x00", "\xce\x00\x01\x00\x00");
    FROM("n\x08\x00\xff\xff\xff\xff\xff\xff\xff\xff",
         "\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    FROM("n\x08\x01\x00\x00\x00\x00\x00\x00\x00\x80",
         "\xd3\x80\x00\x00\x00\x00\x00\x00\x00");
    FROM("n\x00\x01", "\x00");
    FROM("n\x02\x01\x01\x00", "\xff");
    FROM("F\x3f\xf8\x00\x00\x00\x00\x00\x00",
         "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00");
    FROM("j", "\x90");
    FROM("k\x00\x03\x01\x02\xff", "\x93\x01\x02\xcc\xff");
    FROM("l\x00\x00\x00\x02\x61\x01jj", "\x92\x01\x90");
    FROM("h\x02\x61\x01\x61\x02", "\x92\x01\x02");
    FROM("i\x00\x00\x00\x01\x61\x01", "\x91\x01");
    FROM("h\x00", "\x90");
    FROM("t\x00\x00\x00\x01m\x00\x00\x00\x01i\x61\x01", "\x81\xa1i\x01");
    FROM("m\x00\x00\x00\x02\xc3\xa9", "\xa2\xc3\xa9");
    FROM("m\x00\x00\x00\x02\xc3\x28", "\xc4\x02\xc3\x28");
}
END_TEST

START_TEST(atoms_become_strings_but_for_three)
{
    FROM("w\x03nil", "\xc0");
    FROM("w\x04true", "\xc3");
    FROM("d\x00\x05"
         "false",
         "\xc2");
    FROM("w\x05nil42", "\xa5nil42");
    FROM("v\x00\x02\xc3\xa9", "\xa2\xc3\xa9");
    FROM("s\x02\xe9x", "\xa3\xc3\xa9x");
    FROM("d\x00\x01\xff", "\xa2\xc3\xbf");
    uint8_t term[3 + 256] = {100, 0, 255}, value[3 + 510] = {0xda, 1, 254};
    struct buf out;
    memset(term + 3, 0xe9, 256);
    for (int i = 0; i < 255; i++)
        memcpy(value + 3 + 2 * i, "\xc3\xa9", 2);
    term_becomes(term, 3 + 255, value, sizeof value);
    term[1] = 1;
    term[2] = 0;
    ck_err(term_to(term, sizeof term, &out), E_FORMAT);
    buf_fini(&out);
}
END_TEST

/* As keys, all three are names. */
START_TEST(keys_are_names)
{
    static const uint8_t etf[] = {131, 116, 0,   0,   0,   2,   119, 3,
                                  'n', 'i', 'l', 97,  1,   109, 0,   0,
                                  0,   4,   't', 'r', 'u', 'e', 97,  2};
    struct buf out;
    ck_ok(from_etf(etf, sizeof etf, &out));
    same(&out, "\x82\xa3nil\x01\xa4true\x02", 12);
}
END_TEST

static void
refused(const void *term, size_t n, int error)
{
    struct buf out;
    ck_err(term_to(term, n, &out), error);
    buf_fini(&out);
}
#define NOT(term, error) refused(term, sizeof(term) - 1, error)

START_TEST(what_a_message_cannot_carry_is_refused)
{
    NOT("n\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", E_REFUSED);
    NOT("n\x08\x01\x01\x00\x00\x00\x00\x00\x00\x80", E_REFUSED);
    NOT("o\x00\x00\x00\x01\x00\x01", E_REFUSED);
    NOT("l\x00\x00\x00\x01\x61\x01\x61\x02", E_REFUSED); /* improper */
    NOT("M\x00\x00\x00\x01\x03\xe0", E_REFUSED);
    NOT("Xw\x01n\0\0\0\0\0\0\0\0\0\0\0\0", E_REFUSED);
    NOT("P\x00\x00\x00\x05", E_REFUSED);
    NOT("\x00", E_REFUSED);
    NOT("t\x00\x00\x00\x01\x61\x01\x61\x01", E_REFUSED); /* key 1 */
    NOT("t\x00\x00\x00\x01m\x00\x00\x00\x01\xff\x61\x01", E_REFUSED);
    NOT("F\x7f\xf0\x00\x00\x00\x00\x00\x00", E_FORMAT);
    NOT("w\x01\xff", E_FORMAT);
    NOT("l\xff\xff\xff\xff\x61\x01j", E_SHORT);
    NOT("i\xff\xff\xff\xff\x61\x01", E_SHORT);
    NOT("t\xff\xff\xff\xffj", E_SHORT);
    NOT("m\xff\xff\xff\xff", E_SHORT);
    NOT("jj", E_TRAILING);
    NOT("", E_SHORT);
}
END_TEST

START_TEST(only_maps_are_messages)
{
    struct buf out;
    ck_err(from_etf("\x83j", 2, &out), E_REFUSED);
    buf_fini(&out);
    ck_err(from_etf("\x82t\0\0\0\0", 6, &out), E_FORMAT);
    buf_fini(&out);
    ck_err(from_etf("\x83", 1, &out), E_SHORT);
    buf_fini(&out);
    ck_ok(from_etf("\x83t\0\0\0\0", 6, &out));
    same(&out, "\x80", 1);
}
END_TEST

START_TEST(depth_has_the_limit_that_readers_have)
{
    uint8_t term[300];
    for (size_t lists = 28; lists < 36; lists++) {
        struct buf out;
        struct ctl_in in;
        struct ctl_map m;
        for (size_t i = 0; i < lists; i++)
            memcpy(term + 2 * i, "h\x01", 2);
        term[2 * lists] = 'j';
        int e = term_to(term, 2 * lists + 1, &out);
        ck_err(e, 2 + lists <= 32 ? 0 : E_DEPTH);
        if (e == 0) {
            ck_ok(ctl_open(&in, out.data + PREFIX, out.len - PREFIX, &m));
            ctl_close(&in);
        }
        buf_fini(&out);
    }
}
END_TEST

START_TEST(the_size_has_the_limit_that_readers_have)
{
    size_t n = WIRE_LIMIT_MAX_CONTROL;
    uint8_t *etf = malloc(n + 100);
    memcpy(etf, "\x83t\0\0\0\1w\1km", 10);
    for (size_t k = n - 12; k < n; k++) {
        struct buf out;
        put_be32(etf + 10, (uint32_t)k);
        memset(etf + 14, 'x', k);
        int e = from_etf(etf, 14 + k, &out);
        ck_err(e, 1 + 2 + 5 + k <= n ? 0 : E_LIMIT);
        buf_fini(&out);
    }
    free(etf);
}
END_TEST

/* ---- both --------------------------------------------------------------- */

static const char round_trip[] =
    "\x85\xa1l\x93\x01\xff\xa1z\xa1m\x81\xa1x\xc4\x02\xff\xfe\xa1n\xc0\xa1t\xc3"
    "\xa1r\xcb\x40\x09\x21\xfb\x54\x44\x2d\x18";

static int
there_and_back(void)
{
    struct buf etf, back;
    buf_init(&etf, 1000);
    buf_init(&back, 1000);
    int e = ctl_to_etf(round_trip, sizeof round_trip - 1, &etf);
    if (e == 0)
        e = ctl_from_etf(etf.data, etf.len, &back);
    if (e == 0) {
        ck_assert_uint_eq(back.len, sizeof round_trip - 1);
        ck_assert_mem_eq(back.data, round_trip, back.len);
    } else {
        ck_assert_uint_eq(back.len, 0);
    }
    buf_fini(&etf);
    buf_fini(&back);
    return e;
}

START_TEST(there_and_back_with_every_allocation_failing)
{
    each_allocation_fails(there_and_back);
}
END_TEST

START_TEST(truncated_and_flipped_terms_do_no_harm)
{
    struct buf etf, out;
    buf_init(&etf, 1000);
    ck_ok(ctl_to_etf(round_trip, sizeof round_trip - 1, &etf));
    for (size_t n = 0; n < etf.len; n++) {
        int e = from_etf(etf.data, n, &out);
        ck_assert(e == E_SHORT);
        buf_fini(&out);
    }
    for (size_t bit = 0; bit < 8 * etf.len; bit++) {
        struct ctl_in in;
        struct ctl_map m;
        etf.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (from_etf(etf.data, etf.len, &out) == 0) {
            ck_ok(ctl_open(&in, out.data + PREFIX, out.len - PREFIX, &m));
            ctl_close(&in);
        }
        buf_fini(&out);
        etf.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_fini(&etf);
}
END_TEST

START_TEST(utf8_is_counted_and_refused)
{
    static const struct {
        const char *text;
        long length;
    } cases[] = {
        {"", 0},
        {"abc", 3},
        {"\xc2\x80", 1},
        {"\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 5},
        {"\xed\x9f\xbf\xee\x80\x80", 2},
        {"\x80", -1},
        {"\xc0\x80", -1},
        {"\xc1\xbf", -1},
        {"\xc2", -1},
        {"\xc2\x20", -1},
        {"\xc2\xc0", -1},
        {"\xe0\x9f\xbf", -1},
        {"\xed\xa0\x80", -1},
        {"\xe1\x80", -1},
        {"\xe1\x80\xc0", -1},
        {"\xf0\x8f\xbf\xbf", -1},
        {"\xf4\x90\x80\x80", -1},
        {"\xf1\x80\x80", -1},
        {"\xf1\x80\x80\x7f", -1},
        {"\xf5\x80\x80\x80", -1},
        {"\xff", -1},
        {"abc\xff", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *t = cases[i].text;
        ck_assert_msg(utf8_length((const uint8_t *)t, strlen(t)) ==
                          cases[i].length,
                      "case %zu", i);
    }
}
END_TEST

Suite *
make_ctl_etf_suite(void)
{
    const TTest *const tests[] = {numbers_take_the_smallest_tag,
                                  other_values_become_what_the_header_says,
                                  what_erlang_could_not_decode_is_refused,
                                  many_keys_are_compared_quickly,
                                  a_full_buffer_is_left_as_it_was,
                                  terms_become_values,
                                  atoms_become_strings_but_for_three,
                                  keys_are_names,
                                  what_a_message_cannot_carry_is_refused,
                                  only_maps_are_messages,
                                  depth_has_the_limit_that_readers_have,
                                  the_size_has_the_limit_that_readers_have,
                                  there_and_back_with_every_allocation_failing,
                                  truncated_and_flipped_terms_do_no_harm,
                                  utf8_is_counted_and_refused,
                                  NULL};
    return suite_of("ctl_etf", tests, 30);
}
