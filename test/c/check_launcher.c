/* SPDX-License-Identifier: Apache-2.0 */
/* check_launcher.c - the launcher as a program: what it starts, what the
 * command inherits, and that nothing is left when something fails. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support_process.h"

enum { RUN_MS = 20000, MAX_ARGS = 32 };

static struct process_folder folder;
static struct process_output output;

/* Whoever outlives its parent becomes our child: so we see what is left. */
static void
set_up(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    process_make_folder(&folder);
}

static void
tear_down(void)
{
    process_remove_folder(&folder);
}

/* Run the launcher; returns its exit status.  Afterwards nothing of it may
 * be left within a second. */
static int
launch(const char *const *args)
{
    const char *argv[MAX_ARGS] = {process_priv("terrarium")};
    pid_t left[4];
    int n = 1;
    while (*args != NULL && n < MAX_ARGS - 1)
        argv[n++] = *args++;
    int status = process_run((char *const *)argv, &output, RUN_MS);
    for (long end = process_now_ms() + 1000;
         process_children(getpid(), left, 4) > 0;) {
        ck_assert_msg(process_now_ms() < end, "process %d is left",
                      (int)left[0]);
        process_sleep_ms(5);
    }
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- success ------------------------------------------------------------ */

START_TEST(hands_the_sockets_to_the_command)
{
    const char *const args[] = {"--spares",
                                "0",
                                "--",
                                "sh",
                                "-c",
                                "echo $TERRARIUM_RUNTIMES; readlink "
                                "/proc/$$/fd/${TERRARIUM_RUNTIMES#*=}",
                                NULL};
    int fd = -1;
    ck_assert_int_eq(launch(args), 0);
    ck_assert_int_eq(sscanf(output.out, "default=%d\nsocket:", &fd), 1);
    ck_assert_int_ge(fd, 3);
    ck_assert_ptr_nonnull(strstr(output.out, "\nsocket:"));
    ck_assert_str_eq(output.err, "");
}
END_TEST

START_TEST(passes_the_exit_status_on)
{
    const char *const args[] = {"--spares", "0",       "--", "sh",
                                "-c",       "exit 42", NULL};
    ck_assert_int_eq(launch(args), 42);
}
END_TEST

/* Prints per runtime how many sockets its zygote holds, and its arguments. */
static const char show_zygotes[] =
    "sleep 0.1; for p in $(cat /proc/$$/task/$$/children); do"
    " test -e /proc/$p/exe || continue;"
    " echo $(ls -l /proc/$p/fd | grep -c socket:)"
    " $(tr '\\0' ' ' </proc/$p/cmdline);"
    " tr '\\0' '\\n' </proc/$p/environ | grep TERRARIUM_RUNTIMES;"
    " done; echo $TERRARIUM_RUNTIMES";

START_TEST(starts_several_runtimes)
{
    const char *const args[] = {
        "--spares",        "0",          "--runtime", "ml",       "--preload",
        "json,csv",        "--path",     "/nowhere",  "--spares", "0",
        "--runtime=third", "--spares=0", "--",        "sh",       "-c",
        show_zygotes,      NULL};
    int a, b, c;
    ck_assert_int_eq(launch(args), 0);
    const char *runtimes = strstr(output.out, "default=");
    ck_assert_ptr_nonnull(runtimes);
    ck_assert_int_eq(sscanf(runtimes, "default=%d,ml=%d,third=%d", &a, &b, &c),
                     3);
    ck_assert(a != b && b != c && a != c);
    /* each zygote has one socket, and no list of runtimes */
    const char *line = output.out;
    for (int i = 0; i < 3; i++) {
        ck_assert_msg(strncmp(line, "1 /", 3) == 0, "%s", output.out);
        line = strchr(line, '\n') + 1;
    }
    ck_assert_ptr_eq(line, runtimes);
    ck_assert_ptr_nonnull(strstr(output.out,
                                 "zygote --control 3 --name ml --preload json "
                                 "--preload csv --path /nowhere --spares 0"));
}
END_TEST

START_TEST(runs_in_a_venv)
{
    char python[128], bin[96], real[128], expected[256];
    const char *args[] = {"--venv", folder.path, "--spares",   "0", "--",
                          "sh",     "-c",        show_zygotes, NULL};
    const char *const version[] = {process_priv("terrarium_py"), "python", "-c",
                                   "import sys; print('version = %d.%d.%d' %"
                                   " sys.version_info[:3]);"
                                   "print('home = ' + sys.base_prefix + "
                                   "'/bin')",
                                   NULL};
    ck_assert_int_eq(process_run((char *const *)version, &output, RUN_MS), 0);
    process_write_file(&folder, "pyvenv.cfg", output.out);
    snprintf(bin, sizeof bin, "%s/bin", folder.path);
    snprintf(python, sizeof python, "%s/python", bin);
    snprintf(real, sizeof real, "/proc/%d/exe", (int)getpid());
    ck_assert_int_eq(mkdir(bin, 0755), 0);
    ck_assert_int_eq(symlink(real, python), 0); /* only has to be there */
    ck_assert_int_eq(launch(args), 0);
    snprintf(expected, sizeof expected, "--executable %s", python);
    ck_assert_msg(strstr(output.out, expected) != NULL, "%s", output.out);
    ck_assert_ptr_nonnull(strstr(output.out, "terrarium_py-3."));
}
END_TEST

START_TEST(explains_itself)
{
    const char *const help[] = {"--help", NULL};
    const char *const version[] = {"--version", NULL};
    ck_assert_int_eq(launch(help), 0);
    ck_assert_ptr_nonnull(strstr(output.out, "--start-timeout SECONDS"));
    ck_assert_ptr_nonnull(strstr(output.out, "127"));
    ck_assert_int_eq(launch(version), 0);
    ck_assert_ptr_nonnull(strstr(output.out, "wire 1"));
}
END_TEST

/* Its user, groups and home, and the user of its zygote. */
static const char show_users[] =
    "sleep 0.1; echo $(id -u) $(id -g) $(id -G) $HOME;"
    " for p in $(cat /proc/$$/task/$$/children); do"
    " test -e /proc/$p/stat && stat -c zygote=%u /proc/$p; done; true";

/* The tree may be out of reach for everybody else. */
static int
is_out_of_reach(int status)
{
    if ((status != 70 && status != 127) ||
        strstr(output.err, strerror(EACCES)) == NULL)
        return 0;
    puts("skipped: other users do not get at this folder");
    return 1;
}

START_TEST(becomes_another_user)
{
    static const struct {
        const char *user, *shows, *zygote;
    } known[] = {{"65533:65532", "65533 65532 65532 /\n", "\nzygote=65533\n"},
                 {"65533", "65533 65533 65533 /\n", "\nzygote=65533\n"},
                 {"root", "0 0 ", "\nzygote=0\n"}};
    if (geteuid() != 0) {
        puts("skipped: needs root");
        return;
    }
    for (int i = 0; i < 3; i++) {
        const char *const args[] = {"--user", known[i].user, "--spares",
                                    "0",      "--",          "sh",
                                    "-c",     show_users,    NULL};
        int status = launch(args);
        if (is_out_of_reach(status))
            return;
        ck_assert_int_eq(status, 0);
        ck_assert_msg(strstr(output.out, known[i].shows) == output.out, "%s",
                      output.out);
        ck_assert_msg(strstr(output.out, known[i].zygote) != NULL, "%s",
                      output.out);
    }
}
END_TEST

START_TEST(becomes_nobody_else_without_root)
{
    char self[32];
    snprintf(self, sizeof self, "%d:%d", (int)geteuid(), (int)getegid());
    const char *const to_self[] = {"--user", self,   "--spares", "0",
                                   "--",     "true", NULL};
    const char *const to_root[] = {"--user", "0", "--", "true", NULL};
    ck_assert_int_eq(launch(to_self), 0);
    if (geteuid() == 0)
        return;
    ck_assert_int_eq(launch(to_root), 71);
    ck_assert_ptr_nonnull(strstr(output.err, "only root"));
}
END_TEST

/* ---- failure ------------------------------------------------------------ */

static const struct {
    const char *args[8];
    int status;
    const char *says[2];
} failures[] = {
    {{"--nope", "--", "true"}, 64, {"--nope", "--help"}},
    {{"--"}, 64, {"no command", ""}},
    {{"--quiet"}, 64, {"no command", ""}},
    {{"true"}, 64, {"true", "put -- before"}},
    {{"--spares", "x", "--", "true"}, 64, {"--spares", "'x' is not a number"}},
    {{"--spares"}, 64, {"--spares", "needs a value"}},
    {{"--quiet=1", "--", "true"}, 64, {"--quiet", "takes no value"}},
    {{"--start-timeout", "0", "--", "true"}, 64, {"--start-timeout", "1 to"}},
    {{"--check", "--", "true"}, 64, {"true", "no command"}},
    {{"--user", "no-such-user", "--", "true"}, 64, {"--user", "no user"}},
    {{"--user", "0:no-such-group", "--", "true"}, 64, {"--user", "no group"}},
    {{"--user", "4294967295", "--", "true"}, 64, {"--user", "no user"}},
    {{"--user", ":0", "--", "true"}, 64, {"--user", "no user"}},
    {{"--user", "0", "--user", "0", "--", "true"}, 64, {"--user", "twice"}},
    {{"--runtime", "a,b", "--", "true"}, 64, {"--runtime", "a,b"}},
    {{"--runtime", "a", "--runtime", "a", "--", "true"},
     64,
     {"--runtime", "there already"}},
    {{"--preload", "a,,b", "--", "true"}, 64, {"--preload", "empty"}},
    {{"--python", "3.11", "--python", "3.12", "--", "true"},
     64,
     {"--python", "twice"}},
    {{"--python", "9.9", "--", "true"},
     70,
     {"runtime default", "not built for Python 9.9"}},
    {{"--python", "cpython", "--", "true"},
     70,
     {"runtime default", "neither X.Y nor a path"}},
    {{"--python", "/bin/sh", "--", "true"}, 70, {"/bin/sh", "version"}},
    {{"--venv", "/nowhere", "--", "true"}, 70, {"--venv", "pyvenv.cfg"}},
    {{"--venv", "/x", "--python", "3.11", "--", "true"},
     70,
     {"--venv", "exclude"}},
    {{"--runtime", "ml", "--preload", "no_such_thing", "--", "true"},
     70,
     {"runtime ml", "no_such_thing"}},
    {{"--spares", "0", "--", "no-such-command"},
     127,
     {"no-such-command", "No such file"}},
    {{"--spares", "0", "--", "/etc/passwd"},
     126,
     {"/etc/passwd", "Permission denied"}},
};

START_TEST(says_what_is_wrong)
{
    ck_assert_int_eq(launch(failures[_i].args), failures[_i].status);
    for (int i = 0; i < 2; i++)
        ck_assert_msg(strstr(output.err, failures[_i].says[i]) != NULL,
                      "no '%s' in: %s", failures[_i].says[i], output.err);
    ck_assert_str_eq(output.out, "");
}
END_TEST

/* A runtime that does not get ready ends all the others. */
static const struct {
    const char *module; /* what the preloaded module does */
    const char *says;
    const char *timeout; /* long where it is not what ends the wait */
} bad_modules[] = {
    {"import time; time.sleep(60)", "not ready within 3 seconds", "3"},
    {"import os; os._exit(3)", "ended with status 3", "20"},
    {"import os; os.kill(os.getpid(), 9)", "ended by signal 9", "20"},
    {"import os; os.closerange(3, 100)", "before it was ready", "20"},
    {"import os, time; os.close(3); time.sleep(60)", "closed its control",
     "20"},
    {"raise ValueError('no luck')", "no luck", "20"},
    {"raise SystemExit(5)", "bad", "20"},
};

START_TEST(ends_all_when_one_fails)
{
    const char *args[] = {"--runtime",
                          "good",
                          "--runtime",
                          "evil",
                          "--path",
                          folder.path,
                          "--preload",
                          "bad",
                          "--start-timeout",
                          bad_modules[_i].timeout,
                          "--",
                          "echo",
                          "started",
                          NULL};
    process_write_file(&folder, "bad.py", bad_modules[_i].module);
    ck_assert_int_eq(launch(args), 70);
    ck_assert_str_eq(output.out, "");
    ck_assert_ptr_nonnull(strstr(output.err, "runtime evil"));
    ck_assert_msg(strstr(output.err, bad_modules[_i].says) != NULL, "%s",
                  output.err);
}
END_TEST

START_TEST(shows_warnings_unless_quiet)
{
    const char *args[] = {"--path",   folder.path, "--preload", "has_thread",
                          "--spares", "0",         "--",        "true",
                          NULL,       NULL};
    process_write_file(&folder, "has_thread.py",
                       "import threading, time\n"
                       "threading.Thread(target=time.sleep, args=(60,),"
                       " daemon=True).start()\n");
    ck_assert_int_eq(launch(args), 0);
    ck_assert_ptr_nonnull(strstr(output.err, "started 1 thread"));
    memmove(args + 1, args, 8 * sizeof args[0]);
    args[0] = "--quiet";
    ck_assert_int_eq(launch(args), 0);
    ck_assert_str_eq(output.err, "");
}
END_TEST

/* A layer per line; of control groups also why there are none. */
START_TEST(says_which_layers_hold)
{
    const char *const args[] = {"--check", NULL};
    int status = launch(args);
    const char *levels = strstr(output.out, "levels that start by themselves");
    const char *groups = strstr(output.out, "\ncgroup ");
    ck_assert_ptr_nonnull(levels);
    ck_assert_int_eq(status, strstr(levels, "strict") != NULL ? 0 : 1);
    ck_assert_ptr_nonnull(strstr(output.out, "rlimits         yes"));
    ck_assert_ptr_nonnull(groups);
    ck_assert_int_eq(strncmp(groups, "\ncgroup          no ", 20) == 0,
                     strstr(groups, "\ncontrol groups: ") != NULL);
    ck_assert_str_eq(output.err, "");
}
END_TEST

/* Killed while modules are imported, which nobody would otherwise notice. */
START_TEST(leaves_nothing_when_killed_early)
{
    const char *argv[] = {process_priv("terrarium"),
                          "--path",
                          folder.path,
                          "--preload",
                          "slow",
                          "--",
                          "true",
                          NULL};
    pid_t zygote;
    process_write_file(&folder, "slow.py", "import time; time.sleep(60)");
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        execv(argv[0], (char *const *)argv);
        _exit(99);
    }
    while (process_children(pid, &zygote, 1) == 0)
        process_sleep_ms(5);
    process_sleep_ms(300);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert(process_wait_gone(zygote, 1000));
}
END_TEST

Suite *make_launcher_suite(void);

Suite *
make_launcher_suite(void)
{
    Suite *s = suite_create("launcher");
    TCase *good = tcase_create("success");
    tcase_add_checked_fixture(good, set_up, tear_down);
    tcase_add_test(good, hands_the_sockets_to_the_command);
    tcase_add_test(good, passes_the_exit_status_on);
    tcase_add_test(good, starts_several_runtimes);
    tcase_add_test(good, runs_in_a_venv);
    tcase_add_test(good, explains_itself);
    tcase_add_test(good, becomes_another_user);
    tcase_add_test(good, becomes_nobody_else_without_root);
    tcase_add_test(good, says_which_layers_hold);
    suite_add_tcase(s, good);
    TCase *bad = tcase_create("failure");
    tcase_add_checked_fixture(bad, set_up, tear_down);
    tcase_add_loop_test(bad, says_what_is_wrong, 0,
                        sizeof failures / sizeof failures[0]);
    tcase_add_loop_test(bad, ends_all_when_one_fails, 0,
                        sizeof bad_modules / sizeof bad_modules[0]);
    tcase_add_test(bad, shows_warnings_unless_quiet);
    tcase_add_test(bad, leaves_nothing_when_killed_early);
    suite_add_tcase(s, bad);
    return s;
}
