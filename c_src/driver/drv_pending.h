/* SPDX-License-Identifier: Apache-2.0 */
/* drv_pending.h - the requests of one helper port that are not yet answered.
 *
 * A request's id is 48 random bits over a 16-bit place in the table, so it
 * is found without searching, cannot be guessed and is never valid twice.
 * Requests stand in a list in the order in which they were written; the helper
 * serves in that order, so the first one is the one that runs.
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
    PENDING_SENT,     /* on its way, or running */
    PENDING_ANSWERED  /* answer held until its caller says where to */
};

struct pending {
    struct pending *prev, *next; /* in order of sending; SENT only */
    uint64_t id;                 /* 0: this place is free */
    ErlDrvTermData caller;
    ErlDrvMonitor monitor;
    uint8_t monitored;
    uint8_t state;
    uint8_t opcode;
    uint8_t flags;
    uint8_t cancelled; /* its caller gave up; the helper has been told */
    uint8_t orphan;    /* nobody wants the answer */
    uint32_t next_free;
    size_t bytes; /* of the request, for back-pressure */
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
    struct pending *first, *last; /* SENT, oldest first */
    uint8_t entropy[256];
    uint32_t entropy_left;
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
/* RESERVED to SENT: append to the order list. */
void pending_sent(struct pending_table *t, struct pending *q);
/* SENT to anything else: leave the order list. */
void pending_unlink(struct pending_table *t, struct pending *q);

#endif
