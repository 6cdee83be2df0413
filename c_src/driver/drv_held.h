/* SPDX-License-Identifier: Apache-2.0 */
/* drv_held.h - descriptors that came over a zygote's port, each message's under
 * a token, until somebody takes them or they are dropped.
 *
 * Used by: drv_zygote.   Does not know: what they are.
 * Ownership: the table's, but for those that are -1.
 * Errors: NULL.   Threads: the port's. */
#ifndef TERRARIUM_DRV_HELD_H
#define TERRARIUM_DRV_HELD_H

#include <stdint.h>

#include "io.h"

enum { HELD_MAX = 256 };

struct held {
    uint32_t token; /* 0: free */
    int count;
    int fds[IO_MAX_FDS];
};

struct held_table {
    uint32_t next_token;
    struct held all[HELD_MAX];
};

/* NULL: there is no room; then they stay the caller's. */
struct held *held_put(struct held_table *t, const int *fds, int count);
/* NULL: nothing is held under this token. */
struct held *held_find(struct held_table *t, uint32_t token);
/* Close them; nothing is held there any more. */
void held_drop(struct held *x);
void held_drop_all(struct held_table *t);
/* Close descriptors that never were in the table. */
void held_close(int *fds, int count);

#endif
