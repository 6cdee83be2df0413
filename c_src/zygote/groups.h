/* SPDX-License-Identifier: Apache-2.0 */
/* groups.h - the control groups of helpers: made before the fork, removed
 * after the death, or given to the breed's next helper.
 * Used by: spawn, reap, the loop.   Knows: cgroup.h.
 * Ownership: a child owns its group, a breed those that it keeps; a child that
 * is dead and whose group can not be removed yet waits in z->lingering.
 * Errors: E_SYS.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_GROUPS_H
#define TERRARIUM_ZYGOTE_GROUPS_H

#include "state.h"

/* Have one if its breed has such a layer. */
int groups_begin(struct zygote *z, struct child *c);

/* It was ended by SIGKILL, not by us: was it for want of memory?  Also sets
 * c->limit where its own limit was the reason. */
int groups_was_memory(struct zygote *z, struct child *c);

/* Keep its group for another one, or remove it, now or later, and free the
 * child; it is in no list. */
void groups_end(struct zygote *z, struct child *c);

/* Remove those that a breed has kept.  One into which somebody has strayed is
 * kept until the next time. */
void groups_forget(struct zygote *z, struct breed *b);

/* Try again for those that linger. */
void groups_again(struct zygote *z);
/* Until when the loop may sleep: `timeout', or less. */
int groups_timeout(const struct zygote *z, int timeout);

#endif
