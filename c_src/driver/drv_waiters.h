/* SPDX-License-Identifier: Apache-2.0 */
/* drv_waiters.h - callers that found the port busy, first come first served.
 *
 * A waiter that is told `ready` holds a ticket until it submits, gives up or
 * dies; while anybody waits, only ticket holders may submit, so a newcomer
 * cannot overtake and nobody starves.
 * Ownership: owns entries and their references.   Threads: the port's. */
#ifndef TERRARIUM_DRV_WAITERS_H
#define TERRARIUM_DRV_WAITERS_H

#include "drv.h"

struct waiter {
    struct waiter *next;
    ErlDrvTermData caller;
    ErlDrvMonitor monitor;
    int has_ticket;
    uint32_t ref_len;
    uint8_t ref[]; /* ETF of the caller's reference */
};

struct waiters {
    struct waiter *first, *last;
    uint32_t tickets; /* handed out and not used */
};

/* 0 or E_NOMEM. */
int waiters_add(struct waiters *w, struct drv_port *p, ErlDrvTermData caller,
                const uint8_t *ref, size_t n);
/* May this caller submit now?  Uses up its ticket if it holds one. */
int waiters_admit(struct waiters *w, struct drv_port *p, ErlDrvTermData caller);
/* The port is not busy: hand out tickets. */
void waiters_ready(struct waiters *w, struct drv_port *p);
/* Everybody is told to come: the helper is gone. */
void waiters_release_all(struct waiters *w, struct drv_port *p);
/* It gave up or died.  1 if it waited here. */
int waiters_remove(struct waiters *w, struct drv_port *p,
                   ErlDrvTermData caller);
int waiters_exit(struct waiters *w, ErlDrvMonitor *m);
void waiters_fini(struct waiters *w);

#endif
