/* SPDX-License-Identifier: Apache-2.0 */
/* check_helper_stale.c - a call finds what its names mean now, however that
 * came about, and never what they meant before. */
#include "pysupport_helper.h"

#include "support_check.h"

#define ATOM(name) "__import__('_erlang').Atom('" name "')"
#define EXEC(text) "(\"\"\"" text "\"\"\",)"

/* So often that whatever is remembered is. */
static void
call(struct peer *p, const char *body, const char *expression)
{
    for (int i = 0; i < 4; i++)
        peer_ask(p, WIRE_CALL, body, expression);
}

static void
run(struct peer *p, const char *body)
{
    peer_ask(p, WIRE_EXEC, body, "v is None");
}

/* A module on disk, in a directory of its own: m.f() is 1. */
static void
make_module(struct peer *p)
{
    run(p, EXEC("import sys, os, tempfile, importlib, types\n"
                "sys.dont_write_bytecode = True\n"
                "d = tempfile.mkdtemp()\n"
                "def write(n):\n"
                "  with open(d + '/stale_m.py', 'w') as f:\n"
                "    f.write('def f(): return %d\\\\n' % n)\n"
                "  importlib.invalidate_caches()\n"
                "write(1)\n"
                "sys.path.insert(0, d)\n"));
    call(p, "('stale_m', 'f', [], {})", "v == 1");
}

static void
remove_module(struct peer *p)
{
    run(p, EXEC("import shutil\nshutil.rmtree(d)\n"));
    peer_stop(p);
}

START_TEST(reload)
{
    struct peer p;
    peer_start(&p);
    make_module(&p);
    run(&p, EXEC("write(22)\nimportlib.reload(sys.modules['stale_m'])\n"));
    call(&p, "('stale_m', 'f', [], {})", "v == 22");
    remove_module(&p);
}
END_TEST

START_TEST(deleted_and_imported_again)
{
    struct peer p;
    peer_start(&p);
    make_module(&p);
    run(&p, EXEC("write(333)\ndel sys.modules['stale_m']\n"));
    call(&p, "('stale_m', 'f', [], {})", "v == 333");
    run(&p, EXEC("os.remove(d + '/stale_m.py')\n"
                 "importlib.invalidate_caches()\n"
                 "del sys.modules['stale_m']\n"));
    peer_ask_error(&p, WIRE_CALL, "('stale_m', 'f', [], {})",
                   "ModuleNotFoundError", "True");
    remove_module(&p);
}
END_TEST

START_TEST(another_module_in_its_place)
{
    struct peer p;
    peer_start(&p);
    make_module(&p);
    run(&p, EXEC("new = types.ModuleType('stale_m')\n"
                 "new.f = lambda: 'other'\n"
                 "sys.modules['stale_m'] = new\n"));
    call(&p, "('stale_m', 'f', [], {})", "v == 'other'");
    run(&p, EXEC("class Any:\n"
                 "  def __init__(self): self.n = 0\n"
                 "  def f(self):\n"
                 "    self.n += 1\n"
                 "    return 'object'\n"
                 "sys.modules['stale_m'] = Any()\n"));
    call(&p, "('stale_m', 'f', [], {})", "v == 'object'");
    peer_ask(&p, WIRE_EVAL, "('sys.modules[\"stale_m\"].n', {})", "v == 4");
    run(&p, EXEC("sys.modules['stale_m'] = None\n"));
    peer_ask_error(&p, WIRE_CALL, "('stale_m', 'f', [], {})",
                   "ModuleNotFoundError", "True");
    remove_module(&p);
}
END_TEST

START_TEST(an_attribute_in_its_place)
{
    struct peer p;
    peer_start(&p);
    make_module(&p);
    run(&p, EXEC("import stale_m\nstale_m.f = lambda: 'patched'\n"));
    call(&p, "('stale_m', 'f', [], {})", "v == 'patched'");
    run(&p, EXEC("del stale_m.f\n"));
    peer_ask_error(&p, WIRE_CALL, "('stale_m', 'f', [], {})", "AttributeError",
                   "True");
    run(&p, EXEC("def later(name):\n"
                 "  later.n = getattr(later, 'n', 0) + 1\n"
                 "  return lambda: (name, later.n)\n"
                 "stale_m.__getattr__ = later\n"));
    for (int i = 1; i < 5; i++) {
        char expression[40];
        snprintf(expression, sizeof expression, "v == ('f', %d)", i);
        peer_ask(&p, WIRE_CALL, "('stale_m', 'f', [], {})", expression);
    }
    run(&p, EXEC("stale_m.f = lambda: 'again'\n"));
    call(&p, "('stale_m', 'f', [], {})", "v == 'again'");
    remove_module(&p);
}
END_TEST

START_TEST(dotted_names)
{
    struct peer p;
    peer_start(&p);
    call(&p, "('os', 'path.basename', ['/a/b'], {})", "v == 'b'");
    run(&p, EXEC("import os, types\n"
                 "keep = os.path\n"
                 "os.path = types.SimpleNamespace(basename=lambda p: 'no')\n"));
    call(&p, "('os', 'path.basename', ['/a/b'], {})", "v == 'no'");
    run(&p, EXEC("os.path = keep\n"));
    call(&p, "('os', 'path.basename', ['/a/b'], {})", "v == 'b'");
    peer_stop(&p);
}
END_TEST

START_TEST(builtins_replaced)
{
    struct peer p;
    peer_start(&p);
    call(&p, "('builtins', 'len', [[1, 2]], {})", "v == 2");
    peer_ask(&p, WIRE_EVAL, "('len(x)', {'x': [1]})", "v == 1");
    run(&p, EXEC("import builtins\n"
                 "keep = builtins.len\n"
                 "builtins.len = lambda x: 'patched'\n"));
    call(&p, "('builtins', 'len', [[1, 2]], {})", "v == 'patched'");
    peer_ask(&p, WIRE_EVAL, "('len(x)', {'x': [1]})", "v == 'patched'");
    run(&p, EXEC("builtins.len = keep\n"));
    call(&p, "('builtins', 'len', [[1, 2]], {})", "v == 2");
    peer_ask(&p, WIRE_EVAL, "('len(x)', {'x': [1]})", "v == 1");
    peer_stop(&p);
}
END_TEST

/* What __main__ has for builtins is looked for each time too. */
START_TEST(another_dict_of_builtins)
{
    struct peer p;
    peer_start(&p);
    for (int i = 0; i < 3; i++)
        peer_ask(&p, WIRE_EVAL, "('len(x)', {'x': [1]})", "v == 1");
    run(&p,
        EXEC("import builtins\n"
             "__builtins__ = {**vars(builtins), 'len': lambda x: 'mine'}\n"));
    for (int i = 0; i < 3; i++) {
        peer_ask(&p, WIRE_EVAL, "('len(x)', {'x': [1]})", "v == 'mine'");
        peer_ask(&p, WIRE_EVAL, "('len([1])', {})", "v == 'mine'");
    }
    run(&p, EXEC("__builtins__ = builtins\n"));
    peer_ask(&p, WIRE_EVAL, "('len(x)', {'x': [1]})", "v == 1");
    peer_stop(&p);
}
END_TEST

/* sys.modules itself is replaced: the interpreter keeps to its own. */
START_TEST(another_sys_modules)
{
    struct peer p;
    peer_start(&p);
    call(&p, "('math', 'floor', [1.5], {})", "v == 1");
    run(&p, EXEC("import sys, types\n"
                 "keep = sys.modules\n"
                 "sys.modules = dict(keep, math=types.SimpleNamespace())\n"
                 "import math\n"
                 "says = math.floor(2.5)\n"
                 "sys.modules = keep\n"));
    peer_ask(&p, WIRE_EVAL, "('says', {})", "v == 2");
    call(&p, "('math', 'floor', [1.5], {})", "v == 1");
    peer_stop(&p);
}
END_TEST

/* A module within a package, both ways of naming what is in it. */
START_TEST(submodules)
{
    struct peer p;
    peer_start(&p);
    run(&p, EXEC("import sys, types\n"
                 "pack = types.ModuleType('pack')\n"
                 "pack.__path__ = []\n"
                 "pack.sub = types.ModuleType('pack.sub')\n"
                 "pack.sub.f = lambda: 1\n"
                 "sys.modules['pack'] = pack\n"
                 "sys.modules['pack.sub'] = pack.sub\n"));
    call(&p, "('pack.sub', 'f', [], {})", "v == 1");
    call(&p, "('pack', 'sub.f', [], {})", "v == 1");
    run(&p, EXEC("other = types.ModuleType('pack.sub')\n"
                 "other.f = lambda: 2\n"
                 "sys.modules['pack.sub'] = other\n"));
    call(&p, "('pack.sub', 'f', [], {})", "v == 2");
    call(&p, "('pack', 'sub.f', [], {})", "v == 1");
    run(&p, EXEC("pack.sub = other\n"));
    call(&p, "('pack', 'sub.f', [], {})", "v == 2");
    run(&p, EXEC("del pack.sub\n"));
    peer_ask_error(&p, WIRE_CALL, "('pack', 'sub.f', [], {})", "AttributeError",
                   "True");
    run(&p, EXEC("del sys.modules['pack.sub']\n"));
    peer_ask_error(&p, WIRE_CALL, "('pack.sub', 'f', [], {})",
                   "ModuleNotFoundError", "True");
    peer_stop(&p);
}
END_TEST

/* Modules that compute what they are asked for: another class, properties. */
START_TEST(modules_of_another_class)
{
    struct peer p;
    peer_start(&p);
    run(&p, EXEC("import sys, types\n"
                 "plain = types.ModuleType('plain')\n"
                 "plain.f = lambda: 'plain'\n"
                 "sys.modules['plain'] = plain\n"));
    call(&p, "('plain', 'f', [], {})", "v == 'plain'");
    run(&p, EXEC("class Odd(types.ModuleType):\n"
                 "  n = 0\n"
                 "  @property\n"
                 "  def f(self):\n"
                 "    Odd.n += 1\n"
                 "    return lambda n=Odd.n: n\n"
                 "plain.__class__ = Odd\n"));
    for (int i = 1; i < 4; i++) {
        char expression[40];
        snprintf(expression, sizeof expression, "v == %d", i);
        peer_ask(&p, WIRE_CALL, "('plain', 'f', [], {})", expression);
    }
    run(&p, EXEC("plain.__class__ = types.ModuleType\n"));
    call(&p, "('plain', 'f', [], {})", "v == 'plain'");
    call(&p, "('plain', '__dir__', [], {})", "'f' in v");
    peer_stop(&p);
}
END_TEST

/* Another thread is in the middle of importing it: the call waits, and never
 * sees the half of it. */
START_TEST(a_module_being_imported)
{
    struct peer p;
    peer_start(&p);
    make_module(&p);
    run(&p, EXEC("import threading\n"
                 "with open(d + '/stale_slow.py', 'w') as f:\n"
                 "  f.write('import sys, time\\\\n'\n"
                 "    'def f(): return 1\\\\n'\n"
                 "    'begun = sys.modules[\"__main__\"].begun\\\\n'\n"
                 "    'begun.set()\\\\n'\n"
                 "    'time.sleep(0.3)\\\\n'\n"
                 "    'def f(): return 2\\\\n')\n"
                 "importlib.invalidate_caches()\n"
                 "begun = threading.Event()\n"
                 "def load(): import stale_slow\n"
                 "thread = threading.Thread(target=load)\n"
                 "thread.start()\n"
                 "begun.wait()\n"));
    call(&p, "('stale_slow', 'f', [], {})", "v == 2");
    run(&p, EXEC("thread.join()\n"));
    call(&p, "('stale_slow', 'f', [], {})", "v == 2");
    remove_module(&p);
}
END_TEST

START_TEST(functions_defined_again)
{
    struct peer p;
    peer_start(&p);
    run(&p, EXEC("def f(): return 1\n"));
    call(&p, "('__main__', 'f', [], {})", "v == 1");
    peer_ask(&p, WIRE_EVAL, "('f()', {})", "v == 1");
    run(&p, EXEC("def f(): return 2\n"));
    call(&p, "('__main__', 'f', [], {})", "v == 2");
    peer_ask(&p, WIRE_EVAL, "('f()', {})", "v == 2");
    run(&p, EXEC("del f\n"));
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'f', [], {})", "AttributeError",
                   "True");
    peer_ask_error(&p, WIRE_EVAL, "('f()', {})", "NameError", "True");
    peer_stop(&p);
}
END_TEST

/* The same text means what its names mean now, and leaves nothing behind in
 * what was compiled. */
START_TEST(compiled_code_holds_no_values)
{
    struct peer p;
    peer_start(&p);
    for (int i = 0; i < 5; i++) {
        char body[80], expression[40];
        snprintf(body, sizeof body, "('(x, n)', {'x': %d})", i);
        snprintf(expression, sizeof expression, "v == (%d, %d)", i, i + 1);
        run(&p, EXEC("n = globals().get('n', 0) + 1\n"));
        peer_ask(&p, WIRE_EVAL, body, expression);
    }
    /* A list made by the code is a new one each time. */
    peer_ask(&p, WIRE_EVAL, "('[].append(1) or [y for y in [x]]', {'x': 1})",
             "v == [1]");
    peer_ask(&p, WIRE_EVAL,
             "('(lambda a=[]: (a.append(x), a)[1])()',"
             " {'x': 1})",
             "v == [1]");
    peer_ask(&p, WIRE_EVAL,
             "('(lambda a=[]: (a.append(x), a)[1])()',"
             " {'x': 2})",
             "v == [2]");
    peer_stop(&p);
}
END_TEST

START_TEST(many_keywords)
{
    struct peer p;
    peer_start(&p);
    run(&p, EXEC("def f(*args, **kw): return [list(args), kw]\n"));
    for (int i = 0; i < 3; i++) {
        peer_ask(&p, WIRE_CALL,
                 "('__main__', 'f', list(range(3)),"
                 " {'k%d' % i: i for i in range(40)})",
                 "v == [[0, 1, 2], {'k%d' % i: i for i in range(40)}]");
        peer_ask(&p, WIRE_CALL, "('__main__', 'f', [], {'a': 1})",
                 "v == [[], {'a': 1}]");
    }
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'f', [], {1: 1})", "TypeError",
                   "'must be a string' in v[1]");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'f', [], {'a': 1, 2: 1})",
                   "TypeError", "True");
    peer_ask_error(&p, WIRE_CALL, "('__main__', 'f', [], [1])", "TypeError",
                   "'map of names' in v[1]");
    peer_stop(&p);
}
END_TEST

START_TEST(names_of_any_spelling)
{
    struct peer p;
    peer_start(&p);
    run(&p, EXEC("def h\\u00e9llo(): return 'unicode'\n"));
    call(&p, "('__main__', 'h\\u00e9llo', [], {})", "v == 'unicode'");
    call(&p, "(" ATOM("math") ", " ATOM("sqrt") ", [16], {})", "v == 4.0");
    call(&p, "('math', " ATOM("sqrt") ", [16], {})", "v == 4.0");
    call(&p, "('math', 'sqrt', [16], {})", "v == 4.0");
    call(&p, "('builtins', 'int', ['11'], {'base': 2})", "v == 3");
    call(&p, "('builtins', 'int', ['11'], {" ATOM("base") ": 2})", "v == 3");
    peer_stop(&p);
}
END_TEST

Suite *
make_helper_stale_suite(void)
{
    const TTest *const tests[] = {reload,
                                  deleted_and_imported_again,
                                  another_module_in_its_place,
                                  an_attribute_in_its_place,
                                  dotted_names,
                                  builtins_replaced,
                                  another_dict_of_builtins,
                                  another_sys_modules,
                                  submodules,
                                  modules_of_another_class,
                                  a_module_being_imported,
                                  many_keywords,
                                  functions_defined_again,
                                  compiled_code_holds_no_values,
                                  names_of_any_spelling,
                                  NULL};
    return peer_suite("helper_stale", tests, 60);
}
