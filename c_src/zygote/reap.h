/* SPDX-License-Identifier: Apache-2.0 */
/* reap.h - the death of helpers: kill what they left, wait, report.
 * Used by: zygote.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_REAP_H
#define TERRARIUM_ZYGOTE_REAP_H

#include "state.h"

/* Reap whoever is dead, as long as the outbox has room for the reports. */
void reap_all(struct zygote *z);

/* At the end of the zygote: kill all, and wait for them, but not forever. */
void reap_at_end(struct zygote *z);

#endif
