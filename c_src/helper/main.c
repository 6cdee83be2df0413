/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the program terrarium_py: which of its modes is meant.
 * Knows: the entry points of the modes, nothing of what they do.  It is the
 * one file of this folder that may look up, at the zygote.
 * Errors: a bad command line is HANDOFF_EXIT_USAGE.   Threads: the main one. */
#include "py.h"

#include <stdio.h>
#include <string.h>

#include "fresh_main.h"
#include "handoff.h"
#include "interp.h"
#include "survey.h"
#include "wire.h"
#include "zygote.h"

static int
usage(FILE *to, int status)
{
    fputs("usage: terrarium_py zygote OPTION...   serve as fork server\n"
          "       terrarium_py python ARG...      be an ordinary Python\n"
          "       terrarium_py check              say what a sandbox has here\n"
          "       terrarium_py --version\n",
          to);
    return status;
}

static int
version(void)
{
    printf("terrarium_py, wire %d (%08x), Python %s, for %s\n",
           (int)WIRE_LIMIT_VERSION, (unsigned)WIRE_FINGERPRINT, PY_VERSION,
           TERRARIUM_PYTHON);
    return HANDOFF_EXIT_OK;
}

int
main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "zygote") == 0)
        return zygote_main(argc - 1, argv + 1);
    if (strcmp(mode, "helper") == 0)
        return fresh_main(argc - 1, argv + 1);
    if (strcmp(mode, "check") == 0)
        return survey_main(argc - 1, argv + 1);
    if (strcmp(mode, "python") == 0)
        return interp_python_main(argc - 1, argv + 1);
    if (strcmp(mode, "--version") == 0)
        return version();
    if (strcmp(mode, "--help") == 0)
        return usage(stdout, HANDOFF_EXIT_OK);
    return usage(stderr, HANDOFF_EXIT_USAGE);
}
