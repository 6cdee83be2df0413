/* SPDX-License-Identifier: Apache-2.0 */
/* oom.h - was it the kernel's out-of-memory killer?
 *
 * It ends a process by SIGKILL and tells nobody but a counter of the control
 * group, which our helpers share with us.  A SIGKILL that we did not expect,
 * with a count that has grown, is put down to it; where there is no counter
 * nothing is said.
 * Used by: zygote (reports).   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_OOM_H
#define TERRARIUM_ZYGOTE_OOM_H

#include <limits.h>
#include <stdint.h>

struct oom {
    const char *root;    /* "" but in tests */
    char path[PATH_MAX]; /* of the file with the counter; "": none */
    uint64_t seen;       /* deaths accounted for */
};

/* root is "" (tests have their own /proc and /sys in a folder). */
void oom_init(struct oom *o, const char *root);

/* A process of ours has died of SIGKILL: 1 if the counter has grown by more
 * deaths than were put down to it. */
int oom_was_it(struct oom *o);

#endif
