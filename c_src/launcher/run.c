/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"

struct run_options {
    const char *policy, *timeout, *memory, *python, *venv;
    int help;
};

#define SETTER(what)                                                           \
    static int set_##what(void *target, const char *value, char *why,          \
                          size_t n)                                            \
    {                                                                          \
        (void)why, (void)n;                                                    \
        ((struct run_options *)target)->what = value;                          \
        return 0;                                                              \
    }
SETTER(policy)
SETTER(timeout)
SETTER(memory)
SETTER(python)
SETTER(venv)

static int
set_help(void *target, const char *value, char *why, size_t n)
{
    (void)value, (void)why, (void)n;
    ((struct run_options *)target)->help = 1;
    return 0;
}

static const struct args_option table[] = {
    {"--policy", "LEVEL", set_policy, "default, strict or trusted (default)"},
    {"--timeout", "TIME", set_timeout, "such as 5s or 500ms"},
    {"--memory", "SIZE", set_memory, "such as 256M or 1G"},
    {"--python", "X.Y|PATH", set_python, "version, or an interpreter's path"},
    {"--venv", "DIR", set_venv, "virtual environment to run in"},
    {"--help", NULL, set_help, "print this and exit"},
};
enum { OPTIONS = sizeof table / sizeof table[0] };

static int
add_all(struct args_list *l, const char *const *v)
{
    int e = 0;
    for (; e == 0 && *v != NULL; v++)
        e = args_list_dup(l, *v, strlen(*v));
    return e;
}

static int
add_pair(struct args_list *l, const char *name, const char *value)
{
    const char *const pair[] = {name, value, NULL};
    return value != NULL ? add_all(l, pair) : 0;
}

/* Beside us in a release; in a working tree where rebar3 puts it.  Erlang takes
 * the application's name from the path, so that has no ".." in it; and the last
 * part is not resolved: what it may be a link to has another priv beside it. */
static int
find_beams(const char *dir, char *path, size_t n)
{
    static const char *const places[] = {"ebin",
                                         "_build/default/lib/terrarium/ebin"};
    char parent[PATH_MAX], root[PATH_MAX];
    int m = snprintf(parent, sizeof parent, "%s/..", dir);
    if (m < 0 || (size_t)m >= sizeof parent || realpath(parent, root) == NULL)
        return E_ARG;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int k = snprintf(path, n, "%s/%s", root, places[i]);
        if (k > 0 && (size_t)k < n && access(path, F_OK) == 0)
            return 0;
    }
    return E_ARG;
}

#define DUMP "ERL_CRASH_DUMP_SECONDS"

static int
make(struct args_list *l, const struct run_options *o, const char *beams,
     const char *script)
{
    const char *const first[] = {"terrarium", "--quiet", "--spares", "0", NULL};
    /* SIGINT ends it, no dump is left in the user's folder, and what the user
     * has for shells (.erlang) is not run, which may print. */
    const char *const vm[] = {"--",
                              "erl",
                              "+Bd",
                              "-noshell",
                              "-noinput",
                              "-boot",
                              "no_dot_erlang",
                              "-env",
                              DUMP,
                              "0",
                              "-pa",
                              beams,
                              "-run",
                              "py_sandbox_cli",
                              "main",
                              "-extra",
                              script,
                              NULL};
    int e = add_all(l, first);
    if (e == 0)
        e = add_pair(l, "--python", o->python);
    if (e == 0)
        e = add_pair(l, "--venv", o->venv);
    if (e == 0)
        e = add_all(l, vm);
    if (e == 0)
        e = add_pair(l, "policy", o->policy);
    if (e == 0)
        e = add_pair(l, "timeout", o->timeout);
    if (e == 0)
        e = add_pair(l, "memory", o->memory);
    return e;
}

int
run_command(struct args_list *command, const char *dir, int argc, char **argv,
            int *help, char *why, size_t n)
{
    struct run_options o = {0};
    char beams[PATH_MAX];
    int at = 1;
    int e = args_parse(table, OPTIONS, &o, argc, argv, &at, NULL, why, n);
    *help = o.help;
    if (e != 0 || o.help)
        return e;
    if (at + 1 != argc) {
        snprintf(why, n, "run: one script, after the options");
        return E_ARG;
    }
    if (find_beams(dir, beams, sizeof beams) != 0) {
        snprintf(why, n, "run: the application is not built");
        return E_ARG;
    }
    return make(command, &o, beams, argv[at]);
}

void
run_help(FILE *to)
{
    fputs("usage: terrarium run [options] SCRIPT\n\n"
          "Run a Python script in a sandbox of its own (docs/security.md).  "
          "SCRIPT is UTF-8;\n- stands for standard input.\n\n",
          to);
    args_help(to, table, OPTIONS);
    fputs("\nThe script has no input and no arguments; what it prints appears "
          "when it has ended.\n\n"
          "Exit status: the script's own; 1 an exception, 64 wrong usage, 66 "
          "the script cannot\nbe read, 69 the policy needs what this host does "
          "not have, 70 a runtime did not\nstart, 74 the output cannot be "
          "written, 124 out of time, 125 too much output, 126 a\nforbidden "
          "system call, 128+N signal N, 137 out of memory.\n",
          to);
}
