/* SPDX-License-Identifier: Apache-2.0 */
#include "drv_waiters.h"

#include <string.h>

#include "err.h"

/* Enough to keep a helper fed, few enough not to stampede. */
enum { MAX_TICKETS = 16 };

int
waiters_add(struct waiters *w, struct drv_port *p, ErlDrvTermData caller,
            const uint8_t *ref, size_t n)
{
    struct waiter *q = driver_alloc(sizeof *q + n);
    if (q == NULL)
        return E_NOMEM;
    memset(q, 0, sizeof *q);
    q->caller = caller;
    q->ref_len = (uint32_t)n;
    memcpy(q->ref, ref, n);
    if (driver_monitor_process(p->port, caller, &q->monitor) != 0) {
        driver_free(q); /* it is dead already and will not come back */
        return 0;
    }
    if (w->last != NULL)
        w->last->next = q;
    else
        w->first = q;
    w->last = q;
    return 0;
}

/* Take the entry after `before` (NULL: the first) out and free it. */
static void
drop(struct waiters *w, struct waiter *before)
{
    struct waiter *q = before != NULL ? before->next : w->first;
    if (before != NULL)
        before->next = q->next;
    else
        w->first = q->next;
    if (w->last == q)
        w->last = before;
    if (q->has_ticket)
        w->tickets--;
    driver_free(q);
}

int
waiters_admit(struct waiters *w, struct drv_port *p, ErlDrvTermData caller)
{
    if (w->first == NULL)
        return 1;
    struct waiter *before = NULL;
    for (struct waiter *q = w->first; q != NULL; before = q, q = q->next) {
        if (q->caller != caller || !q->has_ticket)
            continue;
        driver_demonitor_process(p->port, &q->monitor);
        drop(w, before);
        return 1;
    }
    return 0;
}

static void
tell_ready(struct drv_port *p, struct waiter *q)
{
    ErlDrvTermData spec[] = {ERL_DRV_ATOM,
                             driver_mk_atom("py_ready"),
                             ERL_DRV_EXT2TERM,
                             (ErlDrvTermData)q->ref,
                             q->ref_len,
                             ERL_DRV_TUPLE,
                             2};
    erl_drv_send_term(p->term, q->caller, spec,
                      (int)(sizeof spec / sizeof spec[0]));
}

/* Tickets go out in order, so the holders are always at the front. */
void
waiters_ready(struct waiters *w, struct drv_port *p)
{
    struct waiter *q = w->first;
    for (; q != NULL && w->tickets < MAX_TICKETS; q = q->next) {
        if (q->has_ticket)
            continue;
        q->has_ticket = 1;
        w->tickets++;
        tell_ready(p, q);
    }
}

void
waiters_release_all(struct waiters *w, struct drv_port *p)
{
    while (w->first != NULL) {
        if (!w->first->has_ticket)
            tell_ready(p, w->first);
        driver_demonitor_process(p->port, &w->first->monitor);
        drop(w, NULL);
    }
}

int
waiters_remove(struct waiters *w, struct drv_port *p, ErlDrvTermData caller)
{
    struct waiter *before = NULL;
    for (struct waiter *q = w->first; q != NULL; before = q, q = q->next) {
        if (q->caller != caller)
            continue;
        driver_demonitor_process(p->port, &q->monitor);
        drop(w, before);
        return 1;
    }
    return 0;
}

int
waiters_exit(struct waiters *w, ErlDrvMonitor *m)
{
    struct waiter *before = NULL;
    for (struct waiter *q = w->first; q != NULL; before = q, q = q->next) {
        if (driver_compare_monitors(&q->monitor, m) != 0)
            continue;
        drop(w, before);
        return 1;
    }
    return 0;
}

void
waiters_fini(struct waiters *w)
{
    while (w->first != NULL)
        drop(w, NULL);
}
