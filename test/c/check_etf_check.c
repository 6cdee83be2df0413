/* SPDX-License-Identifier: Apache-2.0 */
/* check_etf_check.c - the ETF checker, per tag, in every chunk size.
 * That binary_to_term agrees is prop_etf_check.erl's business. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "etf_check.h"
#include "etf_tags.h"
#include "support_check.h"

enum { IDS = ETF_ALLOW_IDS, FUNS = ETF_ALLOW_FUNS, ALL = IDS | FUNS };
enum { MANY = 1000 }; /* levels */

/* Feed it in pieces of `step` bytes; the verdict once all is there. */
static int
in_steps(const uint8_t *p, size_t n, uint32_t flags, uint32_t depth,
         size_t step)
{
    struct etf_check c;
    int e = E_AGAIN;
    size_t at = 0;
    etf_check_init(&c, flags, depth);
    do {
        at = n - at < step ? n : at + step;
        size_t before = c.at;
        e = etf_check(&c, p, at);
        /* Check's macros note each use in a file, too slow for here. */
        if (c.at < before || c.at > at)
            ck_abort_msg("went from %zu to %zu of %zu", before, c.at, at);
        if (e != 0 && e != E_AGAIN && e != E_TRAILING &&
            etf_check(&c, p, at) != e)
            ck_abort_msg("%s was not final", err_name(e));
    } while (at < n && (e == 0 || e == E_AGAIN));
    return e == E_AGAIN ? E_SHORT : e;
}

/* The verdict must not depend on how the bytes came. */
static int
verdict(const void *bytes, size_t n, uint32_t flags, uint32_t depth)
{
    uint8_t *p = malloc(n ? n : 1); /* exact: a sanitizer sees more */
    memcpy(p, bytes, n);
    int e = etf_check_all(p, n, flags, depth);
    for (size_t step = 1; step <= n + 1; step += step < 20 ? 1 : step)
        ck_err(in_steps(p, n, flags, depth, step), e);
    free(p);
    return e;
}

#define VERDICT(text, flags) verdict("\x83" text, sizeof text, flags, MANY)
#define YES(text) ck_ok(VERDICT(text, 0))
#define NO(text, error) ck_err(VERDICT(text, ALL), error)
/* Accepted with the flag, refused without it. */
#define WITH(flag, text)                                                       \
    do {                                                                       \
        ck_ok(VERDICT(text, flag));                                            \
        ck_err(VERDICT(text, ALL & ~(flag)), E_REFUSED);                       \
    } while (0)

static int
verdict_of_big(uint32_t bytes, uint32_t flags)
{
    uint8_t *p = calloc(1, bytes + 7);
    memcpy(p, "\x83o", 2);
    p[4] = (uint8_t)(bytes >> 8);
    p[5] = (uint8_t)bytes;
    int e = etf_check_all(p, bytes + 7, flags, MANY);
    free(p);
    return e;
}

/* Printing one takes the square of its size. */
START_TEST(large_integers_of_strangers)
{
    ck_ok(verdict_of_big(4096, 0));
    ck_err(verdict_of_big(4097, 0), E_LIMIT);
    ck_err(verdict_of_big(4097, ETF_ALLOW_HANDLES), E_LIMIT);
    ck_ok(verdict_of_big(4097, IDS));
}
END_TEST

START_TEST(integers)
{
    YES("a\x00");
    YES("a\xff");
    YES("b\x80\x00\x00\x00");
    YES("n\x00\x00");
    YES("n\x01\x01\x05");
    YES("n\x04\xff\x01\x00\x00\x00"); /* any sign, leading zeros */
    YES("o\x00\x00\x00\x02\x00\x01\x02");
    NO("a", E_SHORT);
    NO("b\x00\x00\x00", E_SHORT);
    NO("n\x02\x00\x01", E_SHORT);
    NO("n\x02", E_SHORT);
    NO("o\x00\x00\x00\x02\x00\x01", E_SHORT);
    NO("o\x00\x10\x00\x00\x00", E_SHORT); /* the largest big there may be */
    NO("o\x00\x10\x00\x01\x00", E_LIMIT);
    NO("o\xff\xff\xff\xff\x00", E_LIMIT);
}
END_TEST

START_TEST(floats_are_finite)
{
    YES("F\x3f\xf0\x00\x00\x00\x00\x00\x00");
    YES("F\x80\x00\x00\x00\x00\x00\x00\x00");
    YES("F\x7f\xef\xff\xff\xff\xff\xff\xff");
    YES("F\xff\xef\xff\xff\xff\xff\xff\xff");
    YES("F\x00\x00\x00\x00\x00\x00\x00\x01");
    NO("F\x7f\xf0\x00\x00\x00\x00\x00\x00", E_FORMAT);
    NO("F\xff\xf0\x00\x00\x00\x00\x00\x00", E_FORMAT);
    NO("F\x7f\xf8\x00\x00\x00\x00\x00\x00", E_FORMAT);
    NO("F\x7f\xf0\x00\x00\x00\x00\x00\x01", E_FORMAT);
    NO("F\x3f\xf0\x00\x00\x00\x00\x00", E_SHORT);
    NO("c1.00000000000000000000e+00\0\0\0\0\0", E_REFUSED);
}
END_TEST

START_TEST(atoms_are_utf8)
{
    YES("w\x00");
    YES("w\x02ok");
    YES("w\x02\xc3\xa9");
    YES("v\x00\x02ok");
    YES("v\x00\x00");
    NO("w\x02\xc3", E_SHORT);
    NO("w\x03ok", E_SHORT);
    NO("w\x01\xe9", E_FORMAT);
    NO("w\x02\xc0\x80", E_FORMAT);
    NO("w\x03\xed\xa0\x80", E_FORMAT);
    NO("v\x03\xfd", E_LIMIT);
    NO("s\x02ok", E_REFUSED);
    NO("d\x00\x02ok", E_REFUSED);
}
END_TEST

START_TEST(atoms_have_255_characters_at_most)
{
    uint8_t p[4 + 1024] = {131, ETF_ATOM_UTF8};
    for (size_t width = 1; width <= 4; width++) {
        static const char *const each[] = {"", "a", "\xc3\xa9", "\xe2\x82\xac",
                                           "\xf0\x9f\x90\x8d"};
        for (size_t count = 254; count <= 256; count++) {
            put_be16(p + 2, (uint16_t)(width * count));
            for (size_t i = 0; i < count; i++)
                memcpy(p + 4 + i * width, each[width], width);
            ck_err(verdict(p, 4 + width * count, 0, MANY),
                   count <= 255 ? 0 : E_LIMIT);
        }
    }
}
END_TEST

START_TEST(bytes_and_bits)
{
    YES("k\x00\x00");
    YES("k\x00\x03"
        "abc");
    YES("m\x00\x00\x00\x00");
    YES("m\x00\x00\x00\x03\x83\xff\x00");
    YES("M\x00\x00\x00\x01\x01\x80");
    YES("M\x00\x00\x00\x02\x08\x80\xff");
    NO("k\x00\x04"
       "abc",
       E_SHORT);
    NO("m\xff\xff\xff\xff"
       "abc",
       E_SHORT);
    NO("M\x00\x00\x00\x01\x00\x80", E_FORMAT);
    NO("M\x00\x00\x00\x01\x09\x80", E_FORMAT);
    NO("M\x00\x00\x00\x00\x01", E_FORMAT);
    NO("M\x00\x00\x00\x00\x00", E_FORMAT);
    NO("M\x00\x00\x00\x02\x01\x80", E_SHORT);
}
END_TEST

START_TEST(containers)
{
    YES("j");
    YES("h\x00");
    YES("i\x00\x00\x00\x00");
    YES("t\x00\x00\x00\x00");
    YES("l\x00\x00\x00\x00j");
    YES("l\x00\x00\x00\x00\x61\x01"); /* a list of its tail only */
    YES("l\x00\x00\x00\x02\x61\x01\x61\x02j");
    YES("l\x00\x00\x00\x01\x61\x01\x61\x02");
    YES("h\x02\x61\x01h\x02jj");
    YES("i\x00\x00\x00\x02jj");
    YES("t\x00\x00\x00\x01\x61\x01t\x00\x00\x00\x01jj");
    YES("t\x00\x00\x00\x02jjjj"); /* a key twice: not our business */
    YES("l\x00\x00\x00\x01l\x00\x00\x00\x01l\x00\x00\x00\x01jjjj");
    NO("l\x00\x00\x00\x01\x61\x01", E_SHORT);
    NO("l\xff\xff\xff\xffj", E_SHORT);
    NO("h\x02j", E_SHORT);
    NO("t\x00\x00\x00\x01j", E_SHORT);
    NO("t\xff\xff\xff\xffj", E_SHORT);
    NO("i\x00\xff\xff\xffj", E_SHORT);
    NO("i\x01\x00\x00\x00j", E_LIMIT);
    NO("h\x02j\x83j", E_FORMAT);
}
END_TEST

#define NODE "w\x03n@h"
#define W4 "\x00\x00\x00\x07"

START_TEST(pids_and_ports_need_leave)
{
    WITH(IDS, "X" NODE W4 W4 W4);
    WITH(IDS, "g" NODE W4 W4 "\x03");
    WITH(IDS, "x" NODE W4 W4 W4);
    WITH(IDS, "Y" NODE W4 W4);
    WITH(IDS, "f" NODE W4 "\x03");
    WITH(IDS, "Xv\x00\x03n@h" W4 W4 W4);
    NO("X" NODE W4 W4 "\x00\x00\x00", E_SHORT);
    NO("X", E_SHORT);
    NO("X\x61\x01" W4 W4 W4, E_REFUSED);
    NO("Xd\x00\x01n" W4 W4 W4, E_REFUSED);
    NO("Xw\x01\xff" W4 W4 W4, E_FORMAT);
    NO("g" NODE W4 W4 "\x04", E_FORMAT);
    NO("f" NODE W4 "\x04", E_FORMAT);
    NO("x" NODE W4 W4 "\x00\x00\x00", E_SHORT);
}
END_TEST

START_TEST(references_need_leave)
{
    WITH(IDS, "Z\x00\x01" NODE W4 W4);
    WITH(IDS, "Z\x00\x03" NODE W4 "\xff\xff\xff\xff" W4 W4);
    WITH(IDS, "Z\x00\x05" NODE W4 W4 W4 W4 W4 W4);
    WITH(IDS, "r\x00\x03" NODE "\x03" W4 W4 W4);
    WITH(IDS, "r\x00\x01" NODE "\x00\x00\x03\xff\xff");
    NO("Z\x00\x00" NODE W4, E_FORMAT);
    NO("Z\x00\x06" NODE W4 W4 W4 W4 W4 W4 W4, E_FORMAT);
    NO("r\x00\x01" NODE "\x04" W4, E_FORMAT);
    NO("r\x00\x01" NODE "\x00\x00\x04\x00\x00", E_FORMAT);
    NO("Z\x00\x03" NODE W4 W4 W4, E_SHORT);
    NO("Z\x00\x01\x61\x01" W4 W4, E_REFUSED);
    NO("e" NODE W4 "\x00", E_REFUSED);
}
END_TEST

#define FUN(free) "p" W4 "\x01" W4 W4 W4 W4 W4 "\x00\x00\x00" free "w\x01m"
#define PID "X" NODE W4 W4 W4

START_TEST(funs_need_leave)
{
    WITH(FUNS, "qw\x01mw\x01"
               "f\x61\x02");
    WITH(FUNS, FUN("\x00") "\x61\x01\x61\x02" PID);
    WITH(FUNS, FUN("\x00") "b" W4 "b" W4 "g" NODE W4 W4 "\x00");
    WITH(FUNS,
         "l\x00\x00\x00\x01" FUN("\x02") "\x61\x01\x61\x02" PID "\x61\x01jj");
    NO("qw\x01mw\x01"
       "fb\x00\x00\x00\x02",
       E_REFUSED);
    NO("qw\x01mw\x01"
       "f\x61",
       E_SHORT);
    NO("qw\x01m\x61\x01\x61\x02", E_REFUSED);
    NO(FUN("\x00") "\x61\x01\x61\x02j", E_REFUSED);
    NO(FUN("\x00") "j\x61\x02" PID, E_REFUSED);
    NO(FUN("\x01") "\x61\x01\x61\x02" PID, E_SHORT);
    NO(FUN("\x00") "\x61\x01", E_SHORT);
    NO("p" W4 "\x01" W4 W4 W4 W4 W4 "\x00\x00\x01\x00w\x01m", E_LIMIT);
}
END_TEST

START_TEST(nothing_else_is_a_term)
{
    static const char known[] = "FMPXYZabcdefghijklmnopqrstvwxy";
    for (int tag = 0; tag < 256; tag++) {
        uint8_t p[2] = {131, (uint8_t)tag};
        if (tag != 0 && strchr(known, tag) != NULL)
            continue;
        ck_err(verdict(p, 2, ALL, MANY), E_FORMAT);
    }
    NO("P\x00\x00\x00\x02\x78\x9c\x4b\x04\x00\x00\x62\x00\x62", E_REFUSED);
    NO("y\x00\x00\x00\x00j", E_REFUSED);
    NO("h\x01P\x00\x00\x00\x02\x78", E_REFUSED);
    NO("\x83j", E_FORMAT);
    NO("", E_SHORT);
    ck_err(verdict("", 0, 0, MANY), E_SHORT);
    ck_err(verdict("\x82j", 2, 0, MANY), E_FORMAT);
    ck_err(verdict("j", 1, 0, MANY), E_FORMAT);
}
END_TEST

START_TEST(one_term_and_not_a_byte_more)
{
    NO("jj", E_TRAILING);
    NO("\x61\x01\x61\x01", E_TRAILING);
    NO("h\x01jj", E_TRAILING);
    NO("m\x00\x00\x00\x01"
       "ab",
       E_TRAILING);
    NO("m\x00\x00\x00\x00\x00", E_TRAILING);
    NO("l\x00\x00\x00\x01\x61\x01j\x00", E_TRAILING);
}
END_TEST

/* n containers around a small integer. */
static size_t
nest(uint8_t *p, size_t n)
{
    p[0] = 131;
    for (size_t i = 0; i < n; i++) {
        p[1 + 2 * i] = ETF_SMALL_TUPLE;
        p[2 + 2 * i] = 1;
    }
    p[1 + 2 * n] = ETF_SMALL_INTEGER;
    p[2 + 2 * n] = 5;
    return 3 + 2 * n;
}

START_TEST(depth_has_its_limit)
{
    uint8_t p[3000];
    for (uint32_t max = 0; max <= 3; max++)
        for (uint32_t n = 0; n <= 5; n++)
            ck_err(verdict(p, nest(p, n), 0, max), n <= max ? 0 : E_DEPTH);
    ck_ok(verdict(p, nest(p, MANY), 0, MANY));
    ck_err(verdict(p, nest(p, MANY + 1), 0, MANY), E_DEPTH);
    ck_ok(verdict(p, nest(p, ETF_CHECK_MAX_DEPTH), 0, UINT32_MAX));
    ck_err(verdict(p, nest(p, ETF_CHECK_MAX_DEPTH + 1), 0, UINT32_MAX),
           E_DEPTH);
    /* The last element is as deep as the first; brothers are not deeper. */
    ck_ok(verdict("\x83h\x02h\x01jh\x01j", 9, 0, 2));
    ck_err(verdict("\x83h\x02h\x01jh\x01j", 9, 0, 1), E_DEPTH);
    ck_ok(verdict("\x83h\x01h\x00", 5, 0, 1)); /* {} holds nothing */
}
END_TEST

/* One large term of each kind of part, cut everywhere and flipped. */
static const char mixed[] =
    "\x83h\x07l\x00\x00\x00\x03\x61\x01\x61\x02\x61\x03j"
    "t\x00\x00\x00\x02w\x01k\x61\x01m\x00\x00\x00\x02vvk\x00\x02yz"
    "M\x00\x00\x00\x01\x03\xe0" PID "Z\x00\x02" NODE W4 W4 W4
    "F\x3f\xf0\x00\x00\x00\x00\x00\x00n\x03\x01\x01\x02\x03";

START_TEST(every_truncation_is_short)
{
    size_t n = sizeof mixed - 1;
    ck_ok(verdict(mixed, n, IDS, MANY));
    for (size_t k = 0; k < n; k++)
        ck_err(verdict(mixed, k, IDS, MANY), E_SHORT);
}
END_TEST

START_TEST(flipped_bits_get_one_verdict)
{
    uint8_t p[sizeof mixed];
    memcpy(p, mixed, sizeof mixed);
    for (size_t bit = 0; bit < 8 * (sizeof mixed - 1); bit++) {
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int e = verdict(p, sizeof mixed - 1, IDS, MANY);
        ck_assert(e == 0 || e == E_SHORT || e == E_FORMAT || e == E_REFUSED ||
                  e == E_TRAILING || e == E_LIMIT);
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

/* Each file that Erlang wrote (scripts/gen_golden.escript), cut at each byte
 * and with each bit flipped. */
static void
mutate_golden(const char *path)
{
    uint8_t p[300];
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "cannot open %s", path);
    size_t n = fread(p, 1, sizeof p, f);
    fclose(f);
    if (n == sizeof p)
        return; /* the large ones hold nothing that the small ones lack */
    int whole = etf_check_all(p, n, ALL, MANY);
    for (size_t k = 0; k < n; k++) {
        int e = etf_check_all(p, k, ALL, MANY);
        if (e != E_SHORT && (whole == 0 || e == E_AGAIN))
            ck_abort_msg("%s cut at %zu: %s", path, k, err_name(e));
        if (in_steps(p, k, ALL, MANY, 1) != e)
            ck_abort_msg("%s cut at %zu in steps", path, k);
    }
    for (size_t bit = 0; bit < 8 * n; bit++) {
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (in_steps(p, n, ALL, MANY, 1) != etf_check_all(p, n, ALL, MANY))
            ck_abort_msg("%s with bit %zu flipped", path, bit);
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

START_TEST(golden_files_cut_and_flipped)
{
    glob_t g;
    ck_assert_int_eq(glob("test/data/etf/*.etf", 0, NULL, &g), 0);
    ck_assert_uint_gt(g.gl_pathc, 50);
    for (size_t i = 0; i < g.gl_pathc; i++)
        mutate_golden(g.gl_pathv[i]);
    globfree(&g);
}
END_TEST

/* Long lists take the short cut; in every chunk size it must agree. */
START_TEST(lists_of_small_integers)
{
    enum { COUNT = 5000 };
    uint8_t *p = malloc(8 + 2 * COUNT);
    memcpy(p, "\x83l", 2);
    put_be32(p + 2, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        p[6 + 2 * i] = ETF_SMALL_INTEGER;
        p[7 + 2 * i] = (uint8_t)i;
    }
    p[6 + 2 * COUNT] = ETF_NIL;
    ck_ok(verdict(p, 7 + 2 * COUNT, 0, 1));
    ck_err(verdict(p, 6 + 2 * COUNT, 0, 1), E_SHORT);
    p[6 + 2 * COUNT] = ETF_SMALL_INTEGER; /* improper */
    p[7 + 2 * COUNT] = 3;
    ck_ok(verdict(p, 8 + 2 * COUNT, 0, 1));
    p[6 + 2 * 777] = 0;
    ck_err(verdict(p, 8 + 2 * COUNT, 0, 1), E_FORMAT);
    free(p);
}
END_TEST

#define HANDLE "w\x09py_handle"

/* Ids without leave pass as handles, in exactly one form of each kind. */
START_TEST(handles_are_ids_of_one_form)
{
    enum { HANDLES = ETF_ALLOW_HANDLES };
    ck_ok(VERDICT("X" HANDLE "\0\0\0\7\0\0\0\0\0\0\0\1", HANDLES));
    ck_ok(VERDICT("Y" HANDLE "\0\0\0\7\0\0\0\1", HANDLES));
    ck_ok(VERDICT("Z\0\3" HANDLE "\0\0\0\1\0\0\0\0\0\0\0\7\0\0\0\0", HANDLES));
    static const char *const others[] = {
        "X" HANDLE "\0\0\0\7\0\0\0\0\0\0\0\2",
        "Y" HANDLE "\0\0\0\7\0\0\1\1",
        "Z\0\3" HANDLE "\0\0\0\2\0\0\0\0\0\0\0\7\0\0\0\0",
        "Z\0\2" HANDLE "\0\0\0\1\0\0\0\0\0\0\0\7",
        "Xw\x09py_handlf\0\0\0\7\0\0\0\0\0\0\0\1",
        "Xv\0\x09py_handle\0\0\0\7\0\0\0\0\0\0\0\1",
        "g" HANDLE "\0\0\0\7\0\0\0\0\1",
        "x" HANDLE "\0\0\0\0\0\0\0\7\0\0\0\1"};
    static const size_t sizes[] = {24, 20, 30, 26, 24, 25, 21, 24};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        uint8_t p[40] = {131};
        memcpy(p + 1, others[i], sizes[i]);
        ck_ok(verdict(p, sizes[i] + 1, IDS, MANY));
        ck_err(verdict(p, sizes[i] + 1, HANDLES, MANY), E_REFUSED);
    }
    ck_err(VERDICT("q" HANDLE HANDLE "a\0", HANDLES), E_REFUSED);
}
END_TEST

/* The least bound with which it passes, in every chunk size. */
static uint64_t
words(const char *bytes, size_t n)
{
    struct etf_check c;
    etf_check_init(&c, ALL, MANY);
    ck_ok(etf_check(&c, (const uint8_t *)bytes, n));
    uint64_t least = c.words;
    for (size_t step = 1; least > 0 && step <= n; step++) {
        etf_check_init(&c, ALL, MANY);
        c.max_words = least - 1;
        int e = E_AGAIN;
        for (size_t at = step; e == E_AGAIN; at += step)
            e = etf_check(&c, (const uint8_t *)bytes, at < n ? at : n);
        ck_err(e, E_WORDS);
    }
    etf_check_init(&c, ALL, MANY);
    c.max_words = least;
    ck_ok(etf_check(&c, (const uint8_t *)bytes, n));
    return least;
}

/* At least what Erlang takes (erts_debug:flat_size/1 says as much), not many
 * more.  No head alone is worth a bound of which nothing has come. */
START_TEST(words_are_counted)
{
#define WORDS(text) words("\x83" text, sizeof text)
    ck_assert_uint_eq(WORDS("a\1"), 0);
    ck_assert_uint_eq(WORDS("w\2ok"), 0);
    ck_assert_uint_eq(WORDS("j"), 0);
    ck_assert_uint_eq(WORDS("F\x3f\xf0\0\0\0\0\0\0"), 2);
    ck_assert_uint_eq(WORDS("k\0\5abcde"), 10);
    ck_assert_uint_eq(WORDS("l\0\0\0\3a\1a\2a\3j"), 6);
    ck_assert_uint_eq(WORDS("h\2a\1a\2"), 3);
    ck_assert_uint_ge(WORDS("t\0\0\0\1a\1a\2"), 5);
    ck_assert_uint_ge(WORDS("n\x09\0"
                            "123456789"),
                      3);
    ck_assert_uint_ge(WORDS("m\0\0\0\x03"
                            "abc"),
                      3);
    ck_assert_uint_eq(WORDS("l\0\0\0\2h\1a\1k\0\1ej"), 8);
    struct etf_check c;
    etf_check_init(&c, 0, MANY);
    c.max_words = 1 << 20;
    ck_err(etf_check(&c, (const uint8_t *)"\x83l\xff\xff\xff\xff", 6), E_WORDS);
}
END_TEST

Suite *
make_etf_check_suite(void)
{
    const TTest *const tests[] = {integers,
                                  large_integers_of_strangers,
                                  handles_are_ids_of_one_form,
                                  words_are_counted,
                                  floats_are_finite,
                                  atoms_are_utf8,
                                  atoms_have_255_characters_at_most,
                                  bytes_and_bits,
                                  containers,
                                  pids_and_ports_need_leave,
                                  references_need_leave,
                                  funs_need_leave,
                                  nothing_else_is_a_term,
                                  one_term_and_not_a_byte_more,
                                  depth_has_its_limit,
                                  every_truncation_is_short,
                                  flipped_bits_get_one_verdict,
                                  golden_files_cut_and_flipped,
                                  lists_of_small_integers,
                                  NULL};
    return suite_of("etf_check", tests, 30);
}
