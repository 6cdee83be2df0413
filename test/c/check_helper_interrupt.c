/* SPDX-License-Identifier: Apache-2.0 */
/* check_helper_interrupt.c - cancelled and interrupted requests: the one that
 * is meant, and never another. */
#include "pysupport_helper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support_check.h"
#include "support_process.h"

static const char sleeper[] = "('time', 'sleep', [60], {})";

static void
let_it_begin(const struct peer *p, uint64_t id)
{
    struct blackbox b;
    char text[8];
    for (int i = 0; i < 2000; i++) {
        peer_box(p, &b, text, sizeof text);
        if (b.request == id)
            return;
        process_sleep_ms(5);
    }
    ck_abort_msg("the request did not begin");
}

START_TEST(a_queued_request_is_cancelled)
{
    struct peer p;
    peer_start(&p);
    uint64_t a = peer_send(&p, WIRE_CALL, 0, "('time', 'sleep', [0.3], {})");
    uint64_t b = peer_send(&p, WIRE_EXEC, 0, "('ran = 1',)");
    uint64_t c = peer_send(&p, WIRE_EVAL, 0, "('\"ran\" in globals()', {})");
    let_it_begin(&p, a);
    peer_send_frame(&p, WIRE_CANCEL, 0, b, NULL);
    peer_send_frame(&p, WIRE_CANCEL, 0, 12345, NULL); /* nobody's */
    peer_send_frame(&p, WIRE_CANCEL, 0, a, NULL);     /* too late */
    Py_DECREF(peer_receive(&p, WIRE_RESULT, a));
    ck_assert_ptr_null(peer_receive(&p, WIRE_CANCELLED, b));
    PyObject *v = peer_receive(&p, WIRE_RESULT, c);
    peer_true(v, "v is False");
    Py_DECREF(v);
    peer_stop(&p);
}
END_TEST

/* Many of them, in one go and in any order. */
START_TEST(many_queued_requests_are_cancelled)
{
    enum { COUNT = 2000 };
    struct peer p;
    peer_start(&p);
    uint64_t a = peer_send(&p, WIRE_CALL, 0, "('time', 'sleep', [1], {})");
    let_it_begin(&p, a);
    peer_hold(&p);
    for (int i = 0; i < COUNT; i++)
        peer_send(&p, WIRE_EVAL, 0, "('1', {})");
    for (int i = COUNT; i > 0; i--) {
        if (i % 3 != 0)
            peer_send_frame(&p, WIRE_CANCEL, 0, a + (uint64_t)i, NULL);
    }
    peer_let_go(&p);
    Py_DECREF(peer_receive(&p, WIRE_RESULT, a));
    for (int i = 1; i <= COUNT; i++)
        Py_XDECREF(peer_receive(&p, i % 3 ? WIRE_CANCELLED : WIRE_RESULT,
                                a + (uint64_t)i));
    peer_stop(&p);
}
END_TEST

/* What Python can hang in. */
static const char *const stuck[] = {
    "time.sleep(60)",
    "while True: pass",
    "(lambda l: (l.acquire(), l.acquire()))(threading.Lock())",
    "threading.Event().wait()",
    "(lambda s: s[0].recv(1))(socket.socketpair())",
    "select.select([os.pipe()[0]], [], [])",
    "os.read(os.pipe()[0], 1)",
    "subprocess.run([\"sleep\", \"60\"])",
    "(lambda t: (t.start(), t.join()))(threading.Thread(target=time.sleep,"
    " args=(60,), daemon=True))",
    "queue.Queue().get()",
    "asyncio.run(asyncio.sleep(60))",
    "sum(x for x in itertools.count())",
    "signal.pause()",
};

START_TEST(whatever_it_hangs_in)
{
    struct peer p;
    char body[512];
    snprintf(body, sizeof body, "('%s',)", stuck[_i]);
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('import asyncio, itertools, os, queue, select, signal, socket,"
             " subprocess, threading, time',)",
             "v is None");
    uint64_t id = peer_send(&p, WIRE_EXEC, 0, body);
    uint64_t next = peer_send(&p, WIRE_EVAL, 0, "('6 * 7', {})");
    let_it_begin(&p, id);
    process_sleep_ms(100);
    long begin = process_now_ms();
    peer_interrupt(&p, id);
    peer_error(&p, id, "KeyboardInterrupt",
               "v[2]['stack'].count('<module>') == 1 and"
               " 'File \"<exec-2>\", line 1' in v[2]['stack'] and"
               " v[2]['frames'][0]['function'] == '<module>'");
    ck_assert_int_lt(process_now_ms() - begin, 5000);
    PyObject *v = peer_receive(&p, WIRE_RESULT, next);
    peer_true(v, "v == 42");
    Py_DECREF(v);
    peer_stop(&p);
}
END_TEST

/* Right when it begins, where a signal is easily too early for the system
 * call it should interrupt. */
START_TEST(at_the_very_beginning)
{
    struct peer p;
    peer_start(&p);
    for (int i = 0; i < 300; i++) {
        long begin = process_now_ms();
        uint64_t id = peer_send(&p, WIRE_CALL, 0, sleeper);
        struct blackbox b;
        char text[8];
        do
            peer_box(&p, &b, text, sizeof text);
        while (b.request != id);
        peer_interrupt(&p, id);
        peer_error(&p, id, "KeyboardInterrupt", "True");
        ck_assert_int_lt(process_now_ms() - begin, 5000);
    }
    peer_stop(&p);
}
END_TEST

/* An interrupt for any other id, or of another kind, does nothing. */
START_TEST(only_the_one_that_is_meant)
{
    struct peer p;
    struct blackbox b;
    char text[64];
    peer_start(&p);
    uint64_t id = peer_send(&p, WIRE_CALL, 0, "('time', 'sleep', [0.5], {})");
    let_it_begin(&p, id);
    peer_interrupt(&p, id - 1);
    peer_interrupt(&p, id + 1);
    peer_interrupt(&p, 0);
    ck_assert_int_eq(kill(p.pid, SIGRTMIN + 2), 0); /* without an id */
    process_sleep_ms(100);
    peer_box(&p, &b, text, sizeof text);
    ck_assert_str_eq(text, "");
    Py_DECREF(peer_receive(&p, WIRE_RESULT, id));
    peer_interrupt(&p, id); /* over */
    peer_interrupt(&p, 0);  /* none is running */
    peer_ask(&p, WIRE_EVAL, "('1', {})", "v == 1");
    peer_stop(&p);
}
END_TEST

static void
interrupt_in(struct peer *p, uint64_t id, uint32_t us)
{
    struct timespec t = {.tv_nsec = (long)us * 1000};
    nanosleep(&t, NULL);
    peer_interrupt(p, id);
}

/* Thousands of interrupts that race with the end of their request: it ends
 * one way or the other, and the next one is never hit. */
START_TEST(late_ones_never_hit_the_next)
{
    const char *soak = getenv("TERRARIUM_SOAK_ROUNDS");
    const int rounds = soak ? atoi(soak) : 4000;
    struct peer p;
    char body[128];
    uint32_t random = 4711;
    int hits = 0;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('def work(n, r):\\n"
             "  for _ in range(n): pass\\n"
             "  return r\\n',)",
             "v is None");
    for (int i = 0; i < rounds; i++) {
        uint32_t us = next_random(&random) % 400;
        peer_hold(&p);
        snprintf(body, sizeof body, "('__main__', 'work', [%u, %d], {})",
                 next_random(&random) % 40000, i);
        uint64_t a = peer_send(&p, WIRE_CALL, 0, body);
        snprintf(body, sizeof body, "('__main__', 'work', [%u, -%d], {})",
                 next_random(&random) % 3000, i);
        uint64_t b = peer_send(&p, WIRE_CALL, 0, body);
        peer_let_go(&p);
        interrupt_in(&p, a, us);
        PyObject *v;
        struct wire_header h = peer_next(&p, &v);
        ck_assert(h.id == a);
        if (h.opcode == WIRE_ERROR)
            hits++;
        else {
            ck_assert_uint_eq(h.opcode, WIRE_RESULT);
            ck_assert_int_eq(PyLong_AsLong(v), i);
        }
        Py_DECREF(v);
        v = peer_receive(&p, WIRE_RESULT, b);
        ck_assert_int_eq(PyLong_AsLong(v), -i);
        Py_DECREF(v);
    }
    /* How often which side won depends on the machine: told, not asserted. */
    printf("interrupts: %d of %d rounds hit\n", hits, rounds);
    peer_stop(&p);
}
END_TEST

/* As the driver does it when a caller gives up: CANCEL, then the signal. */
START_TEST(cancel_and_signal_always_find_it)
{
    enum { ROUNDS = 1000 };
    struct peer p;
    uint32_t random = 815;
    peer_start(&p);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t id = peer_send(&p, WIRE_CALL, 0, sleeper);
        uint64_t next = peer_send(&p, WIRE_EVAL, 0, "('1', {})");
        struct timespec t = {.tv_nsec = next_random(&random) % 150000};
        nanosleep(&t, NULL);
        peer_send_frame(&p, WIRE_CANCEL, 0, id, NULL);
        peer_interrupt(&p, id);
        PyObject *v;
        struct wire_header h = peer_next(&p, &v);
        ck_assert(h.id == id);
        ck_assert(h.opcode == WIRE_CANCELLED || h.opcode == WIRE_ERROR);
        Py_XDECREF(v);
        Py_DECREF(peer_receive(&p, WIRE_RESULT, next));
    }
    peer_stop(&p);
}
END_TEST

/* Code that catches it goes on, and can be interrupted again. */
START_TEST(catching_it_is_allowed)
{
    struct peer p;
    peer_start(&p);
    uint64_t id =
        peer_send(&p, WIRE_EXEC, 0,
                  "('import time, os\\n"
                  "try: time.sleep(60)\\n"
                  "except KeyboardInterrupt: os.write(1, b\"caught\\\\n\")\\n"
                  "time.sleep(60)\\n',)");
    let_it_begin(&p, id);
    process_sleep_ms(50);
    peer_interrupt(&p, id);
    peer_read_until(p.out, "caught\n");
    ck_assert(peer_is_silent(&p, 100));
    peer_interrupt(&p, id);
    peer_error(&p, id, "KeyboardInterrupt", "'line 4' in v[2]['stack']");
    peer_stop(&p);
}
END_TEST

/* Stuck in C: the request goes on, but the black box tells where it is. */
START_TEST(stuck_in_c_leaves_a_trace)
{
    struct peer p;
    struct blackbox b;
    char text[4096];
    peer_start(&p);
    uint64_t id = peer_send(&p, WIRE_EXEC, 0,
                            "('def spin():\\n  max(range(1 << 60))\\n"
                            "spin()',)");
    let_it_begin(&p, id);
    process_sleep_ms(100);
    peer_interrupt(&p, id);
    for (int i = 0; i < 1000; i++) {
        peer_box(&p, &b, text, sizeof text);
        if (strstr(text, "in spin") != NULL)
            break;
        process_sleep_ms(5);
    }
    ck_assert_msg(strstr(text, "line 2 in spin") != NULL, "%s", text);
    ck_assert(b.request == id);
    kill(p.pid, SIGKILL);
    peer_wait(&p);
}
END_TEST

/* Handlers and signals of user code are its own. */
START_TEST(python_signals_work)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('import signal, os, time\\n"
             "signal.signal(signal.SIGUSR1, lambda *a: os.write(1, "
             "b\"usr1\\\\n\"))\\n"
             "signal.signal(signal.SIGINT, signal.SIG_IGN)\\n',)",
             "v is None");
    kill(p.pid, SIGUSR1); /* while it is idle */
    peer_read_until(p.out, "usr1\n");
    peer_ask(&p, WIRE_EVAL, "('os.kill(os.getpid(), signal.SIGUSR1)', {})",
             "v is None");
    peer_read_until(p.out, "usr1\n");
    uint64_t id = peer_send(&p, WIRE_CALL, 0, sleeper);
    let_it_begin(&p, id);
    process_sleep_ms(50);
    peer_interrupt(&p, id);
    peer_error(&p, id, "KeyboardInterrupt", "True");
    peer_ask_error(&p, WIRE_EXEC,
                   "('signal.signal(signal.SIGINT,"
                   " signal.default_int_handler)\\n"
                   "os.kill(os.getpid(), signal.SIGINT)\\ntime.sleep(9)',)",
                   "KeyboardInterrupt", "'stack' not in v[2]");
    peer_stop(&p);
}
END_TEST

/* The signal may arrive on any thread; here the main one blocks it. */
START_TEST(another_thread_passes_it_on)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('import threading, time\\n"
             "for _ in range(4):\\n"
             "  threading.Thread(target=time.sleep, args=(60,)).start()\\n',)",
             "v is None");
    for (int i = 0; i < 200; i++) {
        uint64_t id = peer_send(&p, WIRE_CALL, 0, sleeper);
        let_it_begin(&p, id);
        peer_interrupt(&p, id);
        peer_interrupt(&p, id);
        peer_interrupt(&p, id);
        peer_error(&p, id, "KeyboardInterrupt", "True");
    }
    peer_stop(&p);
}
END_TEST

Suite *
make_helper_interrupt_suite(void)
{
    const TTest *const tests[] = {a_queued_request_is_cancelled,
                                  many_queued_requests_are_cancelled,
                                  at_the_very_beginning,
                                  only_the_one_that_is_meant,
                                  late_ones_never_hit_the_next,
                                  cancel_and_signal_always_find_it,
                                  catching_it_is_allowed,
                                  stuck_in_c_leaves_a_trace,
                                  python_signals_work,
                                  another_thread_passes_it_on,
                                  NULL};
    Suite *s = peer_suite("helper_interrupt", tests, 120);
    TCase *c = tcase_create("hangs");
    tcase_add_unchecked_fixture(c, peer_python, NULL);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, whatever_it_hangs_in, 0,
                        (int)(sizeof stuck / sizeof stuck[0]));
    suite_add_tcase(s, c);
    return s;
}
