/* SPDX-License-Identifier: Apache-2.0 */
/* lockup.h - what a forked helper does to itself before it runs any code of a
 * user: a clean environment, the policy's modules, then its profile.
 * Used by: spawn (in the child).   Knows: breeds, Python's environment.
 * Errors: negative, with a sentence; the helper must end then.
 * Threads: the main one; that there is no other is made sure of. */
#ifndef TERRARIUM_ZYGOTE_LOCKUP_H
#define TERRARIUM_ZYGOTE_LOCKUP_H

#include <stddef.h>

#include "policy.h"

struct breed;

/* In the zygote, when a policy comes for the first time: import those of its
 * modules that are Python's or ours, and known to do no more than define
 * things, so that its helpers need not each.  What fails fails in the helper,
 * and is told there. */
void lockup_prepare(const struct policy *p);

/* breed: of the helper that this process is. */
int lockup(void *breed, char *why, size_t n);

/* The same in two steps, for helpers that are forked between them (nest.h):
 * what all of a breed have in common, and what each does. */
int lockup_begin(struct breed *b, char *why, size_t n);
int lockup_again(void *breed, char *why, size_t n);
/* A part of the latter, without the lock: -1 with an exception set.  Before the
 * forks it has to be found out whether there is something to be seeded. */
int lockup_find_seed(void);
int lockup_seed(void);

/* Are all modules of this policy of those that lockup_prepare would import? */
int lockup_has_only_ours(const struct policy *p);

/* Run what helpers of this breed will run, if that is known (helper_rehearse):
 * the call that this function of erlang._sandboxed gives. */
void lockup_rehearse(const char *which);

#endif
