/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - the `exited` message: how a helper ended and what it was doing.
 * Used by: reap.   Knows: the black box, whose every byte it distrusts.
 * Threads: none. */
#ifndef TERRARIUM_ZYGOTE_REPORT_H
#define TERRARIUM_ZYGOTE_REPORT_H

#include <signal.h>
#include <sys/resource.h>

#include "state.h"

/* Begin and fill m; the caller ends and sends it (or frees it).  oom: it was
 * the out-of-memory killer, as far as one can know. */
void report_exited(struct ctl_out *m, const struct child *c,
                   const siginfo_t *how, const struct rusage *usage, int oom);

#endif
