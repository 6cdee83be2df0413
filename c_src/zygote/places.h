/* SPDX-License-Identifier: Apache-2.0 */
/* places.h - the paths that a policy grants, as they were when it was made
 * ready.
 *
 * What is made of a policy once, rules of Landlock and mounts, holds for the
 * directory that was there, not for its name.  A directory that was removed and
 * made again under its name is another one.  While we hold it open the kernel
 * gives its number to no other, so a look says whether it is the same.
 * Used by: breeds, state.   Knows: policies.   Ownership: owns its descriptors.
 * Errors: E_NOMEM.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_PLACES_H
#define TERRARIUM_ZYGOTE_PLACES_H

#include <stddef.h>

#include "policy.h"

struct places {
    int *fds; /* of its paths to read, write and import from, in this order */
    size_t count;
};

int places_open(struct places *p, const struct policy *policy);
/* Is one of them no longer where it was? */
int places_moved(const struct places *p, const struct policy *policy);
/* In a child they are not needed, but the list is the parent's. */
void places_close(struct places *p);
void places_free(struct places *p);

#endif
