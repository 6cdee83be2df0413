/* SPDX-License-Identifier: Apache-2.0 */
/* check_etf_part.c - a binary that is received apart: it is found wherever the
 * bytes end, and the term is the same as if it had never been taken out. */
#include "pysupport_etf.h"

#include <stdlib.h>
#include <string.h>

#include "etf_decode.h"
#include "etf_find.h"

enum { LONGEST = 3000 };

/* What came of a term: its repr, or what was wrong with it; free() it. */
static char *
outcome(PyObject *o)
{
    PyObject *shown = o;
    if (o == NULL) {
        ck_assert(PyErr_ExceptionMatches(PyExc_ValueError));
        shown = py_err_take();
    }
    char *text = repr_of(shown);
    Py_DECREF(shown);
    return text;
}

/* The part as it may have been received: ASCII as str, or all as bytes. */
static PyObject *
received(const uint8_t *p, size_t n, int text)
{
    for (size_t i = 0; text && i < n; i++)
        text = p[i] < 0x80;
    if (text)
        return PyUnicode_DecodeASCII((const char *)p, (Py_ssize_t)n, NULL);
    return PyBytes_FromStringAndSize((const char *)p, (Py_ssize_t)n);
}

static void
same_without(const uint8_t *p, size_t n, const struct etf_found *f, int text)
{
    char *want = outcome(etf_decode(p, n, NULL));
    size_t rest = n - f->length;
    uint8_t *cut = malloc(rest); /* exactly, for the sanitizer */
    ck_assert_ptr_nonnull(cut);
    memcpy(cut, p, f->at);
    memcpy(cut + f->at, p + f->at + f->length, rest - f->at);
    struct etf_part part = {received(p + f->at, f->length, text), f->at,
                            f->length};
    PyObject *o = etf_decode_part(cut, rest, &part, NULL);
    ck_assert_ptr_null(o == NULL ? NULL : part.object);
    char *got = outcome(o);
    ck_assert_str_eq(got, want);
    Py_CLEAR(part.object);
    free(got);
    free(want);
    free(cut);
}

/* With every beginning of these bytes; how often something was found. */
static int
every_beginning(const uint8_t *p, size_t n)
{
    int found = 0;
    struct etf_found f;
    for (size_t have = 0; have <= n; have++) {
        if (!etf_find(p, have, n, 1, &f))
            continue;
        found++;
        ck_assert_uint_le(f.at, have);
        ck_assert_uint_gt(f.at + f.length, have);
        ck_assert_uint_le(f.at + f.length, n);
        ck_assert_uint_eq(p[f.at - 5], 109);
        same_without(p, n, &f, 0);
        same_without(p, n, &f, 1);
    }
    return found;
}

static int golden_found;

static void
check_golden(const struct golden *g)
{
    if (g->etf_len <= LONGEST)
        golden_found +=
            every_beginning((const uint8_t *)g->etf, g->etf_len) > 0;
}

START_TEST(golden_terms)
{
    each_golden("", 100, check_golden);
    ck_assert_int_gt(golden_found, 5);
}
END_TEST

START_TEST(in_every_place)
{
    static const char *const values[] = {
        "b'\\xff123456789'",
        "'only text'",
        "'gr\\u00fc\\u00df dich'",
        "[b'\\xff1234', 'abcdef', b'\\xfe7']",
        "(Atom('m'), Atom('f'), ['x' * 50, 2 ** 70, 1.5], {'k': 'v' * 30})",
        "{'key' * 9: [1, (), [], {}], 5: b'\\xff' * 40, 'z': -1}",
        "[list(range(200)), list(range(300)), 2 ** 4000, 'end' * 9]",
        "((((('deep' * 5,),),),), ImproperList((1,), 'tail' * 5))",
        "tuple(range(300)) + ('after' * 5,)",
        "Atom('x' * 255), Atom('\\u20ac' * 200), 'last one'",
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct buf b;
        buf_init(&b, WIRE_LIMIT_MAX_FRAME);
        encode_expression(values[i], &b);
        ck_assert_int_gt(every_beginning(b.data, b.len), 5);
        buf_fini(&b);
    }
}
END_TEST

/* {bytes, Binary} is bytes, whatever is in it and however it was received. */
START_TEST(in_a_pair_of_bytes)
{
    static const uint8_t pair[] = {131, 104, 2,   119, 5,   'b', 'y',
                                   't', 'e', 's', 109, 0,   0,   0,
                                   5,   'a', 'b', 'c', 'd', 'e'};
    struct etf_found f;
    ck_assert_int_eq(every_beginning(pair, sizeof pair), 5);
    ck_assert_int_eq(etf_find(pair, 17, sizeof pair, 1, &f), 1);
    ck_assert_int_eq(f.as_bytes, 1);
    struct etf_part part = {received(pair + 15, 5, 0), f.at, f.length};
    PyObject *same = part.object;
    PyObject *o = etf_decode_part(pair, 15, &part, NULL);
    ck_assert_ptr_eq(o, same); /* moved, not copied */
    ck_assert_int_eq(Py_REFCNT(o), 1);
    Py_DECREF(o);
}
END_TEST

/* What is small, or cannot be all of it, or comes after too much, is not. */
START_TEST(not_found)
{
    static const uint8_t b[] = {131, 109, 0, 0, 0, 9, 'x'};
    static uint8_t many[6 + 2 * 10000 + 6] = {131, 108, 0, 0, 0x27, 0x11};
    struct etf_found f;
    ck_assert_int_eq(etf_find(b, sizeof b, 15, 9, &f), 1);
    ck_assert_int_eq(etf_find(b, sizeof b, 15, 10, &f), 0);
    ck_assert_int_eq(etf_find(b, sizeof b, 14, 9, &f), 0);
    ck_assert_int_eq(etf_find(b, sizeof b, 0, 9, &f), 0);
    for (size_t i = 0; i < 10000; i++)
        many[6 + 2 * i] = 97;
    memcpy(many + sizeof many - 6, b + 1, 6);
    ck_assert_int_eq(etf_find(many, sizeof many, 100000, 1, &f), 0);
}
END_TEST

/* A part that is not where the term has a binary: refused, and still ours. */
START_TEST(a_part_that_is_nowhere)
{
    static const uint8_t term[] = {131, 104, 1, 97, 7};
    for (size_t at = 0; at <= sizeof term + 1; at++) {
        struct etf_part part = {PyBytes_FromString("xy"), at, 2};
        PyObject *o = etf_decode_part(term, sizeof term, &part, NULL);
        ck_assert(at > sizeof term || o == NULL);
        if (o == NULL)
            expect_error(PyExc_ValueError, "bytes remain after the term");
        ck_assert_int_eq(Py_REFCNT(part.object), 1);
        Py_DECREF(part.object);
        Py_XDECREF(o);
    }
}
END_TEST

Suite *
make_etf_part_suite(void)
{
    const TTest *const tests[] = {golden_terms,           in_every_place,
                                  in_a_pair_of_bytes,     not_found,
                                  a_part_that_is_nowhere, NULL};
    return peer_suite("etf_part", tests, 60);
}
