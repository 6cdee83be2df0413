/* SPDX-License-Identifier: Apache-2.0 */
/* lockup.h - what a forked helper does to itself before it runs any code of a
 * user: a clean environment, the policy's modules, then its profile.
 * Used by: spawn (in the child).   Knows: breeds, Python's environment.
 * Errors: negative, with a sentence; the helper must end then.
 * Threads: the main one; that there is no other is made sure of. */
#ifndef TERRARIUM_ZYGOTE_LOCKUP_H
#define TERRARIUM_ZYGOTE_LOCKUP_H

#include <stddef.h>

/* breed: of the helper that this process is. */
int lockup(void *breed, char *why, size_t n);

#endif
