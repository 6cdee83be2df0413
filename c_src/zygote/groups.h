/* SPDX-License-Identifier: Apache-2.0 */
/* groups.h - the control groups of helpers: made before the fork, removed
 * after the death.
 * Used by: spawn, reap, the loop.   Knows: cgroup.h.
 * Ownership: a child owns its group; one that is dead and whose group can not
 * be removed yet waits in z->lingering.   Errors: E_SYS.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_GROUPS_H
#define TERRARIUM_ZYGOTE_GROUPS_H

#include "state.h"

/* Make one if its breed has such a layer. */
int groups_begin(struct zygote *z, struct child *c);

/* It was ended by SIGKILL, not by us: was it for want of memory?  Also sets
 * c->limit where its own limit was the reason. */
int groups_was_memory(struct zygote *z, struct child *c);

/* Remove its group, now or later, and free it; it is in no list. */
void groups_end(struct zygote *z, struct child *c);

/* Try again for those that linger. */
void groups_again(struct zygote *z);
/* Until when the loop may sleep: `timeout', or less. */
int groups_timeout(const struct zygote *z, int timeout);

#endif
