/* SPDX-License-Identifier: Apache-2.0 */
/* cell.h - the namespaces in which the helpers of one policy live: a root of
 * their own, no network, no IPC, no host name, no processes.
 *
 * They are made once per policy: by a child that makes them and ends, while we
 * hold their descriptors.  A helper joins with setns(2), which costs some ten
 * microseconds where making them takes milliseconds.  Those of one policy
 * share them; there is nothing in them that could be written, but what the
 * policy grants all of them anyway.  A policy's /tmp is each helper's own.
 *
 * Process ids are different: a process has its namespace from its birth, and
 * one without its first process takes no more.  So the child stays, as that
 * process, and helpers are forked by cell_fork.  They are our children all the
 * same; where we are not root, they are born in the cell's user namespace, too.
 * Where that can not be had the cell is made without it.
 * Used by: profile, the zygote's forks.   Knows: policy, root.
 * Does not know: seccomp, Landlock.
 * Ownership: a cell owns its descriptors, and its first process, where it was
 * made: a forked child closes it, and must not free it.
 * Errors: E_SYS, E_REFUSED (this host does not allow it), with a sentence.
 * Threads: the process must be single-threaded. */
#ifndef TERRARIUM_SANDBOX_CELL_H
#define TERRARIUM_SANDBOX_CELL_H

#include <stddef.h>
#include <sys/types.h>

#include "args.h"
#include "policy.h"

enum cell_namespace {
    CELL_USER, /* -1 where we are root and need none */
    CELL_MOUNT,
    CELL_NET, /* -1 where the policy connects to somewhere */
    CELL_IPC,
    CELL_UTS,
    CELL_NAMESPACES
};

/* What ps calls the first process. */
#define CELL_FIRST_NAME "terrarium-cell"

struct cell {
    int fds[CELL_NAMESPACES];
    int pids;     /* the namespace of process ids; -1: none */
    int own_pids; /* ours, to come back to; -1 where we are not root */
    pid_t first;  /* who keeps it; 0: nobody */
};

void cell_init(struct cell *c); /* nothing */
/* The sentence also where there is a cell, and it has no process ids though the
 * policy does not leave them out; else it is empty then. */
int cell_make(struct cell *c, const struct policy *p,
              const struct args_list *readable, char *why, size_t n);
void cell_close(struct cell *c);
/* Its helpers must be dead and reaped. */
void cell_free(struct cell *c);
/* In a forked child, which is where it shall be. */
void cell_close_pids(struct cell *c);
/* Join it, but for what this process was born in; then, if the policy has one,
 * have a /tmp in it that `owner` owns and that no other process has. */
int cell_join(const struct cell *c);
int cell_own_tmp(const struct policy *p, unsigned owner);

/* ---- cell_fork.c --------------------------------------------------------- */

/* As fork(3), but the child is born in its namespace of process ids, if it has
 * one.  *lost: we are in it as well, and can fork for nobody else any more. */
pid_t cell_fork(const struct cell *c, int *lost);
/* Try it: 0 with errno if it does not. */
int cell_fork_works(const struct cell *c);

#endif
