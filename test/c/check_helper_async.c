/* SPDX-License-Identifier: Apache-2.0 */
/* check_helper_async.c - requests that the event loop works on. */
#include "pysupport_helper.h"

#include <stdio.h>
#include <stdlib.h>

#include "support_check.h"
#include "support_process.h"

enum { ASYNC = WIRE_FLAG_ASYNC };

/* The package is where the programs under test are. */
static void
start(struct peer *p)
{
    const char *priv = getenv("TERRARIUM_PRIV");
    char map[4096];
    snprintf(map, sizeof map, "{'paths': ['%s/py']}", priv ? priv : "priv");
    peer_boot(p, map);
    ck_assert_uint_eq(peer_next(p, NULL).opcode, WIRE_HELLO);
    peer_ask(p, WIRE_EXEC,
             "('import asyncio, threading, time, warnings, erlang\\n"
             "warnings.simplefilter(\"ignore\")\\n"
             "log = []\\n"
             "async def value(v): return v\\n"
             "async def after(s, v):\\n"
             "    await asyncio.sleep(s)\\n"
             "    return v\\n"
             "async def fails(): raise ValueError(1)\\n"
             "async def leaves(): raise SystemExit(3)\\n"
             "begun = threading.Semaphore(0)\\n"
             "async def long():\\n"
             "    begun.release()\\n"
             "    try: await asyncio.sleep(3600)\\n"
             "    finally: log.append(1)\\n',)",
             "v is None");
}

static void
result(struct peer *p, uint64_t id, const char *expression)
{
    PyObject *v = peer_receive(p, WIRE_RESULT, id);
    peer_true(v, expression);
    Py_DECREF(v);
}

static void
detached(struct peer *p, uint64_t id)
{
    ck_assert_ptr_null(peer_receive(p, WIRE_DETACHED, id));
}

/* First it is said that it leaves, then comes what it is worth. */
START_TEST(coroutines_are_awaited)
{
    struct peer p;
    start(&p);
    uint64_t a =
        peer_send(&p, WIRE_CALL, ASYNC, "('__main__', 'value', [7], {})");
    detached(&p, a);
    result(&p, a, "v == 7");
    uint64_t b = peer_send(&p, WIRE_EVAL, ASYNC, "('value(8)', {})");
    detached(&p, b);
    result(&p, b, "v == 8");
    peer_stop(&p);
}
END_TEST

/* What cannot be awaited is answered as ever; a coroutine that is not to be
 * awaited has no term. */
START_TEST(other_values_are_answers)
{
    struct peer p;
    start(&p);
    uint64_t a = peer_send(&p, WIRE_CALL, ASYNC, "('math', 'sqrt', [16], {})");
    result(&p, a, "v == 4.0");
    uint64_t b = peer_send(&p, WIRE_CALL, ASYNC, "('math', 'sqrt', [-1], {})");
    peer_error(&p, b, "ValueError", "True");
    /* "never awaited" would be printed, which is a call of the VM. */
    peer_ask(&p, WIRE_EXEC,
             "('import warnings; warnings.simplefilter(\"ignore\")',)",
             "v is None");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'value', [7], {})",
                   "EncodeError", "'coroutine' in v[1]");
    peer_stop(&p);
}
END_TEST

START_TEST(others_go_on)
{
    struct peer p;
    start(&p);
    uint64_t a =
        peer_send(&p, WIRE_CALL, ASYNC, "('__main__', 'after', [0.3, 1], {})");
    uint64_t b =
        peer_send(&p, WIRE_CALL, ASYNC, "('__main__', 'after', [0.1, 2], {})");
    uint64_t c =
        peer_send(&p, WIRE_EVAL, 0, "('threading.active_count()', {})");
    detached(&p, a);
    detached(&p, b);
    result(&p, c, "v == 2");
    result(&p, b, "v == 2");
    result(&p, a, "v == 1");
    peer_stop(&p);
}
END_TEST

START_TEST(errors_have_their_story)
{
    struct peer p;
    start(&p);
    uint64_t a =
        peer_send(&p, WIRE_CALL, ASYNC, "('__main__', 'fails', [], {})");
    detached(&p, a);
    peer_error(&p, a, "ValueError", "'in fails' in v[2]['traceback']");
    uint64_t b =
        peer_send(&p, WIRE_CALL, ASYNC, "('__main__', 'leaves', [], {})");
    detached(&p, b);
    peer_error(&p, b, "SystemExit", "v[1] == '3'");
    uint64_t c = peer_send(&p, WIRE_EVAL, ASYNC, "('value(object())', {})");
    detached(&p, c);
    peer_error(&p, c, "EncodeError", "True");
    uint64_t d = peer_send(&p, WIRE_EVAL, ASYNC, "('value(5)', {})");
    detached(&p, d);
    result(&p, d, "v == 5");
    peer_stop(&p);
}
END_TEST

/* An awaitable that belongs to another loop can not be awaited here. */
START_TEST(foreign_futures_are_errors)
{
    struct peer p;
    start(&p);
    uint64_t a = peer_send(&p, WIRE_EVAL, ASYNC,
                           "('asyncio.new_event_loop().create_future()', {})");
    detached(&p, a);
    peer_error(&p, a, "ValueError", "True");
    peer_stop(&p);
}
END_TEST

START_TEST(cancelled_ones_end)
{
    struct peer p;
    start(&p);
    uint64_t a =
        peer_send(&p, WIRE_CALL, ASYNC, "('__main__', 'long', [], {})");
    uint64_t b =
        peer_send(&p, WIRE_CALL, ASYNC, "('__main__', 'long', [], {})");
    detached(&p, a);
    detached(&p, b);
    for (int i = 0; i < 2; i++)
        peer_ask(&p, WIRE_EVAL, "('begun.acquire(timeout=30)', {})", "v");
    peer_send_frame(&p, WIRE_CANCEL, 0, a, NULL);
    peer_error(&p, a, "CancelledError", "True");
    peer_ask(&p, WIRE_EVAL, "('log', {})", "v == [1]");
    peer_send_frame(&p, WIRE_CANCEL, 0, a, NULL); /* too late */
    peer_send_frame(&p, WIRE_CANCEL, 0, b, NULL);
    peer_error(&p, b, "CancelledError", "True");
    peer_stop(&p);
}
END_TEST

/* Before it has begun it is skipped like any other. */
START_TEST(queued_ones_are_skipped)
{
    struct peer p;
    start(&p);
    peer_hold(&p);
    uint64_t a = peer_send(&p, WIRE_CALL, 0, "('time', 'sleep', [0.1], {})");
    uint64_t b =
        peer_send(&p, WIRE_CALL, ASYNC, "('__main__', 'long', [], {})");
    peer_send_frame(&p, WIRE_CANCEL, 0, b, NULL);
    peer_let_go(&p);
    Py_DECREF(peer_receive(&p, WIRE_RESULT, a));
    ck_assert_ptr_null(peer_receive(&p, WIRE_CANCELLED, b));
    peer_stop(&p);
}
END_TEST

START_TEST(a_thousand_at_once)
{
    enum { COUNT = 1000 };
    static char seen[COUNT];
    struct peer p;
    start(&p);
    uint64_t first = 0;
    peer_hold(&p);
    for (int i = 0; i < COUNT; i++) {
        uint64_t id = peer_send(&p, WIRE_CALL, ASYNC,
                                "('__main__', 'after', [0.01, 1], {})");
        first = i == 0 ? id : first;
    }
    peer_let_go(&p);
    for (int left = 2 * COUNT; left > 0; left--) {
        PyObject *v = NULL;
        struct wire_header h = peer_next(&p, &v);
        Py_XDECREF(v);
        ck_assert_uint_lt(h.id - first, COUNT);
        ck_assert_int_eq(h.opcode,
                         seen[h.id - first] ? WIRE_RESULT : WIRE_DETACHED);
        ck_assert_int_lt(seen[h.id - first]++, 2);
    }
    peer_stop(&p);
}
END_TEST

START_TEST(references_to_what_is_awaited)
{
    struct peer p;
    start(&p);
    uint64_t a = peer_send(&p, WIRE_EVAL, ASYNC | WIRE_FLAG_RETURN_REF,
                           "('value(object())', {})");
    detached(&p, a);
    result(&p, a, "type(v) is int");
    peer_stop(&p);
}
END_TEST

/* In a term it stands for its object; several are let go of at once. */
START_TEST(references_stand_for_objects)
{
    struct peer p;
    char body[256];
    start(&p);
    unsigned long long n[2];
    for (int i = 0; i < 2; i++) {
        uint64_t id =
            peer_send(&p, WIRE_EVAL, WIRE_FLAG_RETURN_REF, "('[1, 2, 3]', {})");
        PyObject *v = peer_receive(&p, WIRE_RESULT, id);
        n[i] = PyLong_AsUnsignedLongLong(v);
        Py_DECREF(v);
    }
    static const char form[] =
        "('builtins', 'len', [(__import__('_erlang').Atom('py_ref'), 0, 1, "
        "%llu, 0)], {})";
    snprintf(body, sizeof body, form, n[0]);
    peer_ask(&p, WIRE_CALL, body, "v == 3");
    snprintf(body, sizeof body, "([%llu, %llu],)", n[0], n[1]);
    peer_send_frame(&p, WIRE_RELEASE, 0, 0, body);
    snprintf(body, sizeof body, form, n[1]);
    peer_ask_error(&p, WIRE_CALL, body, "StaleReference", "True");
    peer_stop(&p);
}
END_TEST

START_TEST(streams_give_some_items_at_a_time)
{
    struct peer p;
    char body[256];
    start(&p);
    uint64_t id =
        peer_send(&p, WIRE_EVAL, WIRE_FLAG_STREAM, "('range(3)', {})");
    PyObject *v = peer_receive(&p, WIRE_RESULT, id);
    unsigned long long n = PyLong_AsUnsignedLongLong(v);
    Py_DECREF(v);
    snprintf(body, sizeof body, "(%llu, 'next', [2], {})", n);
    peer_ask(&p, WIRE_METHOD, body, "v == ([0, 1], 'more')");
    peer_ask(&p, WIRE_METHOD, body, "v == ([2], 'done')");
    snprintf(body, sizeof body, "(%llu, 'close', [], {})", n);
    peer_ask(&p, WIRE_METHOD, body, "v is None");
    uint64_t bad = peer_send(&p, WIRE_EVAL, WIRE_FLAG_STREAM, "('1', {})");
    peer_error(&p, bad, "TypeError", "'iterable' in v[1]");
    peer_stop(&p);
}
END_TEST

/* STOP cancels what is left; it is not told any more. */
START_TEST(the_end)
{
    struct peer p;
    start(&p);
    uint64_t a =
        peer_send(&p, WIRE_CALL, ASYNC, "('__main__', 'long', [], {})");
    detached(&p, a);
    peer_ask(&p, WIRE_EVAL, "('begun.acquire(timeout=30)', {})", "v");
    peer_ask(&p, WIRE_EXEC,
             "('import atexit, os, sys\\n"
             "class Log(list):\\n"
             "    def append(self, x):\\n"
             "        os.write(2, b\"finally\")\\n"
             "log = Log()',)",
             "v is None");
    peer_send_frame(&p, WIRE_STOP, 0, 0, NULL);
    peer_read_until(p.err, "finally");
    ck_assert_int_eq(peer_wait(&p), 0);
}
END_TEST

Suite *
make_helper_async_suite(void)
{
    const TTest *const tests[] = {coroutines_are_awaited,
                                  other_values_are_answers,
                                  others_go_on,
                                  errors_have_their_story,
                                  foreign_futures_are_errors,
                                  cancelled_ones_end,
                                  queued_ones_are_skipped,
                                  a_thousand_at_once,
                                  references_to_what_is_awaited,
                                  references_stand_for_objects,
                                  streams_give_some_items_at_a_time,
                                  the_end,
                                  NULL};
    return peer_suite("helper_async", tests, 60);
}
