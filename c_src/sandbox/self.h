/* SPDX-License-Identifier: Apache-2.0 */
/* self.h - what a process does to itself when it is locked up: limits, user,
 * capabilities.
 * Used by: profile.   Knows: policy.   Does not know: filters, paths.
 * Errors: E_SYS with errno.   Threads: before there is a second one. */
#ifndef TERRARIUM_SANDBOX_SELF_H
#define TERRARIUM_SANDBOX_SELF_H

#include <sys/types.h>

#include "policy.h"

/* The user of a sandboxed helper is this and its pid: no two that live have the
 * same, whoever forked them.  0x40000000 is above what user databases,
 * systemd's containers and newuidmap give out (systemd's UIDS-GIDS.md). */
enum { SELF_FIRST_UID = 0x40000000 };

/* Address space beside what is mapped already and the limit `memory': for
 * libraries, files that are read and segments of shared memory. */
enum { SELF_UNWRITTEN = 256 << 20 };

/* Can a process become such a user here, then read this directory (NULL: any),
 * and be sent signals by us?  Tried by a child. */
int self_can_change_user(const char *needed);

/* Its process id as our parent knows it, also in a namespace of its own; 0 on
 * error.  proc: the directory /proc, where that is not to be seen; -1: it is.
 */
pid_t self_outer_pid(int proc);
/* Address space in bytes.  Needs /proc as well. */
int self_mapped(uint64_t *bytes);
/* mapped: what self_mapped said. */
int self_limit(const struct policy *p, uint64_t mapped);
/* Of what the kernel counts for each user: only where this process is counted
 * apart from others.  In a user namespace of its own and not before it, for
 * its maker's limits hold for what all children of that one's namespace have
 * together. */
int self_limit_counts(const struct policy *p);
/* Nothing that is executed gets one again; needs CAP_SETPCAP, so it comes
 * before the user is changed. */
void self_drop_bounding(void);
/* Where it is not root, and so would lose them: the capabilities of its user
 * namespace that joining the rest takes stay over the next exec. */
int self_keep_capabilities(void);
/* For ever: no capability. */
int self_drop_capabilities(void);
int self_change_user(unsigned id);
/* A user namespace of its own: who is in it counts its own threads. */
int self_own_count(void);

#endif
