/* SPDX-License-Identifier: Apache-2.0 */
/* check_helper.c - a helper's boot and what its requests do. */
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

/* ---- boot ---------------------------------------------------------------- */

START_TEST(hello_says_who_it_is)
{
    struct peer p;
    struct ctl_in in;
    struct ctl_map m;
    uint64_t v = 0;
    peer_boot(&p, "{}");
    struct wire_header h = peer_next(&p, NULL);
    ck_assert_uint_eq(h.opcode, WIRE_HELLO);
    ck_assert_uint_eq(h.id, 0);
    const uint8_t *body = p.in.in.data + p.in.at - h.length;
    ck_ok(ctl_open(&in, body, h.length, &m));
    ck_assert(ctl_get_uint(&m, "version", &v) && v == WIRE_LIMIT_VERSION);
    ck_assert(ctl_get_uint(&m, "fingerprint", &v) && v == WIRE_FINGERPRINT);
    ck_assert(ctl_get_uint(&m, "pid", &v) && v == (uint64_t)p.pid);
    char *python = ctl_dup(&m, "python");
    ck_assert_str_eq(python, PY_VERSION);
    mem_free(python);
    ctl_close(&in);
    peer_stop(&p);
}
END_TEST

START_TEST(boot_is_applied)
{
    struct peer p;
    setenv("TERRARIUM_OLD", "old", 1);
    peer_boot(&p, "{'name': 'py:7', 'env': {'TERRARIUM_NEW': 'n\xc3\xa9w'},"
                  " 'unset': ['TERRARIUM_OLD', 'TERRARIUM_NEVER'],"
                  " 'cwd': '/usr', 'paths': ['/p/1', '/p/2'],"
                  " 'argv': ['prog', '-x'], 'imports': ['colorsys'],"
                  " 'unknown': {'a': 1}}");
    ck_assert_uint_eq(peer_next(&p, NULL).opcode, WIRE_HELLO);
    peer_ask(&p, WIRE_EXEC, "('import os, sys, ctypes',)", "v is None");
    peer_ask(&p, WIRE_EVAL, "('os.environ[\"TERRARIUM_NEW\"]', {})",
             "v == 'n\xc3\xa9w'");
    peer_ask(&p, WIRE_EVAL, "('\"TERRARIUM_OLD\" in os.environ', {})",
             "v is False");
    peer_ask(&p, WIRE_CALL, "('os', 'getcwd', [], {})", "v == '/usr'");
    peer_ask(&p, WIRE_EVAL, "('sys.path[:2]', {})", "v == ['/p/1', '/p/2']");
    peer_ask(&p, WIRE_EVAL, "('sys.argv', {})", "v == ['prog', '-x']");
    peer_ask(&p, WIRE_EVAL, "('\"colorsys\" in sys.modules', {})", "v");
    peer_ask(&p, WIRE_EVAL, "('open(\"/proc/self/comm\").read()', {})",
             "v == 'py:7\\n'");
    peer_stop(&p);
}
END_TEST

START_TEST(boot_that_fails_is_an_error)
{
    struct peer p;
    peer_boot(&p, "{'imports': ['no_such_module']}");
    peer_error(&p, 0, "ModuleNotFoundError", "'no_such_module' in v[1]");
    int status = peer_wait(&p);
    ck_assert_int_eq(WEXITSTATUS(status), HANDOFF_EXIT_INIT);
    peer_boot(&p, "{'cwd': '/no/such/dir'}");
    peer_error(&p, 0, "FileNotFoundError", "'/no/such/dir' in v[1]");
    status = peer_wait(&p);
    ck_assert_int_eq(WEXITSTATUS(status), HANDOFF_EXIT_INIT);
}
END_TEST

START_TEST(boot_must_come_first)
{
    struct peer p;
    peer_fork(&p);
    peer_send(&p, WIRE_CALL, 0, "('math', 'sqrt', [16], {})");
    int status = peer_wait(&p);
    ck_assert_int_eq(WEXITSTATUS(status), HANDOFF_EXIT_PROTOCOL);
    peer_start(&p);
    peer_send_frame(&p, WIRE_BOOT, 0, 0, "1");
    status = peer_wait(&p);
    ck_assert_int_eq(WEXITSTATUS(status), HANDOFF_EXIT_PROTOCOL);
}
END_TEST

/* ---- calls --------------------------------------------------------------- */

START_TEST(calls)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_CALL, "('math', 'sqrt', [16], {})", "v == 4.0");
    peer_ask(&p, WIRE_CALL, "('os', 'path.join', ['a', 'b'], {})",
             "v == 'a/b'");
    peer_ask(&p, WIRE_CALL, "('os.path', 'join', ['a', 'b'], {})",
             "v == 'a/b'");
    peer_ask(&p, WIRE_CALL, "('builtins', 'int', ['ff'], {'base': 16})",
             "v == 255");
    peer_ask(&p, WIRE_CALL,
             "('builtins', 'dict', [],"
             " {__import__('_erlang').Atom('a'): 1, 'b': 2})",
             "v == {'a': 1, 'b': 2}");
    peer_ask(&p, WIRE_CALL,
             "(__import__('_erlang').Atom('json'),"
             " __import__('_erlang').Atom('dumps'), [[1]], {})",
             "v == '[1]'");
    peer_ask(&p, WIRE_EXEC, "('def f(x, *, k=1): return x * k',)", "v is None");
    peer_ask(&p, WIRE_CALL, "('__main__', 'f', [3], {'k': 4})", "v == 12");
    peer_stop(&p);
}
END_TEST

START_TEST(reloaded_modules_are_never_stale)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_CALL, "('math', 'sqrt', [16], {})", "v == 4.0");
    peer_ask(&p, WIRE_EXEC, "('import math; math.sqrt = lambda x: \"new\"',)",
             "v is None");
    peer_ask(&p, WIRE_CALL, "('math', 'sqrt', [16], {})", "v == 'new'");
    peer_stop(&p);
}
END_TEST

START_TEST(what_is_missing_is_pythons_own_error)
{
    struct peer p;
    peer_start(&p);
    peer_ask_error(&p, WIRE_CALL, "('no_such', 'f', [], {})",
                   "ModuleNotFoundError",
                   "v[1] == \"No module named 'no_such'\"");
    peer_ask_error(&p, WIRE_CALL, "('math', 'no_such', [], {})",
                   "AttributeError", "'no_such' in v[1]");
    peer_ask_error(&p, WIRE_CALL, "('os', 'path.no_such', [], {})",
                   "AttributeError", "'no_such' in v[1]");
    peer_ask_error(&p, WIRE_CALL, "('math', 'sqrt', [1, 2], {})", "TypeError",
                   "'argument' in v[1]");
    peer_ask_error(&p, WIRE_CALL, "('math', 'sqrt', 7, {})", "TypeError",
                   "v[1] == 'arguments must be a list, not int'");
    peer_ask_error(&p, WIRE_CALL, "(7, 'sqrt', [7], {})", "TypeError",
                   "v[1] == 'module name must be a string, not int'");
    peer_ask_error(&p, WIRE_CALL, "('math', 'sqrt', [7], {7: 1})", "TypeError",
                   "v[1] == 'name must be a string, not int'");
    peer_ask_error(&p, WIRE_CALL, "('math', 'sqrt')", "ValueError",
                   "'4 elements' in v[1]");
    peer_stop(&p);
}
END_TEST

START_TEST(eval_sees_its_locals_everywhere)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EVAL, "('  1 + 1', {})", "v == 2");
    peer_ask(&p, WIRE_EVAL, "('x + y', {'x': 1, 'y': 2})", "v == 3");
    peer_ask(&p, WIRE_EVAL,
             "('sum(x * k for x in xs) + (lambda: k)()',"
             " {'k': 10, 'xs': [1, 2]})",
             "v == 40");
    /* For this call only. */
    peer_ask_error(&p, WIRE_EVAL, "('k', {})", "NameError", "True");
    peer_ask(&p, WIRE_EVAL, "('(w := x)', {'x': 5})", "v == 5");
    peer_ask_error(&p, WIRE_EVAL, "('w', {})", "NameError", "True");
    peer_ask(&p, WIRE_EVAL, "('(w := 6)', {})", "v == 6");
    peer_ask(&p, WIRE_EVAL, "('w', {})", "v == 6");
    /* Names that nothing can refer to do no harm. */
    peer_ask(&p, WIRE_EVAL,
             "('n', {'n': 1, 'not a name': 2, 'None': 3, 'class': 4})",
             "v == 1");
    peer_ask_error(&p, WIRE_EVAL, "('(yield n)', {'n': 1})", "SyntaxError",
                   "'yield' in v[1]");
    peer_ask_error(&p, WIRE_EVAL, "('1 +', {})", "SyntaxError", "True");
    peer_ask_error(&p, WIRE_EVAL, "('a\\x00b', {})",
                   PY_VERSION_HEX >= 0x030c0000 ? "SyntaxError" : "ValueError",
                   "'null' in v[1]");
    peer_ask_error(&p, WIRE_EVAL, "(7, {})", "TypeError",
                   "v[1] == 'code must be a string, not int'");
    peer_stop(&p);
}
END_TEST

START_TEST(the_namespace_is_main)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC, "('class C: pass\\nimport pickle',)", "v is None");
    peer_ask(&p, WIRE_EVAL, "('C.__module__', {})", "v == '__main__'");
    peer_ask(&p, WIRE_EVAL,
             "('type(pickle.loads(pickle.dumps(C()))) is C', {})", "v");
    peer_ask(&p, WIRE_EVAL, "('__name__', {})", "v == '__main__'");
    peer_stop(&p);
}
END_TEST

/* More texts than the cache holds, and the same names again and again. */
START_TEST(code_is_cached_and_forgotten)
{
    struct peer p;
    char body[128];
    peer_start(&p);
    for (int i = 0; i < 700; i++) {
        snprintf(body, sizeof body,
                 "('%d + x + len([x for _ in [%d]])',"
                 " {'x': 1})",
                 i, i);
        PyObject *v =
            peer_receive(&p, WIRE_RESULT, peer_send(&p, WIRE_EVAL, 0, body));
        ck_assert_int_eq(PyLong_AsLong(v), i + 2);
        Py_DECREF(v);
    }
    peer_ask(&p, WIRE_EVAL,
             "('len([k for k in __import__(\"linecache\").cache"
             " if k.startswith(\"<eval\")])', {})",
             "v == 256");
    peer_stop(&p);
}
END_TEST

/* ---- object references --------------------------------------------------- */

START_TEST(references)
{
    struct peer p;
    char body[128];
    peer_start(&p);
    peer_ask(&p, WIRE_EXEC,
             "('class C:\\n"
             "  n = 0\\n"
             "  def __init__(self, v): self.v = v; C.n += 1\\n"
             "  def __del__(self): C.n -= 1\\n"
             "  def add(self, x, k=0): return self.v + x + k\\n',)",
             "v is None");
    uint64_t id = peer_send(&p, WIRE_CALL, WIRE_FLAG_RETURN_REF,
                            "('__main__', 'C', [5], {})");
    PyObject *v = peer_receive(&p, WIRE_RESULT, id);
    unsigned long long ref = PyLong_AsUnsignedLongLong(v);
    Py_DECREF(v);
    snprintf(body, sizeof body, "(%llu, 'add', [1], {'k': 10})", ref);
    peer_ask(&p, WIRE_METHOD, body, "v == 16");
    snprintf(body, sizeof body, "(%llu, 'v')", ref);
    peer_ask(&p, WIRE_GETATTR, body, "v == 5");
    snprintf(body, sizeof body, "(%llu,)", ref);
    peer_ask_error(&p, WIRE_TO_TERM, body, "EncodeError", "'C' in v[1]");
    snprintf(body, sizeof body, "(%llu, 'none')", ref);
    peer_ask_error(&p, WIRE_GETATTR, body, "AttributeError", "True");
    /* In order: the call that was sent before still has the object. */
    snprintf(body, sizeof body, "(%llu, 'add', [2], {})", ref);
    id = peer_send(&p, WIRE_METHOD, 0, body);
    snprintf(body, sizeof body, "(%llu,)", ref);
    peer_send_frame(&p, WIRE_RELEASE, 0, 0, body);
    v = peer_receive(&p, WIRE_RESULT, id);
    peer_true(v, "v == 7");
    Py_DECREF(v);
    peer_ask(&p, WIRE_EVAL, "('C.n', {})", "v == 0");
    peer_ask_error(&p, WIRE_TO_TERM, body, "LookupError",
                   "'no object reference' in v[1]");
    peer_send_frame(&p, WIRE_RELEASE, 0, 0, body);
    peer_ask_error(&p, WIRE_TO_TERM, "('x',)", "TypeError", "True");
    id = peer_send(&p, WIRE_EVAL, WIRE_FLAG_RETURN_REF, "('[1, 2]', {})");
    v = peer_receive(&p, WIRE_RESULT, id);
    ck_assert_uint_eq(PyLong_AsUnsignedLongLong(v), ref + 1);
    Py_DECREF(v);
    snprintf(body, sizeof body, "(%llu,)", ref + 1);
    peer_ask(&p, WIRE_TO_TERM, body, "v == [1, 2]");
    peer_stop(&p);
}
END_TEST

START_TEST(info)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EVAL,
             "('__import__(\"threading\").Timer(9, int).start()', {})",
             "v is None");
    peer_ask(&p, WIRE_INFO, "()",
             "v['rss'] >= v['pss'] > 1000000 and v['threads'] == 2 and"
             " v['refs'] == 0 and len(v['gc']) == 3 and v['modules'] > 20 and"
             " v['prefix'] and v['executable'].startswith('/') and"
             " v['version'][:2] == '3.'");
    peer_stop(&p);
}
END_TEST

Suite *
make_helper_suite(void)
{
    const TTest *const tests[] = {hello_says_who_it_is,
                                  boot_is_applied,
                                  boot_that_fails_is_an_error,
                                  boot_must_come_first,
                                  calls,
                                  reloaded_modules_are_never_stale,
                                  what_is_missing_is_pythons_own_error,
                                  eval_sees_its_locals_everywhere,
                                  the_namespace_is_main,
                                  code_is_cached_and_forgotten,
                                  references,
                                  info,
                                  NULL};
    return peer_suite("helper", tests, 120);
}
