/* SPDX-License-Identifier: Apache-2.0 */
/* budget.h - how much time of a processor a helper may use, from its spawn on.
 *
 * A timer of ours on its clock: nothing that the helper can touch.  When it has
 * expired, the VM is asked whether a request has ended since, for then the
 * helper may have as much again, from that moment on.  It kills the helper if
 * it expires again before the VM has said so. Used by: zygote (requests, the
 * loop, spawn).   Errors: E_SYS. Threads: none. */
#ifndef TERRARIUM_ZYGOTE_BUDGET_H
#define TERRARIUM_ZYGOTE_BUDGET_H

#include "state.h"

/* From now on it has this many milliseconds. */
int budget_begin(struct child *c, uint64_t ms);
void budget_end(struct child *c);
/* SIGNALS_BUDGET was seen: find those who have used up theirs. */
void budget_check(struct zygote *z);
/* The VM's answer. */
void budget_answered(struct zygote *z, uint64_t id, int renew);

#endif
