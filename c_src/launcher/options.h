/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the launcher's command line.
 *
 *   terrarium [options] [--runtime NAME options]... -- command...
 * Options of a runtime belong to the --runtime before them; those before the
 * first one belong to the runtime "default".
 * Used by: launcher.   Ownership: values point into argv; free with
 * launcher_options_free.   Errors: E_ARG with a sentence in why, E_NOMEM. */
#ifndef TERRARIUM_LAUNCHER_OPTIONS_H
#define TERRARIUM_LAUNCHER_OPTIONS_H

#include <stdio.h>

#include "args.h"

enum { LAUNCHER_MAX_RUNTIMES = 16, LAUNCHER_NAME_MAX = 64 };

/* Exit statuses; after a successful start the command's own is seen. */
enum launcher_exit {
    LAUNCHER_EXIT_OK = 0,
    LAUNCHER_EXIT_USAGE = 64,
    LAUNCHER_EXIT_RUNTIME = 70,
    LAUNCHER_EXIT_SYSTEM = 71,
    LAUNCHER_EXIT_NOT_EXECUTABLE = 126,
    LAUNCHER_EXIT_NOT_FOUND = 127
};

struct runtime_options {
    const char *name;
    const char *python; /* X.Y or the path of an interpreter; NULL: default */
    const char *venv;   /* folder of a virtual environment, or NULL */
    const char *spares; /* a number, or NULL: the zygote's default */
    struct args_list preload;
    struct args_list paths;
};

struct launcher_options {
    struct runtime_options runtimes[LAUNCHER_MAX_RUNTIMES];
    size_t count;
    const char *user; /* NAME[:GROUP], or NULL: nobody else */
    unsigned timeout_ms;
    int quiet;
    int help;
    int check;
    int version;
    char **command; /* NULL-terminated, part of argv */
};

int launcher_options_parse(struct launcher_options *o, int argc, char **argv,
                           char *why, size_t n);
void launcher_options_free(struct launcher_options *o);
void launcher_options_help(FILE *to);

#endif
