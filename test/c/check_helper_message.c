/* SPDX-License-Identifier: Apache-2.0 */
/* check_helper_message.c - a helper sends messages, and hears that receivers
 * are gone. */
#include "pysupport_helper.h"

#define EXEC(text) "(\"\"\"" text "\"\"\",)"

static uint64_t
begin(struct peer *p, const char *code)
{
    peer_start(p);
    return peer_send(p, WIRE_EXEC, 0, code);
}

/* The next frame is a message, and the expression is true of it. */
static void
message(struct peer *p, const char *expression)
{
    PyObject *v = peer_receive(p, WIRE_SEND, 0);
    peer_true(v, expression);
    Py_XDECREF(v);
}

static void
done(struct peer *p, uint64_t id)
{
    Py_XDECREF(peer_receive(p, WIRE_RESULT, id));
    peer_stop(p);
}

START_TEST(messages_come_before_the_answer)
{
    struct peer p;
    uint64_t id =
        begin(&p, EXEC("import _erlang\n"
                       "for i in range(50): _erlang._send(i, [i])\n"));
    for (int i = 0; i < 50; i++)
        message(&p, "v[1] == [v[0]]");
    done(&p, id);
}
END_TEST

START_TEST(what_is_no_term_is_not_sent)
{
    struct peer p;
    peer_start(&p);
    peer_ask_error(&p, WIRE_EVAL,
                   "('__import__(\"_erlang\")._send(1, open)', {})",
                   "EncodeError", "True");
    peer_ask_error(&p, WIRE_EVAL, "('__import__(\"_erlang\")._send(1)', {})",
                   "TypeError", "True");
    peer_stop(&p);
}
END_TEST

/* Code that does nothing but send hears of it. */
START_TEST(gone_is_told_at_once)
{
    struct peer p;
    uint64_t id =
        begin(&p, EXEC("import _erlang, sys, types\n"
                       "seen = []\n"
                       "m = types.ModuleType('erlang._messages')\n"
                       "m._gone = seen.append\n"
                       "sys.modules['erlang'] = types.ModuleType('erlang')\n"
                       "sys.modules['erlang._messages'] = m\n"
                       "while not seen: _erlang._send(1, 'x')\n"
                       "_erlang._send(2, seen)\n"));
    message(&p, "v == (1, 'x')");
    peer_send_frame(&p, WIRE_GONE, 0, 0, "(1, 'why')");
    for (;;) {
        PyObject *v = peer_receive(&p, WIRE_SEND, 0);
        int last = PyLong_AsLong(PyTuple_GetItem(v, 0)) == 2;
        if (last)
            peer_true(v, "v[1] == [(1, 'why')]");
        Py_DECREF(v);
        if (last)
            break;
    }
    done(&p, id);
}
END_TEST

/* One who only looks hears of all; what the code raises is not its problem. */
START_TEST(gone_is_told_to_one_who_looks)
{
    struct peer p;
    uint64_t id =
        begin(&p, EXEC("import _erlang, sys, time, types\n"
                       "seen = []\n"
                       "sys.unraisablehook = lambda told: None\n"
                       "def gone(notice):\n"
                       "    seen.append(notice[0])\n"
                       "    raise ValueError('told')\n"
                       "m = types.ModuleType('erlang._messages')\n"
                       "m._gone = gone\n"
                       "sys.modules['erlang'] = types.ModuleType('erlang')\n"
                       "sys.modules['erlang._messages'] = m\n"
                       "_erlang._send(0, 'ready')\n"
                       "while len(seen) < 3:\n"
                       "    _erlang._look()\n"
                       "    time.sleep(0.001)\n"
                       "assert seen == [1, 2, 3]\n"));
    message(&p, "v[1] == 'ready'");
    for (int i = 1; i <= 3; i++) {
        char body[32];
        snprintf(body, sizeof body, "(%d, None)", i);
        peer_send_frame(&p, WIRE_GONE, 0, 0, body);
    }
    done(&p, id);
}
END_TEST

Suite *
make_helper_message_suite(void)
{
    const TTest *const tests[] = {
        messages_come_before_the_answer, what_is_no_term_is_not_sent,
        gone_is_told_at_once, gone_is_told_to_one_who_looks, NULL};
    return peer_suite("helper_message", tests, 60);
}
