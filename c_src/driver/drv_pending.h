/* SPDX-License-Identifier: Apache-2.0 */
/* drv_pending.h - the requests of one helper port that are not yet answered.
 *
 * A request's id is 48 random bits over a 16-bit place in the table, so it
 * is found without searching, cannot be guessed and is never valid twice.
 * Requests stand in a list in the order of their submission: first those that
 * were written to the helper (SENT), then those that wait here because the
 * window is full (QUEUED).  The helper serves in that order, so the first one
 * is the one that runs, and a QUEUED one can be dropped without a trace.  One
 * that is DETACHED has left the list before its answer.
 * Ownership: the table owns entries, their references and held answers; the
 * caller of pending_free has ended the entry's monitor.
 * Threads: the port's. */
#ifndef TERRARIUM_DRV_PENDING_H
#define TERRARIUM_DRV_PENDING_H

#include <erl_driver.h>
#include <stdint.h>

#include "wire.h"

enum pending_state {
    PENDING_RESERVED, /* has an id, its body has not been given yet */
    PENDING_QUEUED,   /* complete, but not yet written */
    PENDING_SENT,     /* on its way, or running */
    PENDING_DETACHED, /* goes on beside the others, in no list */
    PENDING_ANSWERED  /* answer held until its caller says where to */
};

/* The body of a QUEUED request, as parts of binaries that it refers to. */
struct pending_body {
    int count;
    struct {
        ErlDrvBinary *bin;
        size_t at, len;
    } part[];
};

struct pending {
    struct pending *prev, *next; /* in the list; QUEUED and SENT only */
    uint64_t id;                 /* 0: this place is free */
    uint64_t from;               /* when it was submitted, ns; 0: not timed */
    ErlDrvTermData caller;
    ErlDrvMonitor monitor;
    uint8_t monitored;
    uint8_t state;
    uint8_t opcode;
    uint8_t flags;
    uint8_t cancelled;     /* its caller gave up; the helper has been told */
    uint8_t orphan;        /* nobody wants the answer */
    uint8_t calling;       /* waits for a callback (drv_callbacks.c) */
    uint8_t begun;         /* it runs, or waits on the stack of those begun */
    uint8_t yielded;       /* it has let others go first, and is in no order */
    struct pending *below; /* on that stack */
    uint32_t next_free;
    uint32_t callbacks;        /* functions that it has called */
    size_t bytes;              /* of the request with its header */
    struct pending_body *body; /* QUEUED only */
    uint8_t *ref; /* ETF of the caller's reference; NULL: not attached */
    uint32_t ref_len;
    uint8_t answer_opcode;
    ErlDrvBinary *answer; /* held: the port owns one reference */
    size_t answer_at, answer_len;
};

struct pending_table {
    struct pending **slots;
    uint32_t size; /* of slots[], all allocated */
    uint32_t free; /* first free place; NO_PLACE: none */
    uint32_t count;
    struct pending *first, *last; /* SENT, then QUEUED, oldest first */
    struct pending *unsent;       /* the first QUEUED one */
    uint32_t wire_count;          /* of the SENT ones that have not begun */
    size_t wire_bytes;
    uint8_t entropy[1020]; /* a system call for 170 ids */
    uint32_t entropy_left;
    uint32_t entropy_size; /* asked for last */
};

void pending_init(struct pending_table *t);
/* Frees every entry; monitors are gone with the port. */
void pending_fini(struct pending_table *t);

/* A new RESERVED entry, or NULL: table full or no memory. */
struct pending *pending_new(struct pending_table *t, uint8_t opcode,
                            uint8_t flags);
void pending_free(struct pending_table *t, struct pending *q);
/* The entry with this id, or NULL. */
struct pending *pending_find(const struct pending_table *t, uint64_t id);
/* RESERVED to QUEUED: append to the list. */
void pending_enlist(struct pending_table *t, struct pending *q);
/* A SENT one has begun, so the helper has all of it: it is no longer on the
 * wire, and the window is for others. */
void pending_begin(struct pending_table *t, struct pending *q);
/* RESERVED to SENT, whatever the window: behind those that were sent. */
void pending_enlist_sent(struct pending_table *t, struct pending *q);
/* May the first QUEUED one be written now? */
int pending_window_open(const struct pending_table *t);
/* The first QUEUED one is SENT from now on. */
void pending_mark_sent(struct pending_table *t);
/* QUEUED or SENT to ANSWERED: leave the list. */
void pending_unlink(struct pending_table *t, struct pending *q);
/* Is it in the list? */
static inline int
pending_listed(const struct pending *q)
{
    return q->state == PENDING_QUEUED || q->state == PENDING_SENT;
}

/* Bodies: of bytes (copied), or of a vector without its first `skip` bytes
 * (referred to).  NULL: no memory. */
struct pending_body *pending_body_copy(const void *p, size_t n);
struct pending_body *pending_body_vec(ErlIOVec *ev, size_t skip);
void pending_body_free(struct pending_body *b);

#endif
