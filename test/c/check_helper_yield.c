/* SPDX-License-Identifier: Apache-2.0 */
/* check_helper_yield.c - requests that go on step by step: what the VM is told,
 * and whose turn it is. */
#include "pysupport_helper.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support_check.h"
#include "support_process.h"

#define GO(n) "('__main__', 'go', [" #n "], {})"

static void
start(struct peer *p)
{
    const char *priv = getenv("TERRARIUM_PRIV");
    char map[4096];
    snprintf(map, sizeof map, "{'paths': ['%s/py']}", priv ? priv : "priv");
    peer_boot(p, map);
    ck_assert_uint_eq(peer_next(p, NULL).opcode, WIRE_HELLO);
    peer_ask(
        p, WIRE_EXEC,
        "('import erlang, os, time\\n"
        "def go(n):\\n"
        "    if n == 0: return 0\\n"
        "    return erlang.schedule_py(\"__main__\", \"go\", [n - 1])\\n"
        "def at_once(n):\\n"
        "    if n == 0: return 0\\n"
        "    return erlang.schedule_inline(\"__main__\", \"at_once\", [n - "
        "1])\\n"
        "def wait(p):\\n"
        "    while not os.path.exists(p): time.sleep(0.01)\\n',)",
        "v is None");
}

static void
said(struct peer *p, uint8_t opcode, uint64_t id)
{
    ck_assert_ptr_null(peer_receive(p, opcode, id));
}

static void
result(struct peer *p, uint64_t id, const char *expression)
{
    PyObject *v = peer_receive(p, WIRE_RESULT, id);
    peer_true(v, expression);
    Py_DECREF(v);
}

START_TEST(others_go_first)
{
    struct peer p;
    start(&p);
    peer_hold(&p);
    uint64_t a = peer_send(&p, WIRE_CALL, 0, GO(2));
    uint64_t b = peer_send(&p, WIRE_EVAL, 0, "('2', {})");
    uint64_t c = peer_send(&p, WIRE_EVAL, 0, "('3', {})");
    peer_let_go(&p);
    said(&p, WIRE_YIELDED, a);
    result(&p, b, "v == 2");
    result(&p, c, "v == 3");
    said(&p, WIRE_STARTED, a);
    result(&p, a, "v == 0");
    peer_stop(&p);
}
END_TEST

/* With nobody else there is nothing to tell. */
START_TEST(alone)
{
    struct peer p;
    start(&p);
    peer_ask(&p, WIRE_CALL, GO(100000), "v == 0");
    peer_stop(&p);
}
END_TEST

START_TEST(in_turn)
{
    struct peer p;
    start(&p);
    peer_hold(&p);
    uint64_t a = peer_send(&p, WIRE_CALL, 0, GO(2));
    uint64_t b = peer_send(&p, WIRE_CALL, 0, GO(2));
    peer_let_go(&p);
    said(&p, WIRE_YIELDED, a);
    said(&p, WIRE_YIELDED, b);
    said(&p, WIRE_STARTED, a);
    said(&p, WIRE_YIELDED, a);
    said(&p, WIRE_STARTED, b);
    said(&p, WIRE_YIELDED, b);
    said(&p, WIRE_STARTED, a);
    result(&p, a, "v == 0");
    said(&p, WIRE_STARTED, b);
    result(&p, b, "v == 0");
    peer_stop(&p);
}
END_TEST

START_TEST(not_inline)
{
    struct peer p;
    start(&p);
    peer_hold(&p);
    uint64_t a =
        peer_send(&p, WIRE_CALL, 0, "('__main__', 'at_once', [9], {})");
    uint64_t b = peer_send(&p, WIRE_EVAL, 0, "('2', {})");
    peer_let_go(&p);
    result(&p, a, "v == 0");
    result(&p, b, "v == 2");
    peer_stop(&p);
}
END_TEST

START_TEST(not_nested)
{
    struct peer p;
    start(&p);
    peer_hold(&p);
    uint64_t a = peer_send(&p, WIRE_CALL, WIRE_FLAG_NESTED, GO(3));
    uint64_t b = peer_send(&p, WIRE_EVAL, 0, "('2', {})");
    peer_let_go(&p);
    said(&p, WIRE_STARTED, a);
    result(&p, a, "v == 0");
    result(&p, b, "v == 2");
    peer_stop(&p);
}
END_TEST

/* It is skipped when its turn comes, and its step is never made. */
START_TEST(cancelled_in_the_line)
{
    struct peer p;
    char dir[] = "/tmp/yieldXXXXXX", path[64], body[128];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/go", dir);
    snprintf(body, sizeof body, "('__main__', 'wait', ['%s'], {})", path);
    start(&p);
    peer_hold(&p);
    uint64_t a = peer_send(&p, WIRE_CALL, 0, GO(1));
    uint64_t b = peer_send(&p, WIRE_CALL, 0, body);
    peer_let_go(&p);
    said(&p, WIRE_YIELDED, a);
    peer_send_frame(&p, WIRE_CANCEL, 0, a, NULL);
    peer_interrupt(&p, a); /* hits nobody */
    close(open(path, O_CREAT | O_WRONLY, 0600));
    result(&p, b, "v is None");
    struct wire_header h = peer_next(&p, NULL);
    if (h.opcode == WIRE_STARTED) /* it was read only then */
        h = peer_next(&p, NULL);
    ck_assert_uint_eq(h.opcode, WIRE_CANCELLED);
    ck_assert(h.id == a);
    peer_stop(&p);
    unlink(path);
    rmdir(dir);
}
END_TEST

/* What stands before STOP is worked on, so nothing may go behind it. */
START_TEST(never_behind_stop)
{
    struct peer p;
    start(&p);
    peer_hold(&p);
    uint64_t a = peer_send(&p, WIRE_CALL, 0, GO(3));
    uint64_t b = peer_send(&p, WIRE_EVAL, 0, "('2', {})");
    peer_send_frame(&p, WIRE_STOP, 0, 0, NULL);
    peer_let_go(&p);
    result(&p, a, "v == 0");
    result(&p, b, "v == 2");
    ck_assert_int_eq(peer_wait(&p), 0);
}
END_TEST

/* Also when the connection ends with one in the line. */
START_TEST(left_in_the_line)
{
    struct peer p;
    start(&p);
    peer_hold(&p);
    uint64_t a = peer_send(&p, WIRE_CALL, 0, GO(1));
    peer_send(&p, WIRE_CALL, 0, "('time', 'sleep', [0.2], {})");
    peer_let_go(&p);
    said(&p, WIRE_YIELDED, a);
    peer_stop(&p);
}
END_TEST

Suite *
make_helper_yield_suite(void)
{
    const TTest *const tests[] = {others_go_first,
                                  alone,
                                  in_turn,
                                  not_inline,
                                  not_nested,
                                  cancelled_in_the_line,
                                  never_behind_stop,
                                  left_in_the_line,
                                  NULL};
    return peer_suite("helper_yield", tests, 60);
}
