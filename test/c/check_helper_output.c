/* SPDX-License-Identifier: Apache-2.0 */
/* check_helper_output.c - what the code of a request prints goes to who made
 * the request, before the answer; all else goes to the descriptors. */
#include "pysupport_helper.h"

#include <signal.h>
#include <stdio.h>

#include "support_process.h"

/* The helper asks for {io, put} on behalf of this request; the expression is
 * true of (descriptor, bytes).  Answer it with this frame. */
static void
put_is_answered(struct peer *p, uint64_t id, const char *expression,
                uint8_t opcode, const char *answer)
{
    PyObject *v = peer_receive(p, WIRE_CALLBACK, id);
    peer_true(v, "v[1] == ('io', 'put') and v[3] == {}");
    PyObject *args = PyTuple_GetItem(v, 2);
    PyObject *number = PyTuple_GetItem(v, 0);
    peer_true(args, expression);
    peer_send_frame(p, opcode, 0, PyLong_AsUnsignedLongLong(number), answer);
    Py_DECREF(v);
}

static void
put(struct peer *p, uint64_t id, const char *expression)
{
    put_is_answered(p, id, expression, WIRE_CALLED, "True");
}

static void
result(struct peer *p, uint64_t id)
{
    Py_DECREF(peer_receive(p, WIRE_RESULT, id));
}

START_TEST(whole_lines_in_order)
{
    struct peer p;
    peer_start(&p);
    uint64_t id = peer_send(&p, WIRE_EXEC, 0,
                            "('import sys\\n"
                            "print(\"a\", \"b\")\\n"
                            "print(\"c\\\\nd\", end=\"\", file=sys.stderr)\\n"
                            "print(\"e\", end=\"\", flush=True)\\n"
                            "sys.stdout.buffer.write(b\"\\\\xff\\\\n\")\\n',)");
    put(&p, id, "v == [1, 'a b\\n']");
    put(&p, id, "v == [2, 'c\\n']");
    /* Before the next one waits: the unfinished line of the other stream. */
    put(&p, id, "v == [2, 'd']");
    put(&p, id, "v == [1, 'e']");
    put(&p, id, "v == [1, b'\\xff\\n']");
    result(&p, id);
    peer_stop(&p);
}
END_TEST

/* Everything comes before the answer: unfinished lines, what destructors say,
 * and what is said while the answer is made. */
START_TEST(all_before_the_answer)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('class Noisy:\\n"
             "  def __del__(self): print(\"gone\", end=\"\")\\n"
             "def fail():\\n"
             "  x = Noisy()\\n"
             "  print(\"so far\", end=\"\")\\n"
             "  raise ValueError(\"no\")\\n"
             "class Told(Exception):\\n"
             "  def __str__(self): print(\"asked\"); return \"told\"\\n',)",
             "v is None");
    uint64_t id = peer_send(&p, WIRE_EVAL, 0, "('print(\"x\", end=\"\")', {})");
    put(&p, id, "v == [1, 'x']");
    result(&p, id);
    id = peer_send(&p, WIRE_CALL, 0, "('__main__', 'fail', [], {})");
    put(&p, id, "v == [1, 'so fargone']");
    peer_error(&p, id, "ValueError", "v[1] == 'no'");
    id = peer_send(&p, WIRE_EVAL, 0, "('[Noisy()]', {})");
    put(&p, id, "v == [1, 'gone']");
    peer_error(&p, id, "EncodeError", "True");
    id = peer_send(&p, WIRE_EXEC, 0, "('raise Told()',)");
    PyObject *v;
    while (peer_next(&p, &v).opcode == WIRE_CALLBACK) {
        peer_true(PyTuple_GetItem(v, 2), "v == [1, 'asked\\n']");
        uint64_t n = PyLong_AsUnsignedLongLong(PyTuple_GetItem(v, 0));
        peer_send_frame(&p, WIRE_CALLED, 0, n, "True");
        Py_DECREF(v);
    }
    peer_true(v, "bytes(v[0]) == b'Told' and bytes(v[1]) == b'told'");
    Py_DECREF(v);
    peer_stop(&p);
}
END_TEST

/* No piece ends within a character, and none is too large. */
START_TEST(long_text_in_pieces)
{
    struct peer p;
    peer_start(&p);
    peer_send(&p, WIRE_EVAL, 0, "('print(\"x\" + \"\\u20ac\" * 100000)', {})");
    size_t all = 0;
    PyObject *v;
    while (peer_next(&p, &v).opcode == WIRE_CALLBACK) {
        PyObject *args = PyTuple_GetItem(v, 2);
        peer_true(args, "isinstance(v[1], str) and"
                        " len(v[1].encode()) <= 65536");
        all += (size_t)PyUnicode_GetLength(PyList_GetItem(args, 1));
        uint64_t n = PyLong_AsUnsignedLongLong(PyTuple_GetItem(v, 0));
        peer_send_frame(&p, WIRE_CALLED, 0, n, "True");
        Py_DECREF(v);
    }
    Py_DECREF(v);
    ck_assert_uint_eq(all, 100002);
    peer_stop(&p);
}
END_TEST

/* Whatever happens to the text is no fault of the code. */
START_TEST(a_failure_is_not_the_code_s)
{
    struct peer p;
    peer_start(&p);
    uint64_t id = peer_send(&p, WIRE_EXEC, 0, "('print(\"lost\")',)");
    put_is_answered(&p, id, "v == [1, 'lost\\n']", WIRE_RAISED,
                    "('error', 'badarg', [])");
    result(&p, id);
    peer_read_until(p.out, "lost\n");
    peer_stop(&p);
}
END_TEST

/* Nobody would answer: who asked has given up. */
START_TEST(a_cancelled_request_prints_elsewhere)
{
    struct peer p;
    peer_start(&p);
    uint64_t id = peer_send(&p, WIRE_EXEC, 0,
                            "('import time\\nprint(\"begun\")\\n"
                            "try: time.sleep(60)\\n"
                            "finally: print(\"cleaned up\")',)");
    put(&p, id, "v == [1, 'begun\\n']");
    process_sleep_ms(50);
    peer_send_frame(&p, WIRE_CANCEL, 0, id, NULL);
    peer_interrupt(&p, id);
    peer_read_until(p.out, "cleaned up\n");
    peer_error(&p, id, "KeyboardInterrupt", "True");
    id = peer_send(&p, WIRE_EXEC, 0, "('print(\"again\")',)");
    put(&p, id, "v == [1, 'again\\n']");
    result(&p, id);
    peer_stop(&p);
}
END_TEST

/* Cancelled while another request runs on top, and answered as well: no signal
 * has hit it, and none will. */
START_TEST(cancelled_while_another_one_runs)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC, "('import _erlang, time',)", "v is None");
    uint64_t one = peer_send(&p, WIRE_EXEC, 0,
                             "('_erlang.call(\"f\", (), {})\\n"
                             "while True: print(1)',)");
    PyObject *v = peer_receive(&p, WIRE_CALLBACK, one);
    uint64_t number = PyLong_AsUnsignedLongLong(PyTuple_GetItem(v, 0));
    Py_DECREF(v);
    uint64_t two = peer_send(&p, WIRE_CALL, 0, "('time', 'sleep', [0.3], {})");
    peer_receive(&p, WIRE_STARTED, two);
    peer_send_frame(&p, WIRE_CANCEL, 0, one, NULL);
    peer_send_frame(&p, WIRE_CALLED, 0, number, "True");
    result(&p, two);
    peer_error(&p, one, "KeyboardInterrupt", "True");
    peer_stop(&p);
}
END_TEST

START_TEST(outside_of_requests)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('import threading, signal, atexit\\n"
             "signal.signal(signal.SIGUSR1, lambda *a: print(\"usr1\"))\\n"
             "t = threading.Thread(target=print, args=(\"thread\",))\\n"
             "t.start(); t.join()\\n"
             "atexit.register(print, \"bye\", end=\"\")\\n',)",
             "v is None");
    peer_read_until(p.out, "thread\n");
    kill(p.pid, SIGUSR1);
    peer_read_until(p.out, "usr1\n");
    peer_send_frame(&p, WIRE_STOP, 0, 0, NULL);
    peer_read_until(p.out, "bye");
    peer_wait(&p);
}
END_TEST

START_TEST(streams_are_like_python_s)
{
    static const char *const all[] = {
        "sys.stdout.isatty() is False and sys.stderr.isatty() is False",
        "(sys.stdout.encoding, sys.stderr.errors) =="
        " (\"utf-8\", \"backslashreplace\")",
        "isinstance(sys.stdout, io.TextIOWrapper)",
        "isinstance(sys.stdout.buffer, io.BufferedIOBase)",
        "(sys.stdout.fileno(), sys.stderr.fileno(), sys.stdin.fileno()) =="
        " (1, 2, 0)",
        "(sys.stdout.name, sys.stdout.mode) == (\"<stdout>\", \"w\")",
        "sys.stdout.writable() and not sys.stdout.readable()",
        "sys.stdin.readable() and not sys.stdin.writable()",
        "sys.stdout.buffer.raw.fileno() == 1 and not sys.stdout.closed",
        "sys.__stdout__ is sys.stdout and sys.__stdin__ is sys.stdin",
    };
    struct peer p;
    char body[256];
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC, "('import io, sys',)", "v is None");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        snprintf(body, sizeof body, "('%s', {})", all[i]);
        peer_ask(&p, WIRE_EVAL, body, "v is True");
    }
    peer_stop(&p);
}
END_TEST

START_TEST(there_is_no_input)
{
    static const char *const all[] = {"input()",
                                      "sys.stdin.read()",
                                      "sys.stdin.readline()",
                                      "next(sys.stdin)",
                                      "sys.stdin.buffer.read()",
                                      "sys.stdin.buffer.readline()"};
    struct peer p;
    char body[256];
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC, "('import sys',)", "v is None");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        snprintf(body, sizeof body, "('%s', {})", all[i]);
        peer_ask_error(&p, WIRE_EVAL, body, "UnsupportedOperation",
                       "'no standard input' in v[1]");
    }
    peer_stop(&p);
}
END_TEST

/* As in any Python: a closed stream is closed, what replaces it is used. */
START_TEST(closing_and_redirecting)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('import sys, io, contextlib\\n"
             "with contextlib.redirect_stdout(io.StringIO()) as f:\\n"
             "  print(\"kept\")\\n"
             "assert f.getvalue() == \"kept\\\\n\"',)",
             "v is None");
    peer_ask_error(&p, WIRE_EXEC, "('sys.stdout.close()\\nprint(1)',)",
                   "ValueError", "'closed file' in v[1]");
    peer_ask(&p, WIRE_EVAL, "('sys.stdout.closed', {})", "v is True");
    peer_stop(&p);
}
END_TEST

Suite *
make_helper_output_suite(void)
{
    const TTest *const tests[] = {whole_lines_in_order,
                                  all_before_the_answer,
                                  long_text_in_pieces,
                                  a_failure_is_not_the_code_s,
                                  a_cancelled_request_prints_elsewhere,
                                  cancelled_while_another_one_runs,
                                  outside_of_requests,
                                  streams_are_like_python_s,
                                  there_is_no_input,
                                  closing_and_redirecting,
                                  NULL};
    return peer_suite("helper_output", tests, 120);
}
