/* SPDX-License-Identifier: Apache-2.0 */
/* brood.h - what goes on in a nest (nest.h): it gets ready, then forks helpers.
 * Used by: nest.   Knows: lockup, helper.
 * Errors: it ends, and the zygote goes on without it.
 * Threads: one; it forks none but helpers, which are copies of it. */
#ifndef TERRARIUM_ZYGOTE_BROOD_H
#define TERRARIUM_ZYGOTE_BROOD_H

struct breed;
struct zygote;

enum { BROOD_READY = 0, BROOD_FORK = 'f' };

/* Be the nest of a breed, in a child that was just forked by fork(2). */
_Noreturn void brood_main(struct zygote *z, struct breed *b, int orders);

#endif
