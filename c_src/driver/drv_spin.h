/* SPDX-License-Identifier: Apache-2.0 */
/* drv_spin.h - may this port poll for its answer, and its helper for the next
 * request?
 *
 * Who polls keeps a core busy.  So the VM has one spin slot per core but one;
 * a port has one while it is in steady use, and its helper polls only as long
 * as it has.  A slot is a lease: it ends by itself, so a helper that lies, or
 * a port that closes, holds nothing.  A port that has had its slot for long
 * while others want one gives it up for a while.
 *
 * Used by: drv_helper, drv_calls.   Knows: lane/spin.h.
 * Threads: any; the slots are the driver's only global state, and each word is
 * an atomic. */
#ifndef TERRARIUM_DRV_SPIN_H
#define TERRARIUM_DRV_SPIN_H

#include <stdint.h>

#include "spin.h"

struct drv_lease {
    int slot;           /* -1: none */
    uint64_t until;     /* what we put into the slot */
    uint64_t since;     /* when we got it */
    uint64_t not_until; /* after giving it up */
};

/* Take or keep a slot for `ns` from now; 1, or 0: there is none. */
int drv_lease_take(struct drv_lease *l, uint64_t now, uint64_t ns);
/* Give it back. */
void drv_lease_end(struct drv_lease *l);

/* How many slots there are: for tests, 0 means what the machine has. */
void drv_spin_set_slots(unsigned count);

#endif
