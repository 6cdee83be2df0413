/* SPDX-License-Identifier: Apache-2.0 */
/* check_out.c - the output: own bytes and references in their order, marks,
 * consuming in any steps, and what the encoder references or copies. */
#include "pysupport_etf.h"

#include <stdlib.h>
#include <string.h>

#include "etf_encode.h"
#include "out.h"

enum { BIG = OUT_REF_FROM };

/* All of the view, from where it stands. */
static void
gather(const struct out *o, struct buf *to)
{
    struct iovec v[64];
    int n = out_view(o, v, 64);
    buf_init(to, SIZE_MAX / 2);
    for (int i = 0; i < n; i++) {
        ck_assert_uint_gt(v[i].iov_len, 0);
        ck_ok(buf_put(to, v[i].iov_base, v[i].iov_len));
    }
    ck_assert_uint_eq(to->len, out_left(o));
}

static void
expect_text(const struct out *o, const char *text)
{
    struct buf b;
    gather(o, &b);
    ck_assert_uint_eq(b.len, strlen(text));
    ck_assert(b.len == 0 || memcmp(b.data, text, b.len) == 0);
    buf_fini(&b);
}

/* "ab" <cdef> <ghi> "jk", with the owners counted. */
static void
fill(struct out *o, PyObject *first, PyObject *second)
{
    ck_ok(buf_put(&o->bytes, "ab", 2));
    ck_ok(out_put_ref(o, first, PyBytes_AS_STRING(first), 4));
    ck_ok(out_put_ref(o, second, PyBytes_AS_STRING(second), 3));
    ck_ok(buf_put(&o->bytes, "jk", 2));
}

START_TEST(pieces_come_in_order)
{
    static const char whole[] = "abcdefghijk";
    PyObject *a = PyBytes_FromString("cdef"), *b = PyBytes_FromString("ghi");
    for (size_t step = 1; step < sizeof whole; step++) {
        struct out o;
        out_init(&o, 100);
        fill(&o, a, b);
        ck_assert_int_eq(Py_REFCNT(a), 2);
        for (size_t at = 0; at < sizeof whole - 1; at += step) {
            expect_text(&o, whole + at);
            out_consume(&o, step, 100);
        }
        ck_assert_uint_eq(out_left(&o), 0);
        ck_assert_uint_eq(out_max(&o), 100);
        ck_assert_int_eq(Py_REFCNT(a), 1);
        ck_assert_int_eq(Py_REFCNT(b), 1);
        fill(&o, b, a); /* as good as new */
        ck_assert_uint_eq(out_left(&o), 11);
        out_fini(&o);
        ck_assert_int_eq(Py_REFCNT(a), 1);
    }
    Py_DECREF(a);
    Py_DECREF(b);
}
END_TEST

START_TEST(a_view_has_an_end)
{
    struct out o;
    struct iovec v[4];
    PyObject *a = PyBytes_FromString("cdef"), *b = PyBytes_FromString("ghi");
    out_init(&o, 100);
    ck_assert_int_eq(out_view(&o, v, 4), 0);
    fill(&o, a, b);
    ck_assert_int_eq(out_view(&o, v, 2), 2);
    ck_assert_ptr_eq(v[1].iov_base, PyBytes_AS_STRING(a));
    ck_assert_int_eq(out_view(&o, v, 4), 4);
    out_consume(&o, 6, 0); /* all of the first one */
    ck_assert_int_eq(Py_REFCNT(a), 1);
    ck_assert_int_eq(Py_REFCNT(b), 2);
    ck_assert_int_eq(out_view(&o, v, 4), 2);
    out_fini(&o);
    ck_assert_int_eq(Py_REFCNT(b), 1);
    Py_DECREF(a);
    Py_DECREF(b);
}
END_TEST

START_TEST(marks_undo)
{
    struct out o;
    PyObject *a = PyBytes_FromString("cdef"), *b = PyBytes_FromString("ghi");
    out_init(&o, 30);
    fill(&o, a, b);
    struct out_mark m = out_mark(&o);
    ck_assert_uint_eq(out_since(&o, m), 0);
    fill(&o, a, b);
    ck_assert_uint_eq(out_since(&o, m), 11);
    ck_assert_int_eq(Py_REFCNT(a), 3);
    out_rewind(&o, m);
    ck_assert_uint_eq(out_since(&o, m), 0);
    ck_assert_int_eq(Py_REFCNT(a), 2);
    expect_text(&o, "abcdefghijk");
    out_fini(&o);
    Py_DECREF(a);
    Py_DECREF(b);
}
END_TEST

/* Own and referenced bytes share one maximum. */
START_TEST(the_maximum_is_of_all)
{
    struct out o;
    PyObject *a = PyBytes_FromString("cdef");
    out_init(&o, 10);
    ck_ok(out_put_ref(&o, a, PyBytes_AS_STRING(a), 4));
    ck_err(buf_put(&o.bytes, "1234567", 7), E_LIMIT);
    ck_ok(buf_put(&o.bytes, "123", 3));
    ck_err(out_put_ref(&o, a, PyBytes_AS_STRING(a), 4), E_LIMIT);
    ck_ok(buf_put(&o.bytes, "456", 3));
    ck_err(buf_put_u8(&o.bytes, 0), E_LIMIT);
    ck_assert_int_eq(Py_REFCNT(a), 2);
    out_set_max(&o, 11);
    ck_ok(buf_put_u8(&o.bytes, '7'));
    expect_text(&o, "cdef1234567");
    out_fini(&o);
    Py_DECREF(a);
}
END_TEST

static int
fill_once(void)
{
    struct out o;
    int r = 0;
    PyObject *a = PyBytes_FromString("cdef");
    out_init(&o, 1000);
    for (int i = 0; r == 0 && i < 40; i++) {
        size_t before = out_left(&o);
        r = out_put_ref(&o, a, PyBytes_AS_STRING(a), 4);
        if (r == 0)
            before += 4;
        ck_assert_uint_eq(out_left(&o), before);
    }
    out_fini(&o);
    ck_assert_int_eq(Py_REFCNT(a), 1);
    Py_DECREF(a);
    return r;
}

START_TEST(without_memory_nothing_changes)
{
    each_allocation_fails(fill_once);
}
END_TEST

/* Large values are written from where they lie if they cannot change any
 * more; the bytes are those of the plain encoder either way. */
static void
encodes_alike(const char *expression, size_t references)
{
    struct out o;
    struct buf plain, b;
    PyObject *v = eval_erlang(expression);
    out_init(&o, SIZE_MAX / 2);
    buf_init(&plain, SIZE_MAX / 2);
    ck_assert_int_eq(etf_encode(v, &plain, NULL), 0);
    ck_assert_int_eq(etf_encode_out(v, &o, NULL), 0);
    ck_assert_msg(o.ref_count == references, "%s: %zu references", expression,
                  o.ref_count);
    gather(&o, &b);
    Py_DECREF(v); /* before it is written: the references keep it */
    struct buf again;
    gather(&o, &again);
    ck_assert_msg(b.len == plain.len &&
                      memcmp(b.data, plain.data, b.len) == 0 &&
                      memcmp(again.data, plain.data, b.len) == 0,
                  "%s is written differently", expression);
    buf_fini(&again);
    buf_fini(&b);
    buf_fini(&plain);
    out_fini(&o);
}

START_TEST(large_values_are_referenced)
{
    encodes_alike("b'x' * 65535", 0);
    encodes_alike("b'x' * 65536", 1);
    encodes_alike("'x' * 65536", 1);
    encodes_alike("'\\u00e9' * 65536", 1);
    encodes_alike("[1, bytes(100000), 'y' * 100000, 2, (b'z' * 70000,)]", 3);
    encodes_alike("bytearray(b'x' * 70000)", 1);
    encodes_alike("memoryview(b'xy' * 70000)[5:-3]", 1);
    encodes_alike("memoryview(b'xy' * 70000)[::2]", 1);
    encodes_alike("{'a': bytes(70000), 'b': 'c' * 70000}", 2);
}
END_TEST

START_TEST(what_can_change_is_copied)
{
    encodes_alike("[bytearray(b'x' * 70000)]", 0);
    encodes_alike("memoryview(bytearray(b'x' * 70000))", 0);
    encodes_alike("__import__('array').array('B', bytes(70000))", 0);
    encodes_alike("type('B', (bytes,), {})(bytes(70000))", 0);
    encodes_alike("{'k' * 70000: 1, b'k' * 70001: 2}", 0);
}
END_TEST

/* Somebody else holds the bytearray too. */
START_TEST(a_shared_bytearray_is_copied)
{
    struct out o;
    PyObject *v = eval_erlang("bytearray(b'x' * 70000)");
    out_init(&o, SIZE_MAX / 2);
    Py_INCREF(v);
    ck_assert_int_eq(etf_encode_out(v, &o, NULL), 0);
    ck_assert_uint_eq(o.ref_count, 0);
    Py_DECREF(v);
    Py_DECREF(v);
    out_fini(&o);
}
END_TEST

/* An error far behind lets go of what was referenced. */
START_TEST(an_error_leaves_nothing)
{
    struct out o;
    PyObject *big = PyBytes_FromStringAndSize(NULL, BIG);
    memset(PyBytes_AS_STRING(big), 'x', BIG);
    PyObject *v = Py_BuildValue("[OOO]", big, big, (PyObject *)&PyType_Type);
    Py_ssize_t count = Py_REFCNT(big);
    out_init(&o, SIZE_MAX / 2);
    ck_ok(buf_put(&o.bytes, "before", 6));
    ck_assert_int_eq(etf_encode_out(v, &o, NULL), -1);
    expect_error(PyExc_TypeError, "[2]");
    ck_assert_int_eq(Py_REFCNT(big), count);
    expect_text(&o, "before");
    out_set_max(&o, 6 + BIG + 100);
    ck_assert_int_eq(etf_encode_out(v, &o, NULL), -1);
    char text[60];
    snprintf(text, sizeof text, "more than %d bytes", 6 + BIG + 100);
    expect_error(PyExc_TypeError, text);
    expect_text(&o, "before");
    ck_assert_int_eq(Py_REFCNT(big), count);
    out_fini(&o);
    Py_DECREF(v);
    Py_DECREF(big);
}
END_TEST

Suite *
make_out_suite(void)
{
    const TTest *const tests[] = {pieces_come_in_order,
                                  a_view_has_an_end,
                                  marks_undo,
                                  the_maximum_is_of_all,
                                  without_memory_nothing_changes,
                                  large_values_are_referenced,
                                  what_can_change_is_copied,
                                  a_shared_bytearray_is_copied,
                                  an_error_leaves_nothing,
                                  NULL};
    return peer_suite("out", tests, 60);
}
