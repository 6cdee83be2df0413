/* SPDX-License-Identifier: Apache-2.0 */
/* profile.h - a policy made ready: all that can be made once is made in the
 * zygote, and a forked helper only has to put it on.
 *
 *   profile_make    in the zygote: filter, ruleset, namespaces; each layer is
 *                   found out by trying it
 *   profile_begin   in a process that helpers are forked from, if there is one
 *   profile_apply   in the helper, before any code of a user: for ever
 *
 * It fails closed: a layer that the policy requires and that cannot be had is
 * an error of profile_make, and one that cannot be put on an error of
 * profile_apply, after which the helper must end.
 * Used by: zygote, tests.   Ownership: a profile owns what it holds.
 * Errors: E_REFUSED (*missing: the layers), E_SYS, E_NOMEM, E_FORMAT, with a
 * sentence.   Threads: none. */
#ifndef TERRARIUM_SANDBOX_PROFILE_H
#define TERRARIUM_SANDBOX_PROFILE_H

#include "cell.h"
#include "cgroup.h"
#include "filter.h"
#include "policy.h"

/* What imports need: existing absolute paths without links in them. */
struct profile_host {
    struct args_list readable;
    const char *prefix; /* of Python: a directory that must be reachable */
    struct cgroup_host *cgroups; /* NULL: none; borrowed */
};

struct profile {
    struct policy policy;
    struct filter filter;
    struct filter early, late; /* the two that it can be split into (split.h) */
    struct cell cell;
    int proc;        /* profile_begin's way to /proc; -1: it is where it was */
    int landlock;    /* the ruleset; -1: none */
    int abi;         /* of Landlock, as used */
    unsigned layers; /* LAYER_*: those that it puts on */
    int begun;       /* by profile_begin */
    pid_t outer;     /* its pid where /proc is; 0: not known yet */
    uint64_t mapped; /* address space before it was locked up */
    const struct profile_host *host; /* borrowed */
};

int profile_make(struct profile *p, const struct ctl_map *policy,
                 const struct profile_host *host, unsigned *missing, char *why,
                 size_t n);
void profile_free(struct profile *p);

/* In a process that those with this profile are forked from, and that runs no
 * code of a user: what they need not each do.  They still have to apply it. */
int profile_begin(struct profile *p);
/* It has LAYER_CGROUP: whoever forks makes a group, and the child joins it
 * (cgroup.h) before anything else.
 * Lock this process up, and close what that took.  On error the sentence says
 * which step. */
int profile_apply(struct profile *p, char *why, size_t n);
/* In a helper that is not its: what it holds is not for it. */
void profile_close(struct profile *p);

#endif
