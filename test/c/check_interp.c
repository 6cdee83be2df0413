/* SPDX-License-Identifier: Apache-2.0 */
/* check_interp.c - starting Python: as an ordinary interpreter would start,
 * and a reason when it does not.  Each test starts its own. */
#include "pysupport_helper.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interp.h"
#include "support_check.h"
#include "support_process.h"

static char reason[512];

static void
start(const struct interp_options *o)
{
    int r = interp_init(o, reason, sizeof reason);
    ck_assert_msg(r == 0, "%s", reason);
}

START_TEST(like_an_ordinary_python)
{
    struct interp_options o = {0};
    char *argv[] = {TERRARIUM_PYTHON, "-c",
                    "import sys; print(sys.prefix, sys.exec_prefix,"
                    " sys.base_prefix, sys.executable,"
                    " *[p for p in sys.path if p])",
                    NULL};
    static struct process_output ordinary;
    signal(SIGINT, SIG_DFL); /* Check has a handler for it */
    start(&o);
    ck_assert_int_eq(process_run(argv, &ordinary, 20000), 0);
    PyObject *v = PyUnicode_FromString(ordinary.out);
    peer_true(v, "(lambda sys: v.split() == [sys.prefix, sys.exec_prefix,"
                 " sys.base_prefix, sys.executable] + [p for p in sys.path if"
                 " p and not p.endswith('/test/py')])(__import__('sys'))");
    peer_true(v, "__import__('sys').argv == ['']");
    peer_true(v, "__import__('sys').modules['__main__'].__name__ =="
                 " '__main__'");
    peer_true(v, "'site' in __import__('sys').modules");
    peer_true(v, "'_erlang' in __import__('sys').builtin_module_names");
    peer_true(v, "__import__('sys').stdout.encoding == 'utf-8' and"
                 " __import__('sys').stderr.errors == 'backslashreplace'");
    peer_true(v, "(lambda s: s.getsignal(s.SIGINT) is s.default_int_handler"
                 " and s.getsignal(s.SIGPIPE) == s.SIG_IGN)"
                 "(__import__('signal'))");
    peer_true(v, "__import__('gc').get_freeze_count() > 1000");
    Py_DECREF(v);
}
END_TEST

START_TEST(a_venv_is_found_by_its_executable)
{
    char dir[] = "/tmp/terrarium_venv_XXXXXX", exe[128], remove[128];
    struct interp_options o = {.executable = exe};
    ck_assert_ptr_nonnull(mkdtemp(dir));
    char *argv[] = {TERRARIUM_PYTHON, "-m", "venv", "--without-pip",
                    "--symlinks",     dir,  NULL};
    static struct process_output out;
    int status = process_run(argv, &out, 60000);
    ck_assert_msg(status == 0, "%s%s", out.out, out.err);
    snprintf(exe, sizeof exe, "%s/bin/python3", dir);
    start(&o);
    PyObject *v = PyUnicode_FromString(dir);
    peer_true(v, "__import__('sys').prefix == v");
    peer_true(v, "__import__('sys').executable == v + '/bin/python3'");
    peer_true(v, "__import__('sys').base_prefix != v");
    peer_true(v, "any(p.startswith(v + '/lib/') and p.endswith('site-packages')"
                 " for p in __import__('sys').path)");
    Py_DECREF(v);
    snprintf(remove, sizeof remove, "rm -rf %s", dir);
    ck_assert_int_eq(system(remove), 0);
}
END_TEST

START_TEST(paths_and_preload)
{
    struct process_folder f;
    process_make_folder(&f);
    process_write_file(&f, "terrarium_preloaded.py", "import json; N = 7\n");
    char *paths[] = {f.path}, *preload[] = {"terrarium_preloaded", "xml.dom"};
    struct interp_options o = {.paths = paths,
                               .path_count = 1,
                               .preload = preload,
                               .preload_count = 2};
    start(&o);
    PyObject *v = PyUnicode_FromString(f.path);
    peer_true(v, "__import__('sys').path[0] == v");
    peer_true(v, "__import__('sys').modules['terrarium_preloaded'].N == 7");
    peer_true(v, "'xml.dom' in __import__('sys').modules");
    Py_DECREF(v);
    process_remove_folder(&f);
}
END_TEST

START_TEST(a_preload_that_fails_says_which_and_why)
{
    struct process_folder f;
    process_make_folder(&f);
    process_write_file(&f, "terrarium_broken.py", "1 / 0\n");
    char *paths[] = {f.path}, *preload[] = {"json", "terrarium_broken"};
    struct interp_options o = {.paths = paths,
                               .path_count = 1,
                               .preload = preload,
                               .preload_count = 2};
    ck_err(interp_init(&o, reason, sizeof reason), E_SYS);
    ck_assert_str_eq(reason, "cannot preload terrarium_broken: "
                             "ZeroDivisionError: division by zero");
    process_remove_folder(&f);
}
END_TEST

START_TEST(a_module_that_is_not_there)
{
    char *preload[] = {"no_such_module"};
    struct interp_options o = {.preload = preload, .preload_count = 1};
    ck_err(interp_init(&o, reason, sizeof reason), E_SYS);
    ck_assert_str_eq(reason, "cannot preload no_such_module: "
                             "ModuleNotFoundError: No module named "
                             "'no_such_module'");
}
END_TEST

/* A module that exits, and a standard library that is not there, must not
 * take the process along. */
START_TEST(nothing_exits)
{
    struct process_folder f;
    process_make_folder(&f);
    process_write_file(&f, "terrarium_exits.py", "import sys; sys.exit(3)\n");
    char *paths[] = {f.path}, *preload[] = {"terrarium_exits"};
    struct interp_options o = {.paths = paths,
                               .path_count = 1,
                               .preload = preload,
                               .preload_count = 1};
    ck_err(interp_init(&o, reason, sizeof reason), E_SYS);
    ck_assert_str_eq(reason, "cannot preload terrarium_exits: SystemExit: 3");
    process_remove_folder(&f);
}
END_TEST

START_TEST(pythonhome_is_honoured)
{
    struct interp_options o = {0};
    setenv("PYTHONHOME", "/no/such/home", 1);
    ck_err(interp_init(&o, reason, sizeof reason), E_SYS);
    ck_assert_ptr_nonnull(strstr(reason, "encod"));
}
END_TEST

START_TEST(the_environment_is_honoured)
{
    struct interp_options o = {0};
    setenv("PYTHONPATH", "/from/pythonpath", 1);
    setenv("PYTHONOPTIMIZE", "2", 1);
    start(&o);
    peer_true(NULL, "'/from/pythonpath' in __import__('sys').path");
    peer_true(NULL, "__import__('sys').flags.optimize == 2");
}
END_TEST

/* ---- terrarium_py -------------------------------------------------------- */

static int
run_program(char *a, char *b, char *c, struct process_output *o)
{
    char *argv[] = {(char *)process_priv("terrarium_py"), a, b, c, NULL};
    int status = process_run(argv, o, 20000);
    ck_assert_int_ge(status, 0);
    return status >> 8;
}

START_TEST(the_programs_modes)
{
    static struct process_output o;
    ck_assert_int_eq(run_program("--version", NULL, NULL, &o), 0);
    ck_assert_ptr_nonnull(strstr(o.out, "Python " PY_VERSION));
    ck_assert_int_eq(run_program("--help", NULL, NULL, &o), 0);
    ck_assert_ptr_nonnull(strstr(o.out, "zygote"));
    ck_assert_int_eq(run_program(NULL, NULL, NULL, &o), 64);
    ck_assert_int_eq(run_program("nonsense", NULL, NULL, &o), 64);
    ck_assert_ptr_nonnull(strstr(o.err, "usage"));
    ck_assert_int_eq(run_program("python", "-V", NULL, &o), 0);
    ck_assert_str_eq(o.out, "Python " PY_VERSION "\n");
    ck_assert_int_eq(
        run_program("python", "-c",
                    "import sys, _erlang; print(sys.argv, __name__);"
                    " sys.exit(5)",
                    &o),
        5);
    ck_assert_str_eq(o.out, "['-c'] __main__\n");
    ck_assert_int_eq(run_program("python", "--no-such-option", NULL, &o), 2);
    ck_assert_int_eq(run_program("python", "-c",
                                 "import erlang; print(erlang.__file__)", &o),
                     0);
    ck_assert_ptr_nonnull(strstr(o.out, "/py/erlang/__init__.py"));
}
END_TEST

Suite *
make_interp_suite(void)
{
    const TTest *const tests[] = {
        like_an_ordinary_python,    a_venv_is_found_by_its_executable,
        paths_and_preload,          a_preload_that_fails_says_which_and_why,
        a_module_that_is_not_there, nothing_exits,
        pythonhome_is_honoured,     the_environment_is_honoured,
        the_programs_modes,         NULL};
    return suite_of("interp", tests, 90);
}
