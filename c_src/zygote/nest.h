/* SPDX-License-Identifier: Apache-2.0 */
/* nest.h - where the helpers of a breed are forked from, once many are wanted:
 * a process that has done all that they have in common.
 *
 * A nest has been forked from the zygote as a helper is; it has a clean
 * environment, the policy's modules, its signal handlers, and has run some code
 * already.  Then it waits for orders.  Each is to fork one helper, which
 * becomes the zygote's child (CLONE_PARENT), has all that is still its own to
 * do (brood.h), and locks itself up.  No code of a user ever runs in a nest,
 * and nothing that a helper does reaches it.
 *
 *   zygote                          nest
 *                         <-- READY, once it is ready
 *   FORK + descriptors    -->
 *                         <-- pid, from the helper; or negative, from the nest
 *
 * A nest is a matter of speed alone: a breed that has none, or whose nest is
 * not ready, has died or does not answer, has its helpers forked from the
 * zygote.
 *
 * Used by: spawn, spares, breeds.   Knows: brood.
 * Ownership: the breed's.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_NEST_H
#define TERRARIUM_ZYGOTE_NEST_H

#include <sys/types.h>

#include "cgroup.h"

struct breed;
struct zygote;

enum nest_state {
    NEST_NONE,    /* nobody has asked for one */
    NEST_GROWING, /* forked, and not ready */
    NEST_READY,
    NEST_FAILED /* not again, until the breed has rested */
};

struct nest {
    enum nest_state state;
    int socket; /* -1: none */
    int pidfd;
    int patience_ms; /* with one fork */
};

/* A nest that takes longer for one fork is stuck. */
enum { NEST_PATIENCE_MS = 2000 };

/* What a helper is given, as numbers of the one who has them. */
enum nest_fd {
    NEST_SOCKET,
    NEST_HATCH,
    NEST_OUT,
    NEST_ERR,
    NEST_BLACKBOX,
    NEST_LANE,
    NEST_GROUPS, /* this and those behind it: doors of control groups */
    NEST_MOST_FDS = NEST_GROUPS + CGROUP_CONTROLLERS
};

void nest_init(struct nest *n);

/* Begin to have one, if this breed can; fine if it has. */
void nest_begin(struct zygote *z, struct breed *b);

/* Would it fork one now? */
int nest_is_ready(struct nest *n);

/* Fork a helper with these descriptors, which stay the caller's but for
 * NEST_SOCKET: that is closed, so that its other end, `other', hangs up when
 * a helper dies before it has told its pid.  The pid; 0 where there is no nest
 * that would. */
pid_t nest_fork(struct breed *b, int *fds, int count, int other);

/* End it; the breed may have another one. */
void nest_end(struct nest *n);
/* End it, and have no other one until the breed has rested: its helpers are no
 * good. */
void nest_give_up(struct nest *n);

/* In a child: what belongs to the zygote's side. */
void nest_close(struct nest *n);

#endif
