/* SPDX-License-Identifier: Apache-2.0 */
/* drv_load.h - how many requests certain contexts have, for who looks for the
 * one that has least.
 *
 * A context that takes part has a place, a number that Erlang gave it; its
 * ports count their requests there.  The counts are read through ports of a
 * kind of their own ("py_drv load"): asking a helper's port would wait for
 * whoever polls there.  Truth lies with the driver, so a caller that is killed
 * leaves no trace in a count.
 *
 * Used by: drv_calls, drv_helper, drv.
 * Threads: any; each count is an atomic. */
#ifndef TERRARIUM_DRV_LOAD_H
#define TERRARIUM_DRV_LOAD_H

#include <stdint.h>

enum { LOAD_PLACES = 4096 }; /* 0 is nobody's */

struct load {
    uint32_t place; /* 0: not counted */
    uint32_t here;  /* of the count, what this port has put there */
};

/* From now on count under this place; 0, or -1: there is no such place. */
int load_begin(struct load *l, uint32_t place);
void load_count(struct load *l, int n);
/* Take back what is there. */
void load_end(struct load *l);

static inline void
load_add(struct load *l, int n)
{
    if (l->place != 0)
        load_count(l, n);
}

#endif
