/* SPDX-License-Identifier: Apache-2.0 */
/* python.h - which terrarium_py serves a runtime, and as which interpreter.
 * Used by: launcher.   Knows: names of programs, pyvenv.cfg.
 * Errors: E_ARG with a sentence in why.   Threads: pure. */
#ifndef TERRARIUM_LAUNCHER_PYTHON_H
#define TERRARIUM_LAUNCHER_PYTHON_H

#include <limits.h>
#include <stddef.h>

#include "options.h"

struct python {
    char program[PATH_MAX];    /* .../terrarium_py or .../terrarium_py-X.Y */
    char executable[PATH_MAX]; /* for sys.executable; "": the program's own */
};

/* The folder of this very program: the others lie beside it. */
int python_own_folder(char *dir, size_t n);

int python_resolve(const struct runtime_options *o, const char *dir,
                   struct python *p, char *why, size_t n);

#endif
