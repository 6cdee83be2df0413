/* SPDX-License-Identifier: Apache-2.0 */
/* check_helper_crash.c - what is left when a helper dies, and what a child
 * that it forks may not do. */
#include "pysupport_helper.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support_check.h"
#include "support_process.h"

/* The black box of a helper that died by this signal. */
static void
dies_by(struct peer *p, int signal, struct blackbox *b, char *text, size_t n)
{
    int box = dup(p->box);
    int status = peer_wait(p);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == signal,
                  "wait status %x", status);
    struct peer dead = {.box = box};
    peer_box(&dead, b, text, n);
    close(box);
}

START_TEST(a_segmentation_fault_tells_where)
{
    struct peer p;
    struct blackbox b;
    char text[8192];
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('import ctypes\\n"
             "def inner(): ctypes.string_at(0)\\n"
             "def outer(): inner()\\n',)",
             "v is None");
    uint64_t id = peer_send(&p, WIRE_CALL, 0, "('__main__', 'outer', [], {})");
    dies_by(&p, SIGSEGV, &b, text, sizeof text);
    ck_assert(b.request == id);
    ck_assert_uint_eq(b.opcode, WIRE_CALL);
    ck_assert_uint_eq(b.what_len, strlen("__main__:outer/0"));
    ck_assert_mem_eq(b.what, "__main__:outer/0", b.what_len);
    ck_assert_ptr_nonnull(strstr(text, "Segmentation fault"));
    ck_assert_ptr_nonnull(strstr(text, "line 2 in inner"));
    ck_assert_ptr_nonnull(strstr(text, "line 3 in outer"));
}
END_TEST

START_TEST(other_deaths)
{
    static const struct {
        const char *code;
        int signal;
        const char *text;
    } deaths[] = {
        {"('import os, signal; os.kill(os.getpid(), signal.SIGSEGV)',)",
         SIGSEGV, "Segmentation fault"},
        {"('import os; os.abort()',)", SIGABRT, "Aborted"},
        {"('import os, signal; os.kill(os.getpid(), signal.SIGKILL)',)",
         SIGKILL, ""},
        {"('import os, signal; os.kill(os.getpid(), signal.SIGTERM)',)",
         SIGTERM, ""},
    };
    for (size_t i = 0; i < sizeof deaths / sizeof deaths[0]; i++) {
        struct peer p;
        struct blackbox b;
        char text[8192];
        peer_start(&p);
        uint64_t id = peer_send(&p, WIRE_EXEC, 0, deaths[i].code);
        dies_by(&p, deaths[i].signal, &b, text, sizeof text);
        ck_assert(b.request == id);
        ck_assert_uint_gt(b.what_len, 9);
        ck_assert_mem_eq(b.what, "import os", 9);
        if (deaths[i].text[0] != '\0')
            ck_assert_ptr_nonnull(strstr(text, deaths[i].text));
        else
            ck_assert_str_eq(text, "");
    }
}
END_TEST

/* Also the main thread's stack, when another thread does it. */
START_TEST(another_thread_crashes)
{
    struct peer p;
    struct blackbox b;
    char text[8192];
    peer_start(&p);
    peer_send(&p, WIRE_EXEC, 0,
              "('import ctypes, threading\\n"
              "def crash(): ctypes.string_at(0)\\n"
              "def main_thread():\\n"
              "  t = threading.Thread(target=crash); t.start(); t.join()\\n"
              "main_thread()',)");
    dies_by(&p, SIGSEGV, &b, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "in crash"));
    ck_assert_ptr_nonnull(strstr(text, "in main_thread"));
}
END_TEST

START_TEST(between_requests_the_box_is_empty)
{
    struct peer p;
    struct blackbox b;
    char text[8192];
    peer_start(&p);
    peer_box(&p, &b, text, sizeof text);
    ck_assert(b.request == 0);
    uint64_t id = peer_send(&p, WIRE_CALL, 0, "('time', 'sleep', [60], {})");
    process_sleep_ms(200);
    peer_interrupt(&p, id);
    peer_error(&p, id, "KeyboardInterrupt", "True");
    /* The text of the interrupt is gone with the next request. */
    peer_ask(&p, WIRE_EVAL, "('1', {})", "v == 1");
    peer_box(&p, &b, text, sizeof text);
    ck_assert_str_eq(text, "");
    for (int i = 0; b.request != 0 && i < 1000; i++) {
        process_sleep_ms(1);
        peer_box(&p, &b, text, sizeof text);
    }
    ck_assert(b.request == 0);
    peer_stop(&p);
}
END_TEST

/* Names longer than there is room for, cut between characters. */
START_TEST(long_names_fit)
{
    struct peer p;
    struct blackbox b;
    char text[64];
    peer_start(&p);
    peer_ask_error(&p, WIRE_CALL, "('m' + '\\u20ac' * 200, 'f' * 500, [], {})",
                   "ModuleNotFoundError", "True");
    peer_box(&p, &b, text, sizeof text);
    ck_assert_uint_le(b.what_len, sizeof b.what);
    PyObject *s = PyUnicode_DecodeUTF8(b.what, (Py_ssize_t)b.what_len, NULL);
    ck_assert_ptr_nonnull(s);
    Py_DECREF(s);
    peer_ask_error(&p, WIRE_METHOD, "(17, 'name', [1, 2], {})", "LookupError",
                   "'17' in v[1]");
    peer_box(&p, &b, text, sizeof text);
    ck_assert_mem_eq(b.what, "reference 17.name/2", b.what_len);
    peer_ask_error(&p, WIRE_EVAL, "('x' * 1000, {})", "NameError", "True");
    peer_box(&p, &b, text, sizeof text);
    ck_assert_uint_eq(b.what_len, 100);
    peer_stop(&p);
}
END_TEST

/* ---- children of user code ----------------------------------------------- */

/* The child lives on and must not keep the connection open. */
START_TEST(a_forked_child_does_not_hold_the_socket)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('import os, time\\n"
             "pid = os.fork()\\n"
             "if pid == 0:\\n"
             "  time.sleep(60)\\n"
             "  os._exit(0)\\n',)",
             "v is None");
    kill(p.pid, SIGKILL);
    ck_assert(peer_hangs_up(&p));
    kill(-p.pid, SIGKILL); /* the child; the zygote does this */
    peer_wait(&p);
}
END_TEST

/* os.fork() returns twice, the request is answered once. */
START_TEST(a_child_that_returns_ends_like_a_script)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('import os, atexit, sys\\n"
             "atexit.register(lambda: print(\"exit of\", os.getpid() == me))\\n"
             "me = os.getpid()',)",
             "v is None");
    peer_ask(&p, WIRE_EXEC, "('pid = os.fork()',)", "v is None");
    peer_ask(&p, WIRE_EVAL, "('os.waitpid(pid, 0)[1]', {})", "v == 0");
    peer_read_until(p.out, "exit of False\n");
    peer_ask(&p, WIRE_EXEC,
             "('pid = os.fork()\\n"
             "if pid == 0: raise ValueError(\"in the child\")\\n"
             "status = os.waitpid(pid, 0)[1]',)",
             "v is None");
    peer_read_until(p.err, "ValueError: in the child\n");
    peer_ask(&p, WIRE_EVAL, "('os.waitstatus_to_exitcode(status)', {})",
             "v == 1");
    peer_ask(&p, WIRE_EXEC,
             "('pid = os.fork()\\n"
             "if pid == 0: sys.exit(7)\\n"
             "status = os.waitpid(pid, 0)[1]',)",
             "v is None");
    peer_ask(&p, WIRE_EVAL, "('os.waitstatus_to_exitcode(status)', {})",
             "v == 7");
    ck_assert(peer_is_silent(&p, 50));
    peer_stop(&p);
}
END_TEST

/* A crash in such a child is told on its stderr, not in our black box. */
START_TEST(a_child_that_crashes_is_not_us)
{
    struct peer p;
    struct blackbox b;
    char text[64];
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('import os, ctypes\\n"
             "pid = os.fork()\\n"
             "if pid == 0: ctypes.string_at(0)\\n"
             "status = os.waitpid(pid, 0)[1]',)",
             "v is None");
    peer_read_until(p.err, "Segmentation fault");
    peer_box(&p, &b, text, sizeof text);
    ck_assert_str_eq(text, "");
    peer_ask(&p, WIRE_EVAL, "('status & 127', {})", "v == 11");
    peer_stop(&p);
}
END_TEST

START_TEST(subprocess_and_multiprocessing)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_CALL,
             "('subprocess', 'check_output', [['echo', 'hi']],"
             " {'text': True})",
             "v == 'hi\\n'");
    peer_ask(&p, WIRE_EXEC,
             "('import multiprocessing, math, sys, subprocess\\n"
             "def twice(x): return 2 * x\\n"
             "with multiprocessing.get_context(\"fork\").Pool(2) as pool:\\n"
             "  a = pool.map(twice, range(5))\\n"
             "with multiprocessing.get_context(\"spawn\").Pool(1) as pool:\\n"
             "  b = pool.map(math.sqrt, [4, 9])\\n',)",
             "v is None");
    peer_ask(&p, WIRE_EVAL, "('(a, b)', {})",
             "v == ([0, 2, 4, 6, 8], [2.0, 3.0])");
    /* Only 0, 1 and 2 reach a program that is executed. */
    peer_ask(&p, WIRE_EVAL,
             "('subprocess.run([\"ls\", \"/proc/self/fd\"], close_fds=False,"
             " capture_output=True, text=True).stdout.split()', {})",
             "v == ['0', '1', '2', '3']"); /* 3 is ls itself reading */
    ck_assert(peer_is_silent(&p, 50));
    peer_stop(&p);
}
END_TEST

Suite *
make_helper_crash_suite(void)
{
    const TTest *const tests[] = {a_segmentation_fault_tells_where,
                                  other_deaths,
                                  another_thread_crashes,
                                  between_requests_the_box_is_empty,
                                  long_names_fit,
                                  a_forked_child_does_not_hold_the_socket,
                                  a_child_that_returns_ends_like_a_script,
                                  a_child_that_crashes_is_not_us,
                                  subprocess_and_multiprocessing,
                                  NULL};
    return peer_suite("helper_crash", tests, 120);
}
