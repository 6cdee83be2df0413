/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.h - start zygotes and wait until they are ready.
 * Used by: launcher.   Knows: handoff.h, the messages ready, failed and log.
 * Ownership: a runtime owns the VM's end of its control socket until the
 * command is executed.
 * Errors: E_SYS, E_ARG with a sentence in why.   Threads: none. */
#ifndef TERRARIUM_LAUNCHER_RUNTIME_H
#define TERRARIUM_LAUNCHER_RUNTIME_H

#include <sys/types.h>

#include "options.h"

struct runtime {
    const struct runtime_options *options; /* borrowed */
    pid_t pid;                             /* of the zygote; 0: none */
    int control;                           /* the VM's end; -1: none */
    int ready;
};

/* Start one; dir is the folder of the programs. */
int runtime_start(struct runtime *r, const struct runtime_options *o,
                  const char *dir, char *why, size_t n);

/* Wait until all are ready.  The sentence says which one is not and why. */
int runtime_wait_all(struct runtime *r, size_t count, unsigned timeout_ms,
                     int quiet, char *why, size_t n);

/* Let the command inherit the sockets, and name them in the environment. */
int runtime_hand_over(const struct runtime *r, size_t count);

/* End and reap those that were started. */
void runtime_stop_all(struct runtime *r, size_t count);

#endif
