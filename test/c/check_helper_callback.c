/* SPDX-License-Identifier: Apache-2.0 */
/* check_helper_callback.c - calls of Erlang functions, with the test as the VM:
 * what is asked and in which order things run, whoever reads. */
#include "pysupport_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support_check.h"
#include "support_process.h"

/* The number of the next question, which must be this request's (0: nobody's)
 * and of which the expression is true. */
static uint64_t
asked(struct peer *p, uint64_t id, const char *expression)
{
    PyObject *q = peer_receive(p, WIRE_CALLBACK, id);
    peer_true(q, expression);
    uint64_t number = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(q, 0));
    ck_assert_uint_ge(number, (uint64_t)1 << 63);
    Py_DECREF(q);
    return number;
}

static void
answer(struct peer *p, uint64_t number, const char *value)
{
    peer_send_frame(p, WIRE_CALLED, 0, number, value);
}

static void
expect(struct peer *p, uint64_t id, const char *expression)
{
    PyObject *v = peer_receive(p, WIRE_RESULT, id);
    peer_true(v, expression);
    Py_DECREF(v);
}

static void
expect_started(struct peer *p, uint64_t id)
{
    ck_assert_ptr_null(peer_receive(p, WIRE_STARTED, id));
}

static void
start(struct peer *p, const char *exec)
{
    const char *priv = getenv("TERRARIUM_PRIV");
    char map[4096];
    snprintf(map, sizeof map, "{'paths': ['%s/py']}", priv ? priv : "priv");
    peer_boot(p, map);
    struct wire_header h = peer_next(p, NULL);
    ck_assert_uint_eq(h.opcode, WIRE_HELLO);
    peer_ask(p, WIRE_EXEC,
             "('import erlang, threading, time\\nseen = []\\n"
             "def caught(f):\\n"
             "  try: return f()\\n"
             "  except BaseException as e:\\n"
             "    seen.append(type(e).__name__)\\n    raise\\n',)",
             "v is None");
    if (exec != NULL)
        peer_ask(p, WIRE_EXEC, exec, "v is None");
}

static uint64_t
eval(struct peer *p, uint8_t flags, const char *code)
{
    char body[400];
    snprintf(body, sizeof body, "('%s', {})", code);
    return peer_send(p, WIRE_EVAL, flags, body);
}

START_TEST(a_call)
{
    struct peer p;
    start(&p, NULL);
    uint64_t id = eval(&p, 0, "erlang.call(\"f\", 1, [2], a=3) + 1");
    uint64_t n = asked(&p, id, "v[1:] == ('f', [1, [2]], {'a': 3})");
    ck_assert(peer_is_silent(&p, 50));
    answer(&p, n, "41");
    expect(&p, id, "v == 42");
    id = eval(&p, 0, "[erlang.g(i) for i in range(3)]");
    for (uint64_t i = 1; i <= 3; i++)
        answer(&p, asked(&p, id, "v[1] == 'g'"), "None");
    expect(&p, id, "v == [None] * 3");
    peer_stop(&p);
}
END_TEST

START_TEST(what_is_raised)
{
    struct peer p;
    start(&p, NULL);
    uint64_t id = eval(&p, 0, "caught(lambda: erlang.f())");
    uint64_t n = asked(&p, id, "True");
    peer_send_frame(&p, WIRE_RAISED, 0, n,
                    "('throw', 7, [('m', 'f', 0, 'x.erl', 3)])");
    peer_error(&p, id, "ErlangError", "v[1] == 'throw: 7'");
    id = eval(&p, 0, "erlang.f()");
    n = asked(&p, id, "True");
    peer_send_frame(&p, WIRE_RAISED, 0, n, "(None, 'f', [])");
    peer_error(&p, id, "NameError", "\"'f'\" in v[1]");
    id = eval(&p, 0, "erlang.f()");
    n = asked(&p, id, "True");
    peer_send_frame(&p, WIRE_RAISED, 0, n, "17"); /* no such thing */
    peer_error(&p, id, "TypeError", "True");
    peer_stop(&p);
}
END_TEST

/* Answers that nobody waits for, or not any more, are nothing. */
START_TEST(answers_to_nobody)
{
    struct peer p;
    start(&p, NULL);
    answer(&p, 0, "1");
    answer(&p, 12345, "1");
    uint64_t id = eval(&p, 0, "(erlang.f(), erlang.f())");
    uint64_t n = asked(&p, id, "True");
    answer(&p, n + 1, "\"before it was asked\"");
    answer(&p, n, "1");
    answer(&p, n, "\"twice\"");
    uint64_t m = asked(&p, id, "True");
    ck_assert(m != n);
    answer(&p, m, "2");
    expect(&p, id, "v == (1, 2)");
    answer(&p, m, "\"after all\"");
    peer_ask(&p, WIRE_EVAL, "('1', {})", "v == 1");
    peer_stop(&p);
}
END_TEST

/* A value that is none is an error of this call. */
START_TEST(a_malformed_answer)
{
    static const uint8_t body[] = {131, 108, 255, 255, 255, 255};
    uint8_t head[WIRE_LIMIT_HEADER_SIZE];
    struct peer p;
    start(&p, NULL);
    uint64_t id = eval(&p, 0, "erlang.f()");
    struct wire_header h = {.length = sizeof body,
                            .opcode = WIRE_CALLED,
                            .id = asked(&p, id, "True")};
    wire_put_header(head, &h);
    peer_send_raw(&p, head, sizeof head);
    peer_send_raw(&p, body, sizeof body);
    peer_error(&p, id, "DecodeError", "True");
    peer_ask(&p, WIRE_EVAL, "('1', {})", "v == 1");
    peer_stop(&p);
}
END_TEST

START_TEST(large_ones)
{
    struct peer p;
    start(&p, NULL);
    for (int i = 0; i < 3; i++) {
        uint64_t id = eval(&p, 0, "len(erlang.f(bytes(3000000)))");
        uint64_t n = asked(&p, id, "len(v[2][0]) == 3000000");
        answer(&p, n, "['x' * 3000000, 1]");
        expect(&p, id, "v == 2");
    }
    peer_stop(&p);
}
END_TEST

/* ---- who runs ------------------------------------------------------------ */

/* Nested ones first, others then, each is said to begin; the answer last. */
START_TEST(others_run_on_top)
{
    struct peer p;
    start(&p, NULL);
    uint64_t a = eval(&p, 0, "[erlang.f(), seen.append(\"a\"), seen][2]");
    uint64_t n = asked(&p, a, "True");
    peer_hold(&p);
    uint64_t x = eval(&p, 0, "seen.append(\"x\")");
    uint64_t y = eval(&p, WIRE_FLAG_NESTED, "seen.append(\"y\")");
    uint64_t z = eval(&p, WIRE_FLAG_NESTED, "seen.append(erlang.g())");
    peer_let_go(&p);
    expect_started(&p, y);
    expect(&p, y, "v is None");
    expect_started(&p, z);
    uint64_t m = asked(&p, z, "v[1] == 'g'");
    expect_started(&p, x);
    expect(&p, x, "v is None");
    answer(&p, m, "'z'");
    expect(&p, z, "v is None");
    answer(&p, n, "0");
    expect(&p, a, "v == ['y', 'x', 'z', 'a']");
    /* One that comes too late for its request is still said to begin. */
    y = eval(&p, WIRE_FLAG_NESTED, "1");
    expect_started(&p, y);
    expect(&p, y, "v == 1");
    peer_stop(&p);
}
END_TEST

/* Destructors of the result are part of the request: it is answered after. */
START_TEST(before_the_answer)
{
    struct peer p;
    start(&p, "('class D(list):\\n  def __del__(self): erlang.gone()\\n',)");
    uint64_t id = eval(&p, 0, "D([1])");
    uint64_t n = asked(&p, id, "v[1] == 'gone'");
    uint64_t other = eval(&p, 0, "2");
    expect_started(&p, other);
    expect(&p, other, "v == 2");
    answer(&p, n, "None");
    expect(&p, id, "v == [1]");
    peer_ask(&p, WIRE_EVAL, "('1', {})", "v == 1");
    peer_stop(&p);
}
END_TEST

/* ---- given up ------------------------------------------------------------ */

static void
expect_once(struct peer *p)
{
    peer_ask(p, WIRE_EVAL, "('[seen[:], seen.clear()][0]', {})",
             "v == ['KeyboardInterrupt']");
}

START_TEST(cancelled_while_it_waits)
{
    struct peer p;
    start(&p, NULL);
    uint64_t id = eval(&p, 0, "caught(erlang.f)");
    uint64_t n = asked(&p, id, "True");
    peer_send_frame(&p, WIRE_CANCEL, 0, id, NULL); /* the signal is late */
    peer_error(&p, id, "KeyboardInterrupt", "'stack' in v[2]");
    answer(&p, n, "1");
    expect_once(&p);
    peer_stop(&p);
}
END_TEST

/* CANCEL, then the signal, at any moment: one KeyboardInterrupt, and what is
 * called then is called in nobody's name. */
START_TEST(cancel_and_signal_raise_once)
{
    enum { ROUNDS = 300 };
    struct peer p;
    uint32_t random = 42;
    start(&p, "('def work():\\n  try: caught(erlang.f)\\n  finally:\\n"
              "    for _ in range(20000): pass\\n"
              "    caught(erlang.g)\\n',)");
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t id =
            peer_send(&p, WIRE_CALL, 0, "('__main__', 'work', [], {})");
        asked(&p, id, "True");
        peer_send_frame(&p, WIRE_CANCEL, 0, id, NULL);
        struct timespec t = {.tv_nsec = next_random(&random) % 200000};
        nanosleep(&t, NULL);
        peer_interrupt(&p, id);
        answer(&p, asked(&p, 0, "v[1] == 'g'"), "1");
        peer_error(&p, id, "KeyboardInterrupt", "True");
        expect_once(&p);
    }
    peer_stop(&p);
}
END_TEST

/* The frame is read, the signal is late, and the code has not noticed yet: what
 * it calls is not called, as if it were clean-up code; what that calls is. */
START_TEST(cancelled_before_it_calls)
{
    struct peer p;
    char code[256], fifo[64];
    snprintf(fifo, sizeof fifo, "/tmp/terrarium_check_%d", (int)getpid());
    snprintf(code, sizeof code, "caught(lambda: work(\"%s\"))", fifo);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    start(&p, "('from erlang import _bridge\\ndef work(path):\\n"
              "  try:\\n    open(path).read()\\n    _bridge._look()\\n"
              "    erlang.f()\\n  finally: erlang.g()\\n',)");
    uint64_t id = eval(&p, 0, code);
    int fd = open(fifo, O_WRONLY | O_CLOEXEC); /* when it runs */
    ck_assert_int_ge(fd, 0);
    peer_send_frame(&p, WIRE_CANCEL, 0, id, NULL);
    close(fd);
    unlink(fifo);
    answer(&p, asked(&p, 0, "v[1] == 'g'"), "1");
    peer_error(&p, id, "KeyboardInterrupt", "True");
    peer_interrupt(&p, id);
    expect_once(&p);
    peer_stop(&p);
}
END_TEST

/* B is on top of A: A is ended when B has ended, whether it has its answer or
 * not, and though its signal came too early. */
START_TEST(cancelled_below_another)
{
    struct peer p;
    start(&p, NULL);
    for (int answered = 0; answered < 2; answered++) {
        uint64_t a =
            eval(&p, 0, "caught(lambda: (erlang.f(), time.sleep(60)))");
        uint64_t n = asked(&p, a, "True");
        uint64_t b = eval(&p, 0, "erlang.g()");
        expect_started(&p, b);
        uint64_t m = asked(&p, b, "True");
        if (answered)
            answer(&p, n, "1");
        peer_send_frame(&p, WIRE_CANCEL, 0, a, NULL);
        peer_interrupt(&p, a);
        ck_assert(peer_is_silent(&p, 50));
        answer(&p, m, "5");
        expect(&p, b, "v == 5");
        peer_error(&p, a, "KeyboardInterrupt", "True");
        expect_once(&p);
    }
    peer_stop(&p);
}
END_TEST

/* A plain interrupt: its caller is still there. */
START_TEST(interrupted_and_asks_again)
{
    struct peer p;
    start(&p, "('def work():\\n  try: caught(erlang.f)\\n"
              "  except KeyboardInterrupt: return erlang.g()\\n',)");
    uint64_t id = peer_send(&p, WIRE_CALL, 0, "('__main__', 'work', [], {})");
    uint64_t n = asked(&p, id, "v[1] == 'f'");
    peer_interrupt(&p, id);
    uint64_t m = asked(&p, id, "v[1] == 'g'");
    answer(&p, n, "\"late\"");
    answer(&p, m, "3");
    expect(&p, id, "v == 3");
    expect_once(&p);
    peer_stop(&p);
}
END_TEST

/* Too deep: nothing is asked that is not waited for. */
START_TEST(too_deep_to_ask)
{
    struct peer p;
    start(&p, "('import sys\\ndef down():\\n  try: return down()\\n"
              "  except RecursionError: return erlang.f()\\n',)");
    uint64_t id = peer_send(&p, WIRE_CALL, 0, "('__main__', 'down', [], {})");
    uint64_t n = asked(&p, id, "True");
    answer(&p, n, "1");
    expect(&p, id, "v == 1");
    peer_stop(&p);
}
END_TEST

/* ---- threads ------------------------------------------------------------- */

/* The VM expects nothing and sleeps for nothing: it is rung for all the same.
 */
START_TEST(an_unasked_question_rings)
{
    struct peer p;
    start(&p, "('def run():\\n  time.sleep(0.2)\\n  erlang.f()\\n"
              "t = threading.Thread(target=run)\\nt.start()\\n',)");
    channel_disarm(&p.channel);
    struct pollfd w = {.fd = p.channel.fd, .events = POLLIN};
    ck_assert_int_eq(poll(&w, 1, 20000), 1);
    channel_polled(&p.channel);
    answer(&p, asked(&p, 0, "v[1] == 'f'"), "1");
    peer_ask(&p, WIRE_EVAL, "('t.join()', {})", "v is None");
    peer_stop(&p);
}
END_TEST

/* What is open of the questions, and what else happened. */
struct talk {
    struct peer p;
    PyObject *open; /* [(Number, Args)] */
    uint64_t last, plain;
    int answered, done;
    uint32_t random;
};

static void
listen_once(struct talk *t)
{
    PyObject *q;
    struct wire_header h = peer_next(&t->p, &q);
    if (h.opcode == WIRE_CALLBACK) {
        PyList_Append(t->open, q);
    } else if (h.opcode == WIRE_RESULT) {
        t->done += h.id == t->last;
        t->plain = h.id == t->plain ? 0 : t->plain;
    } else {
        ck_assert_uint_eq(h.opcode, WIRE_STARTED);
    }
    Py_XDECREF(q);
}

/* Any of them. */
static void
answer_one(struct talk *t)
{
    Py_ssize_t i = (Py_ssize_t)(next_random(&t->random) %
                                (uint32_t)PyList_GET_SIZE(t->open));
    PyObject *q = PyList_GET_ITEM(t->open, i);
    PyObject *args = PyObject_Repr(PyTuple_GET_ITEM(q, 2));
    answer(&t->p, PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(q, 0)),
           PyUnicode_AsUTF8(args));
    Py_DECREF(args);
    PyList_SetSlice(t->open, i, i + 1, NULL);
    t->answered++;
}

/* Threads and the main thread wait; questions are answered in any order, amid
 * requests: each gets its own answer, and nobody sleeps for ever. */
START_TEST(everybody_gets_what_is_theirs)
{
    enum { ALL = 9 * 200 };
    struct talk t = {.open = PyList_New(0), .random = 7};
    start(&t.p,
          "('def run(i):\\n  time.sleep(0.1)\\n  for k in range(200):\\n"
          "    if erlang.f(i, k) != [i, k]: seen.append((i, k))\\n"
          "t = [threading.Thread(target=run, args=(i,)) for i in range(8)]"
          "\\nfor each in t: each.start()\\n',)");
    t.last = eval(&t.p, 0, "[run(99), 1][1]");
    while (t.answered < ALL || t.done == 0 || t.plain != 0) {
        int wait = next_random(&t.random) % 2 ? 1 : 0;
        if (PyList_GET_SIZE(t.open) == 0 || !peer_is_silent(&t.p, wait))
            listen_once(&t);
        else
            answer_one(&t);
        if (t.plain == 0 && t.done == 0 && next_random(&t.random) % 4 == 0)
            t.plain = eval(&t.p, 0, "1");
    }
    peer_ask(&t.p, WIRE_EVAL, "('[each.join() for each in t] and seen', {})",
             "v == []");
    Py_DECREF(t.open);
    peer_stop(&t.p);
}
END_TEST

/* What the main thread sleeps for is read by another thread. */
START_TEST(the_main_thread_is_woken)
{
    enum { ROUNDS = 500 };
    struct peer p;
    start(&p, "('def run():\\n  time.sleep(0.1)\\n  while erlang.f(): pass\\n"
              "t = threading.Thread(target=run)\\nt.start()\\n',)");
    uint64_t n = asked(&p, 0, "True");
    for (int i = 0; i < ROUNDS; i++) {
        peer_hold(&p); /* in one go: whoever wakes first reads both */
        answer(&p, n, "True");
        uint64_t id = eval(&p, 0, "1");
        peer_let_go(&p);
        int seen_n = 0, seen_id = 0;
        while (!seen_n || !seen_id) {
            PyObject *v;
            struct wire_header h = peer_next(&p, &v);
            if (h.opcode == WIRE_CALLBACK) {
                n = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(v, 0));
                seen_n = 1;
            } else {
                ck_assert(h.opcode == WIRE_RESULT && h.id == id);
                seen_id = 1;
            }
            Py_DECREF(v);
        }
        if (i % 100 == 0)
            process_sleep_ms(120); /* asleep for long */
    }
    answer(&p, n, "False");
    peer_ask(&p, WIRE_EVAL, "('t.join()', {})", "v is None");
    peer_stop(&p);
}
END_TEST

/* The VM goes while everybody waits, or runs: the helper ends at once. */
static const char *const waits[] = {
    "erlang.f()",
    "[threading.Thread(target=erlang.f).start(), time.sleep(0.1), erlang.f()]",
    "[threading.Thread(target=erlang.f).start(), time.sleep(60)]",
    "__import__(\"asyncio\").run(erlang.async_call(\"f\"))",
};

START_TEST(the_vm_goes)
{
    struct peer p;
    start(&p, NULL);
    eval(&p, 0, waits[_i]);
    struct wire_header h = peer_next(&p, NULL);
    ck_assert_uint_eq(h.opcode, WIRE_CALLBACK);
    peer_stop(&p);
}
END_TEST

/* STOP: who waits gets an answer, who calls then is refused. */
START_TEST(stop_while_a_thread_waits)
{
    struct peer p;
    start(&p, "('def run():\\n  time.sleep(0.1)\\n  print(erlang.f())\\n"
              "  try: erlang.f()\\n"
              "  except RuntimeError as e: print(e, flush=True)\\n"
              "threading.Thread(target=run).start()\\n',)");
    uint64_t n = asked(&p, 0, "True");
    peer_send_frame(&p, WIRE_STOP, 0, 0, NULL);
    process_sleep_ms(100);
    answer(&p, n, "\"in time\"");
    peer_read_until(p.out, "in time\na context that is being stopped");
    int status = peer_wait(&p);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

START_TEST(coroutines)
{
    struct peer p;
    uint64_t n[3];
    start(&p, "('import asyncio\\nasync def main():\\n"
              "  return await asyncio.gather(*[erlang.async_call(\"f\", i)"
              " for i in range(3)])\\n',)");
    uint64_t id = eval(&p, 0, "asyncio.run(main())");
    for (int i = 0; i < 3; i++)
        n[i] = asked(&p, 0, "v[1] == 'f'");
    uint64_t nested =
        eval(&p, WIRE_FLAG_NESTED, "asyncio.run(asyncio.sleep(0, 9))");
    expect_started(&p, id);
    expect_started(&p, nested);
    expect(&p, nested, "v == 9");
    for (int i = 2; i >= 0; i--)
        answer(&p, n[i], i == 0 ? "0" : i == 1 ? "10" : "20");
    expect(&p, id, "v == [0, 10, 20]");
    peer_stop(&p);
}
END_TEST

Suite *
make_helper_callback_suite(void)
{
    const TTest *const tests[] = {a_call,
                                  what_is_raised,
                                  answers_to_nobody,
                                  a_malformed_answer,
                                  large_ones,
                                  others_run_on_top,
                                  before_the_answer,
                                  cancelled_while_it_waits,
                                  cancel_and_signal_raise_once,
                                  cancelled_before_it_calls,
                                  cancelled_below_another,
                                  interrupted_and_asks_again,
                                  too_deep_to_ask,
                                  an_unasked_question_rings,
                                  everybody_gets_what_is_theirs,
                                  the_main_thread_is_woken,
                                  stop_while_a_thread_waits,
                                  coroutines,
                                  NULL};
    Suite *s = peer_suite("helper_callback", tests, 120);
    TCase *c = tcase_create("the_vm_goes");
    tcase_add_unchecked_fixture(c, peer_python, NULL);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, the_vm_goes, 0, (int)(sizeof waits / sizeof *waits));
    suite_add_tcase(s, c);
    return s;
}
