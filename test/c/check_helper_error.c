/* SPDX-License-Identifier: Apache-2.0 */
/* check_helper_error.c - what an ERROR tells, of every exception there may be.
 */
#include "pysupport_helper.h"

#include "support_check.h"

#define EVAL(code) "('" code "', {})"

static void
define(struct peer *p, const char *code)
{
    PyObject *v =
        peer_receive(p, WIRE_RESULT, peer_send(p, WIRE_EXEC, 0, code));
    ck_assert(v == Py_None);
    Py_DECREF(v);
}

START_TEST(the_whole_story)
{
    struct peer p;
    peer_start(&p);
    define(&p, "('def inner(x):\\n"
               "  return 1 / x\\n"
               "def outer():\\n"
               "  try:\\n"
               "    inner(0)\\n"
               "  except ZeroDivisionError as e:\\n"
               "    raise ValueError(\"outer\") from e\\n',)");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'outer', [], {})", "ValueError",
                   "v[1] == 'outer' and v[2]['message'] == 'outer'"
                   " and v[2]['type'] == 'ValueError'"
                   " and v[2]['module'] == 'builtins'"
                   " and [f['function'] for f in v[2]['frames']] == ['outer']"
                   " and v[2]['frames'][0]['file'] == '<exec-1>'"
                   " and v[2]['frames'][0]['line'] == 7"
                   " and v[2]['context'] is None and v[2]['notes'] == []"
                   " and 'stack' not in v[2]");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'outer', [], {})", "ValueError",
                   "v[2]['cause']['type'] == 'ZeroDivisionError'"
                   " and [f['function'] for f in v[2]['cause']['frames']]"
                   " == ['outer', 'inner']"
                   " and v[2]['cause']['cause'] is None");
    /* Source lines of code that came from Erlang, and both exceptions. */
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'outer', [], {})", "ValueError",
                   "'    return 1 / x\\n' in v[2]['traceback']"
                   " and 'direct cause' in v[2]['traceback']"
                   " and v[2]['traceback'].endswith('ValueError: outer\\n')");
    peer_ask_error(&p, WIRE_EVAL, "('x.nothing', {'x': 1})", "AttributeError",
                   "[f['function'] for f in v[2]['frames']] == ['<module>']"
                   " and 'x.nothing' in v[2]['traceback']");
    peer_stop(&p);
}
END_TEST

START_TEST(context_and_suppressed_context)
{
    struct peer p;
    peer_start(&p);
    define(&p, "('def f(how):\\n"
               "  try:\\n"
               "    {}[\"k\"]\\n"
               "  except KeyError:\\n"
               "    if how: raise OSError(2, \"x\") from None\\n"
               "    raise OSError(2, \"y\")\\n',)");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'f', [True], {})",
                   "FileNotFoundError",
                   "v[2]['context'] is None and v[2]['cause'] is None");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'f', [False], {})",
                   "FileNotFoundError",
                   "v[2]['context']['type'] == 'KeyError' and"
                   " v[2]['context']['message'] == \"'k'\"");
    peer_stop(&p);
}
END_TEST

START_TEST(types_of_every_kind)
{
    struct peer p;
    peer_start(&p);
    define(&p, "('class Mine(Exception): pass\\n"
               "class Outer:\\n"
               "  class Inner(Exception): pass\\n"
               "def throw(e): raise e\\n',)");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(Mine(1, 2))"), "Mine",
                   "v[1] == '(1, 2)' and v[2]['module'] == '__main__'");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(Outer.Inner())"), "Inner",
                   "v[1] == ''");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(5)"), "TypeError", "True");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(KeyboardInterrupt)"),
                   "KeyboardInterrupt", "'stack' not in v[2]");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(GeneratorExit)"), "GeneratorExit",
                   "True");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(StopIteration(3))"),
                   "StopIteration", "v[1] == '3'");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(SystemExit(\"bye\"))"),
                   "SystemExit", "v[1] == 'bye'");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(MemoryError())"), "MemoryError",
                   "True");
    peer_ask_error(&p, WIRE_EVAL, EVAL("bytes(1 << 62)"), "MemoryError",
                   "True");
    peer_ask_error(&p, WIRE_EVAL, EVAL("1 +* 2"), "SyntaxError",
                   "'<eval-' in v[1] and '1 +* 2' in v[2]['traceback']");
    peer_ask_error(&p, WIRE_EXEC, "('if 1:\\n pass\\n  x\\n',)",
                   "IndentationError", "True");
    peer_ask_error(&p, WIRE_EVAL, EVAL("object()"), "EncodeError",
                   "'object' in v[1]");
    peer_ask_error(&p, WIRE_EVAL, EVAL("{\"a\": [1, object()]}"), "EncodeError",
                   "'object' in v[1] and '[1]' in v[1]");
    peer_stop(&p);
}
END_TEST

START_TEST(exceptions_that_misbehave)
{
    struct peer p;
    peer_start(&p);
    define(&p, "('import sys\\n"
               "def throw(e): raise e\\n"
               "class NoStr(Exception):\\n"
               "  def __str__(self): raise ValueError(\"no\")\\n"
               "class BadStr(Exception):\\n"
               "  def __str__(self): return 5\\n"
               "class Meta(type):\\n"
               "  def __getattribute__(c, n):\\n"
               "    if n in (\"__name__\", \"__module__\"): raise OSError\\n"
               "    return super().__getattribute__(n)\\n"
               "class NoName(Exception, metaclass=Meta): pass\\n"
               "class Odd(Exception):\\n"
               "  __notes__ = 7\\n"
               "class Exits(Exception):\\n"
               "  def __str__(self): sys.exit(9)\\n"
               "class Late(Exception):\\n"
               "  def __del__(self): raise ValueError(\"in __del__\")\\n"
               "class Never(Exception):\\n"
               "  def __new__(cls): return 5\\n',)");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(NoStr())"), "NoStr",
                   "'failed' in v[1] and len(v[2]['frames']) == 2");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(BadStr())"), "BadStr",
                   "'failed' in v[1]");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(NoName(1))"), "NoName",
                   "v[1] == '1'");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(Odd(1))"), "Odd",
                   "v[2]['notes'] == []");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(Exits(1))"), "Exits",
                   "'failed' in v[1]");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(Late(1))"), "Late",
                   "v[1] == '1'");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(Never)"), "TypeError", "True");
    peer_ask(&p, WIRE_EVAL, EVAL("1 + 1"), "v == 2");
    peer_stop(&p);
}
END_TEST

START_TEST(texts_of_every_kind)
{
    struct peer p;
    peer_start(&p);
    define(&p, "('def throw(e): raise e',)");
    peer_ask_error(&p, WIRE_EVAL,
                   EVAL("throw(Exception(\"\\\\u20ac\\\\x00\"))"), "Exception",
                   "v[1] == '\\u20ac\\0'");
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(Exception(\"a\\\\udc80b\"))"),
                   "Exception",
                   "v[1] == 'a\\\\udc80b' and v[2]['message'] == v[1]");
    /* Everything is bounded. */
    peer_ask_error(&p, WIRE_EVAL, EVAL("throw(Exception(\"x\" * 10000000))"),
                   "Exception",
                   "v[1] == 'x' * 65536 and v[2]['message'] == v[1]"
                   " and 60000 < len(v[2]['traceback']) <= 65536");
    peer_ask_error(&p, WIRE_EVAL,
                   EVAL("throw(Exception(\"\\\\u20ac\" * 1000000))"),
                   "Exception",
                   "v[1] == '\\u20ac' * 65536"
                   " and 60000 < len(v[2]['traceback'].encode()) <= 65536");
    peer_ask_error(&p, WIRE_EVAL,
                   EVAL("throw(Exception(\"\\\\udc80\" * 100000))"),
                   "Exception", "len(v[1]) == 65536");
    peer_stop(&p);
}
END_TEST

START_TEST(deep_and_long_ones)
{
    struct peer p;
    peer_start(&p);
    define(&p, "('def deep(n):\\n"
               "  if n == 0: raise ValueError(\"down\")\\n"
               "  deep(n - 1)\\n"
               "def forever(): forever()\\n"
               "def chain(n):\\n"
               "  try:\\n"
               "    if n: chain(n - 1)\\n"
               "  finally:\\n"
               "    raise ValueError(n)\\n"
               "def ring():\\n"
               "  a, b = ValueError(1), ValueError(2)\\n"
               "  a.__cause__ = b; b.__cause__ = a\\n"
               "  raise a\\n"
               "def depth(s): return 0 if s is None else 1\\n',)");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'deep', [50], {})",
                   "ValueError", "len(v[2]['frames']) == 51");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'deep', [700], {})",
                   "ValueError",
                   "len(v[2]['frames']) == 128 and"
                   " v[2]['frames'][127]['line'] == 2 and"
                   " v[2]['frames'][0]['line'] == 3");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'forever', [], {})",
                   "RecursionError",
                   "len(v[2]['frames']) == 128 and"
                   " len(v[2]['traceback']) < 10000");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'chain', [100], {})",
                   "ValueError",
                   "(lambda f: f(f, v[2]))(lambda f, s: 0 if s is None else"
                   " 1 + f(f, s['context'])) == 16 and"
                   " 'more than 64 linked exceptions' in v[2]['traceback'] and"
                   " v[2]['traceback'].endswith('ValueError: 100\\n')");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'chain', [50], {})",
                   "ValueError",
                   "'ValueError: 0\\n' in v[2]['traceback'] and"
                   " 'linked' not in v[2]['traceback']");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'ring', [], {})", "ValueError",
                   "v[2]['cause']['message'] == '2' and"
                   " v[2]['cause']['cause'] is None");
    peer_ask(&p, WIRE_EVAL, EVAL("1 + 1"), "v == 2");
    peer_stop(&p);
}
END_TEST

#if PY_VERSION_HEX >= 0x030b0000
START_TEST(notes_and_groups)
{
    struct peer p;
    peer_start(&p);
    define(
        &p,
        "('def noted(n):\\n"
        "  e = ValueError(1)\\n"
        "  for i in range(n): e.add_note(f\"note {i}\" + \"x\" * 5000)\\n"
        "  raise e\\n"
        "def groups():\\n"
        "  raise ExceptionGroup(\"all\", [OSError(i) for i in "
        "range(100000)])\\n"
        "def group():\\n"
        "  raise ExceptionGroup(\"all\", [ValueError(1), OSError(2)])\\n',)");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'noted', [2], {})",
                   "ValueError",
                   "[n[:6] for n in v[2]['notes']] == ['note 0', 'note 1'] and"
                   " len(v[2]['notes'][0]) == 4096");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'noted', [100], {})",
                   "ValueError", "len(v[2]['notes']) == 32");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'group', [], {})",
                   "ExceptionGroup",
                   "v[1] == 'all (2 sub-exceptions)' and"
                   " 'ValueError: 1' in v[2]['traceback']");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'groups', [], {})",
                   "ExceptionGroup",
                   "'more than 64 linked exceptions' in v[2]['traceback']");
    peer_stop(&p);
}
END_TEST
#endif

/* No traceback module, no memory: there is still an answer. */
START_TEST(without_help)
{
    struct peer p;
    peer_start(&p);
    define(&p, "('import sys, traceback\\n"
               "def broken(*a, **k): raise RuntimeError\\n"
               "traceback.format_exception = broken\\n',)");
    peer_ask_error(&p, WIRE_EVAL, EVAL("1 / 0"), "ZeroDivisionError",
                   "v[2]['traceback'] == '' and len(v[2]['frames']) == 1");
    define(&p, "('sys.modules[\"traceback\"] = None',)");
    peer_ask_error(&p, WIRE_EVAL, EVAL("1 / 0"), "ZeroDivisionError",
                   "v[1] == 'division by zero'");
    peer_stop(&p);
}
END_TEST

#ifndef __SANITIZE_ADDRESS__ /* it needs more address space than that */
START_TEST(out_of_memory)
{
    struct peer p;
    peer_start(&p);
    define(&p, "('import resource\\n"
               "def limit(mb): resource.setrlimit(resource.RLIMIT_AS,"
               " (mb << 20, -1))\\n"
               "def eat():\\n"
               "  a = []\\n"
               "  while True: a.append(bytearray(100000))\\n',)");
    peer_ask(&p, WIRE_CALL, "('__main__', 'limit', [300], {})", "v is None");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'eat', [], {})", "MemoryError",
                   "True");
    peer_ask_error(&p, WIRE_EVAL, EVAL("b\"x\" * 300000000"), "MemoryError",
                   "True");
    /* It fits as an object, and not once more as a copy. */
    peer_ask_error(&p, WIRE_EVAL, EVAL("[bytearray(200000000)]"), "MemoryError",
                   "True");
    /* Bytes are written from where they lie. */
    peer_ask(&p, WIRE_EVAL, EVAL("b\"x\" * 200000000"), "len(v) == 200000000");
    peer_ask(&p, WIRE_EVAL, EVAL("1 + 1"), "v == 2");
    peer_stop(&p);
}
END_TEST
#endif

Suite *
make_helper_error_suite(void)
{
    const TTest *const tests[] = {
        the_whole_story,
        context_and_suppressed_context,
        types_of_every_kind,
        exceptions_that_misbehave,
        texts_of_every_kind,
        deep_and_long_ones,
#if PY_VERSION_HEX >= 0x030b0000
        notes_and_groups,
#endif
        without_help,
#ifndef __SANITIZE_ADDRESS__
        out_of_memory,
#endif
        NULL
    };
    return peer_suite("helper_error", tests, 120);
}
