/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - the one struct of a zygote, and its children.
 *
 * zygote.c owns it and passes it to everyone; there is no other state.
 * Used by: the files of this folder.   Threads: none.
 *
 * Every descriptor that is reachable from here belongs to the zygote alone:
 * state_close_in_child closes them in each forked child, for a copy of a
 * sibling's socket would hide its end-of-file. */
#ifndef TERRARIUM_ZYGOTE_STATE_H
#define TERRARIUM_ZYGOTE_STATE_H

#include <stdint.h>
#include <time.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "cgroup.h"
#include "nest.h"
#include "oom.h"
#include "options.h"
#include "outbox.h"
#include "places.h"
#include "profile.h"
#include "signals.h"

enum child_state {
    CHILD_SPARE,  /* forked ahead, waits for its boot frame */
    CHILD_IN_USE, /* the VM knows it by its id */
    CHILD_DOOMED  /* killed before the VM heard of it: dies unreported */
};

enum child_fd {               /* in the order of the spawned message */
                CHILD_SOCKET, /* the VM's end */
                CHILD_STDOUT,
                CHILD_STDERR,
                CHILD_PIDFD,
                CHILD_LANE,  /* its segment; the helper has a copy */
                CHILD_HATCH, /* the VM's end: descriptors go down here */
                CHILD_FDS
};

struct breed;

struct child {
    struct child *next;
    struct breed *breed;
    enum child_state state;
    pid_t pid;
    uint64_t id;        /* the VM's name for it, while in use */
    int64_t born_ms;    /* now_ms at its fork */
    int blackbox;       /* what we read once it is dead */
    int fds[CHILD_FDS]; /* until they are handed to the VM; then -1 */
    timer_t budget;     /* of CPU time, where has_budget */
    uint64_t budget_ms; /* for how long it is armed each time */
    int has_budget;
    int spent;           /* it has run out, and the VM has not said what then */
    const char *limit;   /* that it was ended for; NULL: none; static */
    struct cgroup group; /* its own, until that is removed */
    int nested;          /* forked from its breed's nest */
};

/* Spares that die unused must not make a fork loop. */
struct throttle {
    unsigned streak;       /* of early deaths or failed forks */
    int64_t not_before_ms; /* of the next fork ahead */
};

enum { BREED_KEPT_GROUPS = 16 };

/* Helpers that are alike: with the same policy, forked ahead of their use. */
struct breed {
    struct breed *next;
    struct buf key; /* the policy as the VM sent it; empty: there is none */
    struct profile profile;
    struct places places; /* of its policy */
    unsigned wanted;      /* spares */
    unsigned spares;      /* that there are */
    unsigned children;    /* those included */
    int64_t used_ms;      /* when one was asked for */
    int lanes;            /* has one been wanted with a lane? */
    struct throttle throttle;
    struct nest nest; /* from which they are forked; may be none */
    struct cgroup kept[BREED_KEPT_GROUPS]; /* empty, for its next helpers */
    int kept_count;
};

struct zygote {
    struct zygote_options options;
    pid_t pid;
    char *program;  /* path of this program, for a restart */
    int program_fd; /* the program itself, for helpers that begin anew */
    int argc;
    char **argv;
    struct rlimit files; /* as the helpers shall have it */
    unsigned threads;    /* in this process, once all is imported */

    int control;
    int vm; /* pidfd of the VM's process; -1: not known */
    int greeted;
    struct signals signals;
    struct outbox out;
    uint8_t *in;    /* WIRE_LIMIT_MAX_CONTROL bytes for the message just read */
    size_t in_size; /* of that */

    struct child *children;
    struct breed plain; /* those without a policy; the others follow it */
    unsigned breeds;    /* the others */
    struct profile_host host;
    struct cgroup_host cgroups;
    struct child *lingering; /* dead, but something is left in their groups */
    struct oom oom;
    int reap_again; /* the dead may wait for us */
    int end;        /* exit status; -1: go on */
};

enum { ZYGOTE_GO_ON = -1 };

int64_t now_ms(void);

/* Queue a log message for the VM (dropped when the queue is full). */
void state_log(struct zygote *z, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Queue a message; takes m and fds.  Out of memory, or a peer that makes no
 * sense of us, ends the zygote: the VM's picture of it would be wrong. */
void state_send(struct zygote *z, struct ctl_out *m, const int *fds, int count);

/* In the child `self`: close all that is the zygote's, and the VM's ends. */
void state_close_in_child(struct zygote *z, struct child *self);

#endif
