/* SPDX-License-Identifier: Apache-2.0 */
/* breeds.h - helpers by their policy: each policy is made ready once, and has
 * spares of its own.
 * Used by: zygote (requests, spares).   Knows: profiles.
 * Ownership: the zygote owns its breeds; a child borrows its own.
 * Errors: those of profile_make, E_LIMIT (too many policies in use), with a
 * sentence.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_BREEDS_H
#define TERRARIUM_ZYGOTE_BREEDS_H

#include "state.h"

enum {
    BREEDS_MAX = 32,           /* at once, beside the plain one */
    BREEDS_REST_MS = 60 * 1000 /* after its last use one keeps no more spares */
};

/* The breed that the message's `policy' asks for; the plain one where there is
 * none.  On E_REFUSED *missing holds the layers. */
int breeds_find(struct zygote *z, const struct ctl_map *m, struct breed **out,
                unsigned *missing, char *why, size_t n);

/* A child that is no helper has died: if it was the first process of a breed's
 * namespace, its helpers have died with it, and there will be no others. */
void breeds_lost(struct zygote *z, pid_t pid);

/* One was asked for; this many more are to be kept ahead. */
void breeds_used(struct breed *b, uint64_t ahead);

/* A list of the names of these layers. */
void breeds_put_layers(struct ctl_out *m, const char *key, unsigned layers);

#endif
