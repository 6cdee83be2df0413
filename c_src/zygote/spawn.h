/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h - the birth of a helper: descriptors, fork, the child's clean-up.
 * Used by: zygote (requests, spares).   Does not know: why it is forked.
 * Errors: E_SYS or E_NOMEM with a sentence in why.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_SPAWN_H
#define TERRARIUM_ZYGOTE_SPAWN_H

#include "buf.h"
#include "state.h"

/* Fork one of a breed; it is in z->children as a spare.  Returns in the parent
 * only. */
int spawn_fork(struct zygote *z, struct breed *b, struct child **out, char *why,
               size_t n);

/* Write the BOOT frame (complete, with header) to a helper: 0; E_EOF when it
 * is dead; E_AGAIN when its socket cannot take the frame. */
int spawn_boot(struct child *c, const struct buf *frame);

/* End a child that the VM has not heard of. */
void spawn_doom(struct child *c);

/* SIGKILL to the process and to its group (which it may not yet lead). */
void spawn_kill(const struct child *c);

/* Close what it holds; and free it: it is in no list. */
void spawn_release(struct child *c);
void spawn_free(struct child *c);

#endif
