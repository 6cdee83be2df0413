/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <string.h>

#include "err.h"

enum { DEFAULT_TIMEOUT_S = 30, MAX_TIMEOUT_S = 3600, MAX_SPARES = 64 };

/* ---- runtimes ----------------------------------------------------------- */

/* Names stand in an environment variable between '=' and ','. */
static int
check_name(const struct launcher_options *o, const char *name, char *why,
           size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t len = strlen(name);
    if (len == 0 || len > LAUNCHER_NAME_MAX || strspn(name, letters) != len) {
        snprintf(why, n, "'%.80s' is no name (letters, digits, _ and -)", name);
        return E_ARG;
    }
    for (size_t i = 0; i < o->count; i++) {
        if (strcmp(o->runtimes[i].name, name) == 0) {
            snprintf(why, n, "'%s' is there already", name);
            return E_ARG;
        }
    }
    return 0;
}

static int
add_runtime(void *target, const char *name, char *why, size_t n)
{
    struct launcher_options *o = target;
    if (o->count == LAUNCHER_MAX_RUNTIMES) {
        snprintf(why, n, "no more than %d runtimes", LAUNCHER_MAX_RUNTIMES);
        return E_ARG;
    }
    int e = check_name(o, name, why, n);
    if (e == 0)
        o->runtimes[o->count++] = (struct runtime_options){.name = name};
    return e;
}

/* The section that an option belongs to. */
static struct runtime_options *
current(struct launcher_options *o)
{
    if (o->count == 0)
        o->runtimes[o->count++] = (struct runtime_options){.name = "default"};
    return &o->runtimes[o->count - 1];
}

static int
set_once(const char **where, const char *value, char *why, size_t n)
{
    if (*where != NULL) {
        snprintf(why, n, "is given twice");
        return E_ARG;
    }
    if (value[0] == 0) {
        snprintf(why, n, "is empty");
        return E_ARG;
    }
    *where = value;
    return 0;
}

static int
set_python(void *target, const char *value, char *why, size_t n)
{
    return set_once(&current(target)->python, value, why, n);
}

static int
set_venv(void *target, const char *value, char *why, size_t n)
{
    return set_once(&current(target)->venv, value, why, n);
}

static int
set_spares(void *target, const char *value, char *why, size_t n)
{
    unsigned long number;
    int e = args_number(value, 0, MAX_SPARES, &number, why, n);
    return e != 0 ? e : set_once(&current(target)->spares, value, why, n);
}

static int
add_path(void *target, const char *value, char *why, size_t n)
{
    (void)why, (void)n;
    return args_list_add(&current(target)->paths, value);
}

/* "a,b" is "a" and "b". */
static int
add_preload(void *target, const char *value, char *why, size_t n)
{
    struct args_list *list = &current(target)->preload;
    for (const char *at = value;;) {
        size_t len = strcspn(at, ",");
        if (len == 0) {
            snprintf(why, n, "'%.80s' has an empty module name", value);
            return E_ARG;
        }
        int e = args_list_dup(list, at, len);
        if (e != 0 || at[len] == 0)
            return e;
        at += len + 1;
    }
}

/* ---- global ------------------------------------------------------------- */

static int
set_timeout(void *target, const char *value, char *why, size_t n)
{
    unsigned long s;
    int e = args_number(value, 1, MAX_TIMEOUT_S, &s, why, n);
    if (e == 0)
        ((struct launcher_options *)target)->timeout_ms = (unsigned)s * 1000;
    return e;
}

static int
set_user(void *target, const char *value, char *why, size_t n)
{
    return set_once(&((struct launcher_options *)target)->user, value, why, n);
}

static int
set_quiet(void *target, const char *value, char *why, size_t n)
{
    (void)value, (void)why, (void)n;
    ((struct launcher_options *)target)->quiet = 1;
    return 0;
}

static int
set_help(void *target, const char *value, char *why, size_t n)
{
    (void)value, (void)why, (void)n;
    ((struct launcher_options *)target)->help = 1;
    return 0;
}

static int
set_check(void *target, const char *value, char *why, size_t n)
{
    (void)value, (void)why, (void)n;
    ((struct launcher_options *)target)->check = 1;
    return 0;
}

static int
set_version(void *target, const char *value, char *why, size_t n)
{
    (void)value, (void)why, (void)n;
    ((struct launcher_options *)target)->version = 1;
    return 0;
}

static const struct args_option table[] = {
    {"--runtime", "NAME", add_runtime, "start the section of a runtime"},
    {"--python", "X.Y|PATH", set_python, "version, or an interpreter's path"},
    {"--venv", "DIR", set_venv, "virtual environment to run in"},
    {"--preload", "MODULE", add_preload,
     "import before forking (a,b or again)"},
    {"--path", "DIR", add_path, "put before sys.path (may be repeated)"},
    {"--spares", "N", set_spares, "helpers to keep forked ahead"},
    {"--start-timeout", "SECONDS", set_timeout,
     "wait so long for all runtimes (30)"},
    {"--user", "USER[:GROUP]", set_user,
     "become that user first (names or numbers)"},
    {"--quiet", NULL, set_quiet, "no warnings"},
    {"--check", NULL, set_check, "say what a sandbox has here, and exit"},
    {"--version", NULL, set_version, "print the version and exit"},
    {"--help", NULL, set_help, "print this and exit"},
};
enum { OPTIONS = sizeof table / sizeof table[0] };

/* ---- all of it ---------------------------------------------------------- */

int
launcher_options_parse(struct launcher_options *o, int argc, char **argv,
                       char *why, size_t n)
{
    int at = 1, dashes = 0;
    memset(o, 0, sizeof *o);
    o->timeout_ms = DEFAULT_TIMEOUT_S * 1000;
    int e = args_parse(table, OPTIONS, o, argc, argv, &at, &dashes, why, n);
    if (e != 0 || o->help || o->version)
        return e;
    if (o->check && at < argc) {
        snprintf(why, n, "'%.80s': --check takes no command", argv[at]);
        return E_ARG;
    }
    if (o->check) {
        (void)current(o);
        return 0;
    }
    if (at >= argc) {
        snprintf(why, n, "no command to run");
        return E_ARG;
    }
    if (!dashes) {
        snprintf(why, n, "'%.80s': put -- before the command", argv[at]);
        return E_ARG;
    }
    (void)current(o);
    o->command = argv + at;
    return 0;
}

void
launcher_options_free(struct launcher_options *o)
{
    for (size_t i = 0; i < o->count; i++) {
        args_list_free(&o->runtimes[i].preload);
        args_list_free(&o->runtimes[i].paths);
    }
    o->count = 0;
}

void
launcher_options_help(FILE *to)
{
    fputs("usage: terrarium [options] [--runtime NAME [options]]... "
          "-- command...\n"
          "       terrarium run [options] SCRIPT    (terrarium run --help)\n\n"
          "Start Python runtimes, wait until they are ready, then become the "
          "command\n(erl, rebar3 shell, bin/app foreground), which finds them "
          "through $TERRARIUM_RUNTIMES.\n\n",
          to);
    args_help(to, table, OPTIONS);
    fputs("\nOptions from --python to --spares belong to the --runtime before "
          "them, or to the\nruntime \"default\". With --user the runtimes and "
          "the command "
          "are all that user's.\n\n"
          "Exit status: the command's own; before it runs 64 wrong usage, "
          "70 a runtime did\nnot start, 71 a system call failed, 126 the "
          "command is not executable, 127 it was\nnot found. Of --check: 1 "
          "where the levels default and strict do not start.\n",
          to);
}
