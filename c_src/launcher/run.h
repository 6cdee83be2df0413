/* SPDX-License-Identifier: Apache-2.0 */
/* run.h - `terrarium run SCRIPT`: strangers' code from a shell.
 *
 * It is a command line of the launcher like any other: a VM that runs
 * py_sandbox_cli, whose arguments follow -extra.
 * Used by: launcher.   Knows: where the application's beam files lie.
 * Ownership: the list is the caller's.
 * Errors: E_ARG with a sentence in why, E_NOMEM. */
#ifndef TERRARIUM_LAUNCHER_RUN_H
#define TERRARIUM_LAUNCHER_RUN_H

#include "args.h"

/* argv[0] is "run".  *help: wanted, and nothing else. */
int run_command(struct args_list *command, const char *dir, int argc,
                char **argv, int *help, char *why, size_t n);
void run_help(FILE *to);

#endif
