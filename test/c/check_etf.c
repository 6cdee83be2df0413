/* SPDX-License-Identifier: Apache-2.0 */
/* check_etf.c - the codec, tag by tag, against what Erlang wrote
 * (test/data/etf), and the encoder against the driver's checker. */
#include "pysupport_etf.h"

#include <stdlib.h>
#include <string.h>

#include "erltypes.h"
#include "etf_check.h"
#include "etf_decode.h"
#include "etf_encode.h"
#include "etf_tags.h"

static void
round_trip(const struct golden *g)
{
    struct buf out;
    PyObject *o = etf_decode((uint8_t *)g->etf, g->etf_len, NULL);
    if (g->error != NULL) {
        ck_assert_msg(o == NULL, "%s was decoded", g->name);
        expect_error(DecodeError, g->error);
        return;
    }
    if (o == NULL)
        PyErr_Print();
    ck_assert_msg(o != NULL, "%s was not decoded", g->name);
    char *repr = repr_of(o);
    ck_assert_msg(strcmp(repr, g->repr) == 0, "%s: %s, not %s", g->name, repr,
                  g->repr);
    free(repr);
    buf_init(&out, WIRE_LIMIT_MAX_FRAME);
    ck_assert_int_eq(etf_encode(o, &out, NULL), 0);
    const char *back = g->back != NULL ? g->back : g->etf;
    size_t n = g->back != NULL ? g->back_len : g->etf_len;
    ck_assert_msg(out.len == n && memcmp(out.data, back, n) == 0,
                  "%s came back different", g->name);
    ck_ok(etf_check_all(out.data, out.len, ETF_ALLOW_IDS | ETF_ALLOW_FUNS,
                        WIRE_LIMIT_MAX_DEPTH));
    buf_fini(&out);
    Py_DECREF(o);
}

/* Each prefix is a family of tags. */
#define GOLDEN_TEST(prefix, least)                                             \
    START_TEST(prefix##_terms)                                                 \
    {                                                                          \
        each_golden(#prefix, least, round_trip);                               \
    }                                                                          \
    END_TEST

GOLDEN_TEST(int, 20)
GOLDEN_TEST(float, 8)
GOLDEN_TEST(atom, 15)
GOLDEN_TEST(binary, 8)
GOLDEN_TEST(bytes, 4)
GOLDEN_TEST(bits, 5)
GOLDEN_TEST(list, 9)
GOLDEN_TEST(tuple, 5)
GOLDEN_TEST(map, 14)
GOLDEN_TEST(pid, 3)
GOLDEN_TEST(port, 3)
GOLDEN_TEST(ref, 3)
GOLDEN_TEST(fun, 4)
GOLDEN_TEST(compressed, 8)
GOLDEN_TEST(bad, 30)
#undef GOLDEN_TEST

/* What the encoder writes passes the checker and comes back the same. */
static void
comes_back(const char *expression)
{
    struct buf out, again;
    buf_init(&out, WIRE_LIMIT_MAX_FRAME);
    buf_init(&again, WIRE_LIMIT_MAX_FRAME);
    encode_expression(expression, &out);
    ck_ok(
        etf_check_all(out.data, out.len, ETF_ALLOW_IDS, WIRE_LIMIT_MAX_DEPTH));
    PyObject *o = etf_decode(out.data, out.len, NULL);
    ck_assert_msg(o != NULL, "%s does not decode", expression);
    ck_assert_int_eq(etf_encode(o, &again, NULL), 0);
    ck_assert_msg(out.len == again.len &&
                      memcmp(out.data, again.data, out.len) == 0,
                  "%s came back different", expression);
    Py_DECREF(o);
    buf_fini(&again);
    buf_fini(&out);
}

START_TEST(passes_the_checker)
{
    static const char *const expressions[] = {
        "[]",
        "[1, -1, 255, 256, 2**31, -2**31 - 1, 2**63, -2**64, 10**600]",
        "1 << (8 << 10)",
        "(1 << (8 << 20)) - 1",
        "[0.0, -0.0, 1e308, float('inf'), float('-inf'), float('nan')]",
        "['', 'abc', 'h\\u00e9', '\\U0001f600', b'\\xff', bytes(1000)]",
        "[Atom(''), Atom('\\u00e9' * 255), Atom('\\U0001f600' * 255)]",
        "(True, False, None)",
        "tuple(range(256))",
        "{'a': {1: {(): FrozenList([])}}}",
        "{(1, 2): {3}, FrozenMap(a=1): range(3)}",
        "[ImproperList([1, 2], 3), BitString(b'\\x80', 1)]",
        "[memoryview(bytes(10))[::2], bytearray(3)]",
    };
    for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++)
        comes_back(expressions[i]);
}
END_TEST

/* n containers around a 1, of the kind that one step of the loop adds. */
static PyObject *
nested(const char *step, int n)
{
    char text[200];
    snprintf(text, sizeof text,
             "__import__('functools').reduce(lambda x, _: %s, range(%d), 1)",
             step, n);
    return eval_erlang(text);
}

/* Encoder, checker and decoder count depth alike. */
START_TEST(depth_is_one_measure)
{
    static const char *const steps[] = {
        "[x]", "(x,)", "{1: x}", "ImproperList([1], x)", "{FrozenList([x]): 1}",
    };
    enum { LIMIT = 200 };
    struct etf_limits lim = etf_limits_default();
    lim.max_depth = LIMIT;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int by = strchr(steps[i], 'F') != NULL ? 2 : 1; /* levels a step */
        PyObject *fits, *deeper;
        if (by == 1) {
            fits = nested(steps[i], LIMIT);
            deeper = nested(steps[i], LIMIT + 1);
        } else {
            fits = nested("FrozenMap({FrozenList([x]): 1})", LIMIT / 2);
            deeper = nested("FrozenMap({FrozenList([x]): 1})", LIMIT / 2 + 1);
        }
        struct buf out;
        buf_init(&out, WIRE_LIMIT_MAX_FRAME);
        ck_assert_int_eq(etf_encode(fits, &out, &lim), 0);
        ck_ok(etf_check_all(out.data, out.len, 0, LIMIT));
        ck_err(etf_check_all(out.data, out.len, 0, LIMIT - 1), E_DEPTH);
        PyObject *o = etf_decode(out.data, out.len, &lim);
        ck_assert_ptr_nonnull(o);
        Py_DECREF(o);
        lim.max_depth = LIMIT - 1;
        ck_assert_ptr_null(etf_decode(out.data, out.len, &lim));
        expect_error(DecodeError, "nested too deeply");
        lim.max_depth = LIMIT;
        ck_assert_int_eq(etf_encode(deeper, &out, &lim), -1);
        expect_error(EncodeError, "more than 200 nested containers");
        buf_fini(&out);
        Py_DECREF(fits);
        Py_DECREF(deeper);
    }
}
END_TEST

/* A failure leaves the buffer as it was, whatever it held. */
START_TEST(failure_leaves_the_buffer)
{
    static const char *const bad[] = {
        "[1, 2, object()]", "{'a': [1j]}", "'x' * 100",        "[7] * 100",
        "b'x' * 100",       "1 << 1000",   "{'a': 1, b'a': 2}"};
    struct buf out;
    buf_init(&out, 60);
    ck_assert_int_eq(buf_put(&out, "before", 6), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        PyObject *o = eval_erlang(bad[i]);
        ck_assert_int_eq(etf_encode(o, &out, NULL), -1);
        expect_error(EncodeError, "cannot encode");
        ck_assert_uint_eq(out.len, 6);
        ck_assert_mem_eq(out.data, "before", 6);
        Py_DECREF(o);
    }
    encode_expression("'fits'", &out);
    ck_assert_uint_eq(out.len, 6 + 1 + 5 + 4);
    buf_fini(&out);
}
END_TEST

/* What fits to the byte is written, what is one too long is not. */
START_TEST(the_limit_is_exact)
{
    static const char *const values[] = {"7",
                                         "-1",
                                         "2**31 - 1",
                                         "2**31",
                                         "2**63 - 1",
                                         "-2**63",
                                         "2**64",
                                         "0.5",
                                         "True",
                                         "'text'",
                                         "'ä'",
                                         "b'\\xff'",
                                         "[1]",
                                         "(1,)",
                                         "{1: 2}",
                                         "Atom('x')",
                                         "Atom('x' * 255)",
                                         "[300]",
                                         "[2**40]",
                                         "[]",
                                         "''"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct buf whole, tight;
        buf_init(&whole, WIRE_LIMIT_MAX_FRAME);
        encode_expression(values[i], &whole);
        PyObject *v = eval_erlang(values[i]);
        buf_init(&tight, whole.len);
        ck_assert_int_eq(etf_encode(v, &tight, NULL), 0);
        ck_assert_uint_eq(tight.len, whole.len);
        ck_assert_int_eq(memcmp(tight.data, whole.data, whole.len), 0);
        buf_fini(&tight);
        buf_init(&tight, whole.len - 1);
        ck_assert_int_eq(etf_encode(v, &tight, NULL), -1);
        PyErr_Clear();
        buf_fini(&tight);
        buf_fini(&whole);
        Py_DECREF(v);
    }
}
END_TEST

START_TEST(inflated_is_limited)
{
    struct etf_limits lim = etf_limits_default();
    static const char zip[] = {(char)ETF_VERSION,
                               ETF_COMPRESSED,
                               0,
                               0,
                               0,
                               2,
                               0x78,
                               (char)0x9c,
                               0x4b,
                               0x64,
                               5,
                               0,
                               0,
                               (char)0xc9,
                               0,
                               0x67};
    PyObject *o = etf_decode((const uint8_t *)zip, sizeof zip, &lim);
    ck_assert_ptr_nonnull(o);
    Py_DECREF(o);
    lim.max_inflated = 1;
    ck_assert_ptr_null(etf_decode((const uint8_t *)zip, sizeof zip, &lim));
    expect_error(DecodeError, "limit");
}
END_TEST

Suite *
make_etf_suite(void)
{
    const TTest *const tests[] = {
        int_terms,          float_terms,          atom_terms,
        binary_terms,       bytes_terms,          bits_terms,
        list_terms,         tuple_terms,          map_terms,
        pid_terms,          port_terms,           ref_terms,
        fun_terms,          compressed_terms,     bad_terms,
        passes_the_checker, depth_is_one_measure, failure_leaves_the_buffer,
        the_limit_is_exact, inflated_is_limited,  NULL};
    return peer_suite("etf", tests, 60);
}
