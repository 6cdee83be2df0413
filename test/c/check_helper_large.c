/* SPDX-License-Identifier: Apache-2.0 */
/* check_helper_large.c - requests with large binaries, which are received into
 * what they become: every kind, in every place, in pieces of every size. */
#include "pysupport_helper.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "etf_encode.h"
#include "large.h"
#include "pysupport_etf.h"
#include "support_check.h"
#include "support_process.h"

enum { SIZE = 300000 };

/* Expressions of large binaries of about N characters. */
static const char *const kinds[] = {
    "b'\\xff' * N",                            /* no text from the start */
    "'a' * N",                                 /* ASCII */
    "'\\xe9' * N",                             /* not */
    "'a' * N + '\\u20ac'",                     /* not, at the very end */
    "b'a' * N + b'\\xff'",                     /* bytes, at the very end */
    "'a' * (N // 2) + '\\U0001f600' * 100000", /* from the middle on */
    "b'a' * (N // 2) + b'\\xff' * 100000",     /* the same */
    "'\\xe9'.encode() * N + b'\\xe2\\x82'",    /* cut in a character */
};

/* The text with each `mark` replaced. */
static void
fill_in(char *to, size_t room, const char *text, char mark, const char *by)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        size_t add = *text == mark ? strlen(by) : 1;
        ck_assert_uint_lt(n + add, room);
        memcpy(to + n, *text == mark ? by : text, add);
        n += add;
    }
    to[n] = '\0';
}

/* Each kind with this size, in place of the $ in both. */
static void
ask_all(struct peer *p, int size, const char *body, const char *test)
{
    char number[16];
    snprintf(number, sizeof number, "%d", size);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char value[100], asked[400], expected[400];
        fill_in(value, sizeof value, kinds[i], 'N', number);
        fill_in(asked, sizeof asked, body, '$', value);
        fill_in(expected, sizeof expected, test, '$', value);
        peer_ask(p, WIRE_CALL, asked, expected);
        peer_ask(p, WIRE_EVAL, "('1 + 1', {})", "v == 2");
    }
}

static void
start(struct peer *p)
{
    peer_start(p);
    peer_ask(p, WIRE_EXEC, "('def echo(*a, **k): return [list(a), k]',)",
             "v is None");
}

START_TEST(every_kind)
{
    static const int sizes[] = {60000, 65535, 65536, 66000, SIZE, 3 << 20};
    struct peer p;
    start(&p);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        ask_all(&p, sizes[i], "('__main__', 'echo', [$], {})",
                "(lambda x: v == [[x], {}] and type(v[0][0]) == type(x))($)");
    peer_stop(&p);
}
END_TEST

START_TEST(every_place)
{
    struct peer p;
    start(&p);
    ask_all(&p, SIZE, "('__main__', 'echo', [1, 'x', $, 2], {'k': [3]})",
            "v == [[1, 'x', $, 2], {'k': [3]}]");
    ask_all(&p, SIZE, "('__main__', 'echo', [], {'big': $, 'k': (1, 2)})",
            "v == [[], {'big': $, 'k': (1, 2)}]");
    ask_all(&p, SIZE, "('__main__', 'echo', [[{'a': [$]}]], {})",
            "v == [[[{'a': [$]}]], {}]");
    /* As a key, and two and three of them. */
    ask_all(&p, SIZE, "('__main__', 'echo', [{$: 1}], {})",
            "v == [[{$: 1}], {}]");
    ask_all(&p, SIZE, "(lambda x: ('__main__', 'echo', [x, 0, x, x], {}))($)",
            "(lambda x: v == [[x, 0, x, x], {}])($)");
    peer_stop(&p);
}
END_TEST

/* {bytes, Binary}: never a str. */
START_TEST(pairs_of_bytes)
{
    struct peer p;
    start(&p);
    peer_ask(&p, WIRE_CALL,
             "('__main__', 'echo', [(__import__('_erlang').Atom('bytes'),"
             " b'a' * 300000)], {})",
             "v[0] == ['a' * 300000]"); /* back as a binary, which is text */
    peer_ask(&p, WIRE_CALL,
             "('builtins', 'repr', [(__import__('_erlang').Atom('bytes'),"
             " b'a' * 300000)], {})",
             "v[:3] == \"b'a\" and len(v) == 300003");
    peer_stop(&p);
}
END_TEST

/* The text ends the body. */
START_TEST(large_code)
{
    struct peer p;
    start(&p);
    peer_ask(&p, WIRE_EXEC, "('n = 1\\n' * 60000 + 'n = 7\\n',)", "v is None");
    peer_ask(&p, WIRE_EVAL, "('n', {})", "v == 7");
    peer_ask(&p, WIRE_EVAL, "('n' + ' ' * 200000, {})", "v == 7");
    peer_stop(&p);
}
END_TEST

/* A request as a frame; its bytes. */
static void
make_request(struct peer *p, uint8_t opcode, const char *body, struct buf *b)
{
    struct wire_header h = {.opcode = opcode, .id = ++p->last_id};
    buf_init(b, 1 << 30);
    ck_assert_int_eq(buf_reserve(b, WIRE_LIMIT_HEADER_SIZE), 0);
    b->len = WIRE_LIMIT_HEADER_SIZE;
    PyObject *o = eval_erlang(body);
    ck_assert_int_eq(etf_encode(o, b, NULL), 0);
    Py_DECREF(o);
    h.length = (uint32_t)(b->len - WIRE_LIMIT_HEADER_SIZE);
    wire_put_header(b->data, &h);
}

/* A CALL of echo with this argument and another. */
static void
make_frame(struct peer *p, const char *argument, struct buf *b)
{
    char body[300];
    snprintf(body, sizeof body, "('__main__', 'echo', [%s, 5], {})", argument);
    make_request(p, WIRE_CALL, body, b);
}

/* Cut anywhere near the beginning, and then in pieces. */
START_TEST(in_pieces)
{
    static const size_t firsts[] = {1, 15, 16, 17, 30, 48, 50, 52, 60, 70000};
    static const size_t pieces[] = {1009, 65536, 200000};
    struct peer p;
    start(&p);
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
            struct buf b;
            make_frame(&p, "'a' * 200000 + '\\u20ac' * 9", &b);
            peer_send_raw(&p, b.data, firsts[i]);
            process_sleep_ms(2);
            for (size_t at = firsts[i]; at < b.len; at += pieces[k]) {
                size_t n = b.len - at < pieces[k] ? b.len - at : pieces[k];
                peer_send_raw(&p, b.data + at, n);
            }
            PyObject *v = peer_receive(&p, WIRE_RESULT, p.last_id);
            peer_true(v, "v == [['a' * 200000 + '\\u20ac' * 9, 5], {}]");
            Py_DECREF(v);
            buf_fini(&b);
        }
    }
    peer_stop(&p);
}
END_TEST

/* Given up before its last byte, which comes with the CANCEL as from the
 * driver: never run, whether the binary ends the body or not. */
static void
cancel_one(struct peer *p, uint8_t opcode, const char *body)
{
    struct buf b;
    struct wire_header h = {.opcode = WIRE_CANCEL};
    make_request(p, opcode, body, &b);
    h.id = p->last_id;
    peer_send_raw(p, b.data, b.len - 1);
    b.data[0] = b.data[b.len - 1];
    wire_put_header(b.data + 1, &h);
    peer_send_raw(p, b.data, 1 + WIRE_LIMIT_HEADER_SIZE);
    Py_XDECREF(peer_receive(p, WIRE_CANCELLED, h.id));
    buf_fini(&b);
}

START_TEST(cancelled)
{
    struct peer p;
    start(&p);
    for (int i = 0; i < 5; i++) {
        cancel_one(&p, WIRE_CALL, "('__main__', 'echo', ['a' * 300000], {})");
        cancel_one(&p, WIRE_CALL,
                   "('__main__', 'echo', [b'\\xff' * 70000], {})");
        cancel_one(&p, WIRE_EXEC, "('ran = 1\\n' * 60000,)");
        peer_ask(&p, WIRE_EVAL, "('\"ran\" in globals()', {})", "v is False");
    }
    peer_stop(&p);
}
END_TEST

/* The VM goes in the middle of one. */
START_TEST(cut_off)
{
    static const size_t cuts[] = {40, 60, 70000, 200000, 300020};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct peer p;
        struct buf b;
        start(&p);
        make_frame(&p, "'a' * 300000", &b);
        peer_send_raw(&p, b.data, cuts[i]);
        peer_stop(&p);
        buf_fini(&b);
    }
}
END_TEST

/* A body that says more than it has is an error of that request alone, and its
 * place is counted as if it had come in one. */
START_TEST(malformed)
{
    struct peer p;
    start(&p);
    struct buf b;
    make_frame(&p, "'a' * 300000", &b);
    b.data[b.len - 1] = 99; /* a count of the last map */
    peer_send_raw(&p, b.data, b.len);
    char test[100];
    snprintf(test, sizeof test,
             "'more elements announced' in v[1] and 'at byte %zu' in v[1]",
             b.len - WIRE_LIMIT_HEADER_SIZE);
    peer_error(&p, p.last_id, "DecodeError", test);
    buf_fini(&b);
    /* The binary longer than the body. */
    make_frame(&p, "'a' * 300000", &b);
    uint8_t *head = memmem(b.data, b.len, "\x6d\x00\x04\x93\xe0", 5);
    ck_assert_ptr_nonnull(head);
    head[1] = 0x7f;
    peer_send_raw(&p, b.data, b.len);
    peer_error(&p, p.last_id, "DecodeError", "'too early' in v[1]");
    peer_ask(&p, WIRE_EVAL, "('1 + 1', {})", "v == 2");
    buf_fini(&b);
    peer_stop(&p);
}
END_TEST

/* More than is taken at once: as str all along, as bytes, and as a str that
 * turns out to be bytes after it has grown. */
static void
receive(const char *first, const char *last, PyTypeObject *type)
{
    enum { LENGTH = 70 << 20 };
    struct etf_found f = {.at = 6, .length = LENGTH};
    struct large l;
    uint8_t *p;
    size_t cap, grown = 0;
    ck_assert_int_eq(large_begin(&l, &f, (const uint8_t *)first, 2), 0);
    ck_assert_uint_lt(l.room, LENGTH);
    while (!large_is_whole(&l)) {
        size_t room = l.room;
        ck_assert_int_eq(large_space(&l, &p, &cap), 0);
        grown += l.room != room;
        memset(p, 'm', cap);
        if (l.have + cap == LENGTH)
            memcpy(p + cap - 2, last, 2);
        ck_assert_int_eq(large_filled(&l, cap), 0);
    }
    ck_assert_uint_eq(grown, 1);
    struct etf_part part = large_take(&l);
    ck_assert(!large_is_begun(&l));
    ck_assert_uint_eq(part.at, 6);
    ck_assert_ptr_eq(Py_TYPE(part.object), type);
    ck_assert_int_eq(PyObject_Size(part.object), LENGTH);
    p = type == &PyBytes_Type ? (uint8_t *)PyBytes_AS_STRING(part.object)
                              : (uint8_t *)PyUnicode_1BYTE_DATA(part.object);
    ck_assert_int_eq(memcmp(p, first, 2), 0);
    ck_assert_int_eq(p[2], 'm');
    ck_assert_int_eq(memcmp(p + 2, p + 3, LENGTH - 5), 0);
    ck_assert_int_eq(memcmp(p + LENGTH - 2, last, 2), 0);
    ck_assert_int_eq(p[LENGTH], '\0');
    Py_DECREF(part.object);
}

START_TEST(grown)
{
    receive("ab", "yz", &PyUnicode_Type);
    receive("\xff\xff", "yz", &PyBytes_Type);
    receive("ab", "y\xff", &PyBytes_Type);
}
END_TEST

START_TEST(without_memory)
{
    struct etf_found f = {.at = 6, .length = 200000};
    struct large l;
    uint8_t *p;
    size_t cap;
    watch_start(1);
    int r = large_begin(&l, &f, (const uint8_t *)"ab", 2);
    watch_stop();
    ck_assert_int_eq(r, E_NOMEM);
    ck_assert(!large_is_begun(&l) && !PyErr_Occurred());
    ck_assert_int_eq(large_begin(&l, &f, (const uint8_t *)"ab", 2), 0);
    ck_assert_int_eq(large_space(&l, &p, &cap), 0);
    *p = 0xff; /* not ASCII: it needs another object */
    watch_start(1);
    r = large_filled(&l, 1);
    struct watched w = watch_stop();
    ck_assert_int_eq(r, E_NOMEM);
    ck_assert_int_eq(w.live, -1); /* what there was is gone */
    ck_assert(!large_is_begun(&l) && !PyErr_Occurred());
}
END_TEST

/* What a helper received is no one's but the request's. */
START_TEST(released)
{
    struct peer p;
    start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('import sys\\ndef count(x): return sys.getrefcount(x)\\n',)",
             "v is None");
    for (int i = 0; i < 3; i++) {
        /* The list of the arguments, the parameter and getrefcount's. */
        peer_ask(&p, WIRE_CALL, "('__main__', 'count', ['a' * 300000], {})",
                 "v <= 4");
        peer_ask(&p, WIRE_CALL,
                 "('__main__', 'count', [b'\\xff' * 300000], {})", "v <= 4");
    }
    peer_stop(&p);
}
END_TEST

Suite *
make_helper_large_suite(void)
{
    const TTest *const tests[] = {every_kind, every_place,    pairs_of_bytes,
                                  large_code, in_pieces,      cancelled,
                                  cut_off,    malformed,      released,
                                  grown,      without_memory, NULL};
    return peer_suite("helper_large", tests, 120);
}
