/* SPDX-License-Identifier: Apache-2.0 */
/* fresh.h - helpers that are this program, started anew: they share no memory
 * image with others, neither its addresses nor its hash seed.
 *
 * The forked child writes down what its profile is, in a memfd, and executes
 * the program with its descriptors; that makes itself a Python as the zygote
 * did, takes the profile over, and locks itself up as any helper does.
 * Used by: spawn, main.   Knows: breeds, helper_main.
 * Errors: a sentence on standard error and an exit status (handoff.h).
 * Threads: none. */
#ifndef TERRARIUM_ZYGOTE_FRESH_H
#define TERRARIUM_ZYGOTE_FRESH_H

#include "state.h"

/* What a helper's connections are, on its side. */
enum fresh_fd {
    FRESH_SOCKET,
    FRESH_HATCH,
    FRESH_BLACKBOX,
    FRESH_LANE,
    FRESH_FDS
};

/* In the forked child, with nothing left to do before Python. */
_Noreturn void fresh_exec(struct zygote *z, const struct breed *b,
                          const int fds[FRESH_FDS]);

/* Close what a preloaded module has opened: all but these, what the profile
 * needs, `also' (-1: none), and 0 to 2. */
void fresh_close_others(const struct profile *p, const int fds[FRESH_FDS],
                        int also);

#endif
