/* SPDX-License-Identifier: Apache-2.0 */
/* check_helper_stream.c - a helper's frames, its output and its end. */
#include "pysupport_helper.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"
#include "handoff.h"
#include "support_check.h"
#include "support_process.h"

/* ---- the stream of frames ------------------------------------------------ */

START_TEST(requests_are_answered_in_order)
{
    struct peer p;
    uint64_t ids[200];
    peer_start(&p);
    for (int i = 0; i < 200; i++)
        ids[i] = peer_send(&p, WIRE_EVAL, 0, "('1 / 0', {})");
    for (int i = 0; i < 200; i++)
        peer_error(&p, ids[i], "ZeroDivisionError",
                   "v[1] == 'division by zero'");
    peer_stop(&p);
}
END_TEST

/* An answer does not wait for the request behind it. */
START_TEST(answers_do_not_wait)
{
    struct peer p;
    peer_start(&p);
    uint64_t a = peer_send(&p, WIRE_EVAL, 0, "('7', {})");
    peer_send(&p, WIRE_CALL, 0, "('time', 'sleep', [30], {})");
    long begin = process_now_ms();
    PyObject *v = peer_receive(&p, WIRE_RESULT, a);
    Py_DECREF(v);
    ck_assert_int_lt(process_now_ms() - begin, 10000);
    kill(p.pid, SIGKILL);
    peer_wait(&p);
}
END_TEST

START_TEST(frames_cut_anywhere)
{
    static const size_t cuts[] = {1, 2, 3, 5, 15, 16, 17, 31};
    struct peer p;
    uint8_t frame[256];
    peer_start(&p);
    /* {<<"math">>, <<"sqrt">>, [16], #{}} */
    static const uint8_t call[] = {
        131, 104, 4,   109, 0,   0,   0,   4, 'm', 'a', 't', 'h', 109, 0, 0,
        0,   4,   's', 'q', 'r', 't', 107, 0, 1,   16,  116, 0,   0,   0, 0};
    for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
        struct wire_header h = {
            .length = sizeof call, .opcode = WIRE_CALL, .id = ++p.last_id};
        wire_put_header(frame, &h);
        memcpy(frame + 16, call, sizeof call);
        for (size_t at = 0; at < 16 + sizeof call; at += cuts[c]) {
            size_t n = 16 + sizeof call - at;
            peer_send_raw(&p, frame + at, n < cuts[c] ? n : cuts[c]);
            process_sleep_ms(1);
        }
        PyObject *v = peer_receive(&p, WIRE_RESULT, h.id);
        peer_true(v, "v == 4.0");
        Py_DECREF(v);
    }
    peer_stop(&p);
}
END_TEST

/* Sizes around those at which bodies are moved rather than copied. */
START_TEST(large_frames)
{
    static const int sizes[] = {65400, 65500, 65536, 70000, 1 << 20, 33554432};
    struct peer p;
    char body[128], test[64];
    peer_start(&p);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        snprintf(body, sizeof body,
                 "('builtins', 'bytes', [b'\\xff' * %d], {})", sizes[i]);
        snprintf(test, sizeof test, "v == b'\\xff' * %d", sizes[i]);
        uint64_t id = peer_send(&p, WIRE_CALL, 0, body);
        uint64_t next = peer_send(&p, WIRE_EVAL, 0, "('1', {})");
        PyObject *v = peer_receive(&p, WIRE_RESULT, id);
        peer_true(v, test);
        Py_DECREF(v);
        v = peer_receive(&p, WIRE_RESULT, next);
        peer_true(v, "v == 1");
        Py_DECREF(v);
    }
    peer_stop(&p);
}
END_TEST

/* Both sockets full: we write without reading until it no longer goes. */
START_TEST(full_sockets_do_not_deadlock)
{
    struct peer p;
    peer_start(&p);
    uint64_t first = 0;
    enum { COUNT = 40 };
    for (int i = 0; i < COUNT; i++) {
        uint64_t id = peer_send(
            &p, WIRE_CALL, 0, "('builtins', 'bytes', [b'\\xff' * 400000], {})");
        first = first ? first : id;
    }
    for (int i = 0; i < COUNT; i++) {
        PyObject *v = peer_receive(&p, WIRE_RESULT, first + (uint64_t)i);
        ck_assert_int_eq(PyBytes_Size(v), 400000);
        Py_DECREF(v);
    }
    peer_stop(&p);
}
END_TEST

START_TEST(junk_ends_the_helper)
{
    static const uint8_t junk[][16] = {
        {0, 0, 0, 0, 99},              /* no such opcode */
        {0, 0, 0, 0, WIRE_RESULT},     /* the wrong direction */
        {1, 0, 0, 0, WIRE_CANCEL},     /* a body where there is none */
        {0, 0, 0, 0, WIRE_CALL, 0, 1}, /* zero is not */
        {0, 0, 0, 0x80, WIRE_CALL},    /* too long */
    };
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++) {
        struct peer p;
        peer_start(&p);
        peer_send_raw(&p, junk[i], sizeof junk[i]);
        int status = peer_wait(&p);
        ck_assert(WIFEXITED(status));
        ck_assert_int_eq(WEXITSTATUS(status), HANDOFF_EXIT_PROTOCOL);
    }
}
END_TEST

START_TEST(limits_of_boot_hold)
{
    struct peer p;
    peer_boot(&p, "{'max_frame': 10000, 'max_depth': 10}");
    ck_assert_uint_eq(peer_next(&p, NULL).opcode, WIRE_HELLO);
    peer_ask_error(&p, WIRE_EVAL, "('\"x\" * 20000', {})", "EncodeError",
                   "True");
    peer_ask(&p, WIRE_EVAL, "('\"x\" * 9000', {})", "len(v) == 9000");
    /* An error, too: first the story goes, then the message. */
    peer_ask_error(&p, WIRE_EXEC, "('raise OSError(\"x\" * 4000)',)", "OSError",
                   "v[1] == 'x' * 4000 and v[2] == {}");
    peer_ask_error(&p, WIRE_EXEC, "('raise OSError(\"x\" * 9000)',)", "OSError",
                   "v[1] == '' and v[2] == {}");
    peer_ask_error(&p, WIRE_EVAL, "('[[[[[[[[[[[[]]]]]]]]]]]]', {})",
                   "EncodeError", "'nested' in v[1]");
    peer_ask_error(&p, WIRE_EVAL, "('1', {'x': [[[[[[[[[[[]]]]]]]]]]]})",
                   "DecodeError", "True");
    peer_send(&p, WIRE_EVAL, 0, "('len(x)', {'x': 'x' * 20000})");
    int status = peer_wait(&p);
    ck_assert_int_eq(WEXITSTATUS(status), HANDOFF_EXIT_PROTOCOL);
}
END_TEST

START_TEST(a_body_that_is_no_term_is_an_error)
{
    struct peer p;
    uint8_t frame[20] = {4, 0, 0, 0, WIRE_CALL};
    peer_start(&p);
    frame[8] = 77;
    memset(frame + 16, 0xff, 4);
    peer_send_raw(&p, frame, sizeof frame);
    peer_error(&p, 77, "DecodeError", "True");
    peer_ask(&p, WIRE_EVAL, "('1', {})", "v == 1");
    peer_stop(&p);
}
END_TEST

#ifndef __SANITIZE_ADDRESS__ /* which frees memory late */
static void
many_of_each(struct peer *p, int count)
{
    char body[64];
    for (int i = 0; i < count; i++) {
        peer_ask(p, WIRE_CALL, "('math', 'sqrt', [16], {})", "v == 4.0");
        peer_ask(p, WIRE_CALL, "('builtins', 'dict', [], {'k': [1, 2, (3,)]})",
                 "v == {'k': [1, 2, (3,)]}");
        peer_ask(p, WIRE_EVAL, "('[x for _ in y]', {'x': 1, 'y': [2]})",
                 "v == [1]");
        peer_ask(p, WIRE_EXEC, "('z = [0] * 1000',)", "v is None");
        peer_ask_error(p, WIRE_EVAL, "('1 / 0', {})", "ZeroDivisionError",
                       "True");
        peer_ask_error(p, WIRE_CALL, "('no_such', 'f', [], {})",
                       "ModuleNotFoundError", "True");
        peer_ask_error(p, WIRE_EVAL, "('object()', {})", "EncodeError", "True");
        peer_ask_error(p, WIRE_EVAL, "('1 +', {})", "SyntaxError", "True");
        uint64_t id =
            peer_send(p, WIRE_EVAL, WIRE_FLAG_RETURN_REF, "('[1]', {})");
        PyObject *v = peer_receive(p, WIRE_RESULT, id);
        snprintf(body, sizeof body, "(%llu, 'append', [1], {})",
                 PyLong_AsUnsignedLongLong(v));
        peer_ask(p, WIRE_METHOD, body, "v is None");
        snprintf(body, sizeof body, "(%llu,)", PyLong_AsUnsignedLongLong(v));
        peer_send_frame(p, WIRE_RELEASE, 0, 0, body);
        Py_DECREF(v);
    }
}

static long
blocks(struct peer *p)
{
    PyObject *v = peer_receive(
        p, WIRE_RESULT,
        peer_send(p, WIRE_EVAL, 0,
                  "('(gc.collect(), sys.getallocatedblocks())[1]', {})"));
    long n = PyLong_AsLong(v);
    Py_DECREF(v);
    return n;
}

/* No kind of request, and no kind of answer, leaves an object behind. */
START_TEST(nothing_is_left_behind)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC, "('import gc, sys, math',)", "v is None");
    many_of_each(&p, 1200);
    long before = blocks(&p);
    many_of_each(&p, 800);
    /* Free lists settle for a while; a leak would be 800 or more. */
    ck_assert_int_lt(blocks(&p) - before, 600);
    peer_stop(&p);
}
END_TEST
#endif

/* ---- beside the protocol, and the end ------------------------------------ */

START_TEST(output_is_not_the_protocol)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC, "('import os, sys, ctypes',)", "v is None");
    peer_ask(&p, WIRE_EXEC,
             "('def work(): print(\"to out\"); print(\"to err\","
             " file=sys.stderr); print(\"\\\\udc80\\\\u20ac\")\\n"
             "import threading\\nthreading.Thread(target=work).start()',)",
             "v is None");
    peer_read_until(p.out, "to out\n\x80\xe2\x82\xac\n");
    peer_read_until(p.err, "to err\n");
    peer_ask(&p, WIRE_EXEC,
             "('os.write(1, b\"raw\"); ctypes.CDLL(None).puts(b\"from C\")',)",
             "v is None");
    peer_read_until(p.out, "rawfrom C\n");
    peer_stop(&p);
}
END_TEST

START_TEST(stop_finalises)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('import atexit, threading, time\\n"
             "atexit.register(print, \"at exit\")\\n"
             "def work(): time.sleep(0.2); print(\"joined\")\\n"
             "threading.Thread(target=work).start()\\n',)",
             "v is None");
    uint64_t id = peer_send(&p, WIRE_EVAL, 0, "('1', {})");
    peer_send_frame(&p, WIRE_STOP, 0, 0, NULL);
    Py_DECREF(peer_receive(&p, WIRE_RESULT, id));
    peer_read_until(p.out, "joined\nat exit\n");
    int status = peer_wait(&p);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

/* Also while other threads run. */
START_TEST(end_of_file_ends_it)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('import threading, time, atexit\\n"
             "atexit.register(print, \"never\")\\n"
             "threading.Thread(target=time.sleep, args=(60,)).start()\\n',)",
             "v is None");
    long begin = process_now_ms();
    peer_stop(&p);
    ck_assert_int_lt(process_now_ms() - begin, 5000);
    peer_fork(&p); /* never booted */
    peer_stop(&p);
}
END_TEST

START_TEST(exits_are_told_apart)
{
    struct peer p;
    peer_start(&p);
    peer_ask_error(&p, WIRE_CALL, "('sys', 'exit', [3], {})", "SystemExit",
                   "v[1] == '3'");
    peer_send(&p, WIRE_CALL, 0, "('os', '_exit', [3], {})");
    int status = peer_wait(&p);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}
END_TEST

Suite *
make_helper_stream_suite(void)
{
    const TTest *const tests[] = {requests_are_answered_in_order,
                                  answers_do_not_wait,
                                  frames_cut_anywhere,
                                  large_frames,
                                  full_sockets_do_not_deadlock,
                                  junk_ends_the_helper,
                                  limits_of_boot_hold,
                                  a_body_that_is_no_term_is_an_error,
                                  output_is_not_the_protocol,
                                  stop_finalises,
                                  end_of_file_ends_it,
                                  exits_are_told_apart,
#ifndef __SANITIZE_ADDRESS__
                                  nothing_is_left_behind,
#endif
                                  NULL};
    return peer_suite("helper_stream", tests, 120);
}
