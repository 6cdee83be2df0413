/* SPDX-License-Identifier: Apache-2.0 */
/* hatch.h - descriptors that the VM hands down.
 *
 * They come over a socket of their own, each with a token, and always before
 * the frame that names the token.  So frames and descriptors need no common
 * order, and what carries frames (a lane or a socket) need not carry
 * descriptors.
 * Used by: helper (set-up), erlmod.   Does not know: what they are for.
 * Ownership: what was not yet taken belongs to the hatch, HATCH_KEPT of them
 * at most; the oldest is closed for a new one.
 * State: a singleton of the process.   Threads: those that hold the GIL. */
#ifndef TERRARIUM_HELPER_HATCH_H
#define TERRARIUM_HELPER_HATCH_H

#include <stdint.h>

enum { HATCH_KEPT = 256 };

/* Takes the descriptor; -1: there is no hatch. */
void hatch_init(int fd);
/* In a forked child: it is not the child's. */
void hatch_close(void);

/* The descriptor that came with this token, which is the caller's: close on
 * exec.  E_AGAIN: none has come; E_FORMAT: the VM makes no sense; E_SYS. */
int hatch_take(uint64_t token, int *fd);

#endif
