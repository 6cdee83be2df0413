/* SPDX-License-Identifier: Apache-2.0 */
/* support_groups.h - what processes do in control groups.
 * Used by: the suites of control groups.   Threads: none. */
#ifndef TERRARIUM_SUPPORT_GROUPS_H
#define TERRARIUM_SUPPORT_GROUPS_H

#include "cgroup.h"

/* What an attempt makes of a process in the group: its wait status; 99: it
 * could not enter. */
int groups_inside(const struct cgroup_host *h, const struct cgroup *g,
                  void (*attempt)(void));
/* Remove a group as soon as that is possible; what it has is ended. */
void groups_remove(const struct cgroup_host *h, struct cgroup *g);

/* Attempts: 256 MiB that no rlimit counts; children, up to 10, as many as there
 * are is the exit status. */
void groups_share_much(void);
void groups_fork_many(void);

#endif
