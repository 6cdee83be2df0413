/* SPDX-License-Identifier: Apache-2.0 */
/* spares.h - how many helpers are forked ahead, and when not to.
 * Used by: zygote.   Does not know: how one is forked.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_SPARES_H
#define TERRARIUM_ZYGOTE_SPARES_H

#include "state.h"

/* The oldest spare of a breed, or NULL; it stays in z->children and in its
 * state. */
struct child *spares_oldest(const struct zygote *z, const struct breed *b);

/* A spare went to the VM: spares are good, forget what was before. */
void spares_used(struct child *c);

/* A spare died before its use (already taken out of its breed's count). */
void spares_died(struct zygote *z, const struct child *c);

/* Fork at most one of each breed, if one is missing and it is time; doom
 * surplus ones. */
void spares_keep(struct zygote *z);

/* Milliseconds until spares_keep has something to do; -1: not in sight. */
int spares_timeout(const struct zygote *z);

#endif
