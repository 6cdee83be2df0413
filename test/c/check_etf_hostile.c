/* SPDX-License-Identifier: Apache-2.0 */
/* check_etf_hostile.c - the codec against bytes that lie and memory that runs
 * out: nothing crashes, nothing leaks, nothing is taken on credit. */
#include "pysupport_etf.h"

#include <stdlib.h>
#include <string.h>

#include "erltypes.h"
#include "etf_decode.h"
#include "etf_encode.h"
#include "etf_tags.h"

enum {
    FLIPPED_BYTES = 700,
    CUT_BYTES = 3000,
    SMALL = 400,
    TRIES = 100000,
    ROUNDS = 40
};

/* Decode a copy of exactly this size, so that a sanitizer sees what is read
 * beyond it; then encode the result, which must be stable from then on. */
static void
survives(const uint8_t *p, size_t n)
{
    struct buf out, again;
    uint8_t *copy = malloc(n > 0 ? n : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, p, n);
    PyObject *o = etf_decode(copy, n, NULL);
    free(copy);
    if (o == NULL) {
        expect_error(DecodeError, " at byte ");
        return;
    }
    buf_init(&out, WIRE_LIMIT_MAX_FRAME);
    buf_init(&again, WIRE_LIMIT_MAX_FRAME);
    if (etf_encode(o, &out, NULL) < 0) {
        expect_error(EncodeError, "the same Erlang term");
    } else {
        PyObject *o2 = etf_decode(out.data, out.len, NULL);
        ck_assert_ptr_nonnull(o2);
        ck_assert_int_eq(etf_encode(o2, &again, NULL), 0);
        ck_assert_uint_eq(out.len, again.len);
        ck_assert_mem_eq(out.data, again.data, out.len);
        Py_DECREF(o2);
    }
    buf_fini(&out);
    buf_fini(&again);
    Py_DECREF(o);
}

/* ---- mutations ------------------------------------------------------------
 */

static void
cut_everywhere(const struct golden *g)
{
    for (size_t n = 0; n < g->etf_len && n < CUT_BYTES; n++) {
        PyObject *o = etf_decode((uint8_t *)g->etf, n, NULL);
        if (g->error == NULL)
            ck_assert_msg(o == NULL, "%s cut at %zu decodes", g->name, n);
        if (o == NULL)
            expect_error(DecodeError, " at byte ");
        Py_XDECREF(o);
    }
}

START_TEST(truncated)
{
    each_golden("", 150, cut_everywhere);
}
END_TEST

static void
flip_everywhere(const struct golden *g)
{
    for (size_t i = 0; i < g->etf_len * 8 && i < FLIPPED_BYTES * 8; i++) {
        g->etf[i / 8] ^= (char)(1 << i % 8);
        survives((uint8_t *)g->etf, g->etf_len);
        g->etf[i / 8] ^= (char)(1 << i % 8);
    }
}

START_TEST(flipped)
{
    each_golden("", 150, flip_everywhere);
}
END_TEST

/* Tags and small numbers at random: the bytes that mean most. */
START_TEST(random_bytes)
{
    static const uint8_t tags[] = {ETF_NEW_FLOAT,
                                   ETF_BIT_BINARY,
                                   ETF_NEW_PID,
                                   ETF_NEW_PORT,
                                   ETF_NEWER_REFERENCE,
                                   ETF_SMALL_INTEGER,
                                   ETF_INTEGER,
                                   ETF_FLOAT,
                                   ETF_ATOM,
                                   ETF_REFERENCE,
                                   ETF_PORT,
                                   ETF_PID,
                                   ETF_SMALL_TUPLE,
                                   ETF_LARGE_TUPLE,
                                   ETF_NIL,
                                   ETF_STRING,
                                   ETF_LIST,
                                   ETF_BINARY,
                                   ETF_SMALL_BIG,
                                   ETF_LARGE_BIG,
                                   ETF_NEW_FUN,
                                   ETF_EXPORT,
                                   ETF_NEW_REFERENCE,
                                   ETF_SMALL_ATOM,
                                   ETF_MAP,
                                   ETF_ATOM_UTF8,
                                   ETF_SMALL_ATOM_UTF8,
                                   ETF_V4_PORT};
    uint32_t state = 20240601;
    uint8_t p[64] = {ETF_VERSION};
    for (int i = 0; i < TRIES; i++) {
        size_t n = 1 + next_random(&state) % (sizeof p - 1);
        for (size_t j = 1; j < n; j++) {
            uint32_t r = next_random(&state);
            p[j] =
                r % 2 ? tags[(r >> 8) % sizeof tags] : (uint8_t)((r >> 8) % 4);
        }
        survives(p, n);
    }
}
END_TEST

/* ---- memory -------------------------------------------------------------- */

/* All that is asked for while n bytes are decoded, however they lie: a pointer
 * for each element, an object for each byte, and the error's own text. */
static size_t
bound(size_t n)
{
    return 256 * n + 8192;
}

static void
takes_little(const uint8_t *p, size_t n, const char *name)
{
    watch_start(0);
    PyObject *o = etf_decode(p, n, NULL);
    struct watched w = watch_stop();
    ck_assert_msg(w.bytes <= bound(n), "%s: %zu bytes taken for %zu", name,
                  w.bytes, n);
    Py_XDECREF(o);
    PyErr_Clear();
}

static void
golden_takes_little(const struct golden *g)
{
    if (strncmp(g->name, "compressed", 10) != 0)
        takes_little((uint8_t *)g->etf, g->etf_len, g->name);
}

/* Each level announces as much as is left: sums that would take gigabytes. */
static void
nested_counts(uint8_t tag, size_t head, size_t levels, size_t share)
{
    enum { TOTAL = 100000 };
    uint8_t *p = malloc(TOTAL);
    ck_assert_ptr_nonnull(p);
    memset(p, ETF_NIL, TOTAL);
    p[0] = ETF_VERSION;
    for (size_t i = 0; i < levels; i++) {
        uint8_t *at = p + 1 + i * head;
        at[0] = tag;
        put_be32(at + 1, (uint32_t)((TOTAL - 1 - (i + 1) * head) / share - 1));
    }
    takes_little(p, TOTAL, "nested counts");
    free(p);
}

START_TEST(nothing_on_credit)
{
    each_golden("", 150, golden_takes_little);
    for (size_t levels = 1; levels <= 900; levels = levels * 3 + 1) {
        nested_counts(ETF_LIST, 5, levels, 1);
        nested_counts(ETF_LARGE_TUPLE, 5, levels, 1);
        nested_counts(ETF_MAP, 5, levels, 2);
    }
}
END_TEST

/* A bomb ends at what it announced, and an announcement costs nothing. */
START_TEST(compressed_on_credit)
{
    static const uint8_t zip[] = {
        ETF_VERSION, ETF_COMPRESSED, 0x0f, 0xff, 0xff, 0xff, 0x78, 0x9c,
        0x4b,        0x64,           5,    0,    0,    0xc9, 0,    0x67};
    takes_little(zip, sizeof zip, "compressed");
    mem_fail_at(3); /* the first two are what it may need */
    ck_assert_ptr_null(etf_decode(zip, sizeof zip, NULL));
    ck_assert_int_eq(mem_failed(), 0);
    mem_fail_at(0);
    expect_error(DecodeError, "malformed data");
}
END_TEST

/* ---- failing allocations ---------------------------------------------------
 */

/* Decode with the n-th allocation failing; 1 if one did. */
static int
decode_failing(const struct golden *g, long n)
{
    watch_start(n);
    PyObject *o = etf_decode((uint8_t *)g->etf, g->etf_len, NULL);
    struct watched w = watch_stop();
    if (o == NULL && w.failed && g->error == NULL)
        ck_assert_msg(PyErr_ExceptionMatches(PyExc_MemoryError), "%s, %ld",
                      g->name, n);
    ck_assert_msg(o != NULL || PyErr_Occurred(), "%s, %ld", g->name, n);
    Py_XDECREF(o);
    PyErr_Clear();
    return w.failed != 0;
}

static void
decode_starving(const struct golden *g)
{
    long n = 1;
    if (g->etf_len > SMALL)
        return;
    while (decode_failing(g, n))
        n++;
    mem_fail_at(1); /* and the copy of a pid, or what was inflated */
    PyObject *o = etf_decode((uint8_t *)g->etf, g->etf_len, NULL);
    if (mem_failed())
        expect_error(PyExc_MemoryError, "");
    mem_fail_at(0);
    Py_XDECREF(o);
    PyErr_Clear();
}

START_TEST(decode_without_memory)
{
    each_golden("", 150, decode_starving);
}
END_TEST

static const char *const samples[] = {
    "[1, 2.5, 'a', '\\u00e9', b'x', None, True, 10**50, -10**50]",
    "{'a': [(1, {2})], 5: {Atom('b'): range(3)}}",
    "{'a': 1, b'b': 2, (1, 2): 3, FrozenMap(a=FrozenList([1])): 4}",
    "[ImproperList([1], 'x'), BitString(b'\\x80', 3), "
    "memoryview(b'abcd')[::2]]",
    "__import__('types').MappingProxyType({'a': 1})",
    "[1, {'key': (0, object())}]",
    "[1, {'key': {'a': 1, b'a': 2}}]",
    "[__import__('fractions').Fraction(1, 3)]",
};

static void
encode_starving(PyObject *o)
{
    struct buf out;
    struct watched w;
    long n = 0;
    do {
        buf_init(&out, WIRE_LIMIT_MAX_FRAME);
        watch_start(++n);
        int r = etf_encode(o, &out, NULL);
        w = watch_stop();
        if (r < 0) {
            ck_assert_ptr_nonnull(PyErr_Occurred());
            ck_assert_uint_eq(out.len, 0);
        }
        PyErr_Clear();
        buf_fini(&out);
    } while (w.failed);
    ck_assert_int_gt(n, 1);
}

START_TEST(encode_without_memory)
{
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        PyObject *o = eval_erlang(samples[i]);
        struct buf out;
        buf_init(&out, WIRE_LIMIT_MAX_FRAME);
        etf_encode(o, &out, NULL); /* imports what it needs */
        PyErr_Clear();
        buf_fini(&out);
        encode_starving(o);
        mem_fail_at(1);
        ck_assert_int_eq(etf_encode(o, &out, NULL), -1);
        ck_assert_int_eq(mem_failed(), 1);
        mem_fail_at(0);
        expect_error(PyExc_MemoryError, "");
        Py_DECREF(o);
    }
}
END_TEST

/* A leak keeps a block each round; Python's free lists keep some, of up to a
 * hundred each, which only show until they are full. */
enum { LEAK = ROUNDS / 2, WARM = 15 };

/* ---- leaks ----------------------------------------------------------------
 */

static long
live_after(const struct golden *g, int times)
{
    watch_start(0);
    for (int i = 0; i < times; i++) {
        PyObject *o = etf_decode((uint8_t *)g->etf, g->etf_len, NULL);
        struct buf out;
        buf_init(&out, WIRE_LIMIT_MAX_FRAME);
        if (o != NULL && etf_encode(o, &out, NULL) == 0) {
            PyObject *again = etf_decode(out.data, out.len, NULL);
            Py_XDECREF(again);
        }
        buf_fini(&out);
        Py_XDECREF(o);
        PyErr_Clear();
    }
    PyGC_Collect();
    return watch_stop().live;
}

static void
keeps_nothing(const struct golden *g)
{
    live_after(g, WARM * ROUNDS); /* caches and free lists fill */
    long live = live_after(g, ROUNDS);
    ck_assert_msg(live < LEAK, "%s keeps %ld blocks", g->name, live);
}

START_TEST(no_leak)
{
    each_golden("", 150, keeps_nothing);
}
END_TEST

/* The same for what has no term: the path's texts are given back. */
START_TEST(no_leak_of_errors)
{
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        PyObject *o = eval_erlang(samples[i]);
        long live = 0;
        for (int round = 0; round < WARM; round++) {
            watch_start(0);
            for (int j = 0; j < ROUNDS; j++) {
                struct buf out;
                buf_init(&out, WIRE_LIMIT_MAX_FRAME);
                etf_encode(o, &out, NULL);
                PyErr_Clear();
                buf_fini(&out);
            }
            PyGC_Collect();
            live = watch_stop().live;
        }
        ck_assert_msg(live < LEAK, "%s keeps %ld blocks", samples[i], live);
        Py_DECREF(o);
    }
}
END_TEST

Suite *
make_etf_hostile_suite(void)
{
    const TTest *const tests[] = {truncated,
                                  flipped,
                                  random_bytes,
                                  nothing_on_credit,
                                  compressed_on_credit,
                                  decode_without_memory,
                                  encode_without_memory,
                                  no_leak,
                                  no_leak_of_errors,
                                  NULL};
    return peer_suite("etf_hostile", tests, 120);
}
