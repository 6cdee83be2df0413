/* SPDX-License-Identifier: Apache-2.0 */
/* helper.h - one context's life, from the fork to its end.
 *
 * Used by: zygote, in the child it has just forked; tests.
 * Knows: boot, session and the set-up that precedes them.
 * Does not know: who forked it, or how many others there are. */
#ifndef TERRARIUM_HELPER_H
#define TERRARIUM_HELPER_H

#include <stddef.h>

/* What locks the helper up before it reads its first frame: 0, or negative with
 * a sentence, which ends it with HANDOFF_EXIT_SANDBOX. */
struct helper_lock {
    int (*apply)(void *arg, char *why, size_t n);
    void *arg;
};

/* In a process that helpers will be forked from: all of their set-up that does
 * not depend on which of them it is.  helper_main then does the rest.  0, or
 * -1. */
int helper_prepare(void);

/* In such a process: run the call with this body, of a few KiB, as a helper
 * would, for what libc, CPython and we find out and keep when something is done
 * for the first time.  What the call leaves, helpers find.  0, or negative. */
int helper_rehearse(const void *call, size_t n);

/* In a child of such a process that nobody will use: what helper_main does
 * before the lock.  0, or -1. */
int helper_try(void);

/* Be a helper on the connected stream socket `sock`, with `blackbox_fd` the
 * sealed memfd of blackbox.h (-1: none) and `lane_fd` a lane's segment (-1:
 * none), locked up by `lock' (NULL: not at all).  The caller has forked, has
 * called PyOS_AfterFork_Child, holds the GIL on the main thread, and has
 * cleaned up descriptors and the signal mask. The descriptors now belong to the
 * helper.
 *
 * Ends the process: 0 at end-of-file or after STOP, else a handoff_exit. */
_Noreturn void helper_main(int sock, int blackbox_fd, int lane_fd, int hatch_fd,
                           const struct helper_lock *lock);

#endif
