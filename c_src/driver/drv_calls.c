/* SPDX-License-Identifier: Apache-2.0 */
/* drv_calls.c - requests: admitted, written, given up.
 *
 * Each accepted request has one entry in the pending table from submission to
 * the moment when its answer has been handed over or nobody wants it any
 * more; whichever comes first of answer, cancellation, death of the caller
 * and death of the helper, the entry ends exactly once. */
#include "drv_helper.h"

#include <string.h>

#include "err.h"

static void
forget_monitor(struct helper *h, struct pending *q)
{
    if (q->monitored)
        driver_demonitor_process(h->base.port, &q->monitor);
    q->monitored = 0;
}

void
calls_end(struct helper *h, struct pending *q)
{
    forget_monitor(h, q);
    helper_forget_held(h, q);
    callbacks_forget(h, q);
    pending_free(&h->pending, q);
    if (h->draining)
        calls_tell_drained(h);
}

void
calls_tell_drained(struct helper *h)
{
    if (h->draining != DRAIN_BEGUN || h->pending.count != 0)
        return;
    h->draining = DRAIN_TOLD;
    drv_tell_atom(&h->base, "drained");
}

/* ---- back-pressure ------------------------------------------------------ */

static void
outstanding_add(struct helper *h, size_t n)
{
    h->stats.outstanding += n;
    load_add(&h->load, 1);
    if (!h->busy && h->stats.outstanding > WIRE_LIMIT_HIGH_WATER) {
        h->busy = 1;
        set_busy_port(h->base.port, 1);
    }
}

void
calls_settled(struct helper *h, size_t n)
{
    h->stats.outstanding -= n;
    if (n > 0) /* else it was never accepted */
        load_add(&h->load, -1);
    if (h->busy && h->stats.outstanding <= WIRE_LIMIT_HIGH_WATER / 2) {
        h->busy = 0;
        set_busy_port(h->base.port, 0);
    }
    if (!h->busy)
        waiters_ready(&h->waiters, &h->base);
}

/* ---- submitting --------------------------------------------------------- */

static void give_up(struct helper *h, struct pending *q);

static int
is_about_objects(uint8_t opcode)
{
    return opcode == WIRE_METHOD || opcode == WIRE_GETATTR ||
           opcode == WIRE_TO_TERM || opcode == WIRE_INFO;
}

static int
is_taken(const struct helper *h, uint8_t opcode)
{
    return h->draining == DRAIN_NO ||
           (h->draining == DRAIN_OBJECTS && is_about_objects(opcode));
}

/* An entry for driver_caller, or NULL and the reply that says why not. */
static struct pending *
admit(struct helper *h, uint8_t opcode, uint8_t flags, struct drv_reply *r,
      ErlDrvSSizeT *reply)
{
    ErlDrvTermData caller = driver_caller(h->base.port);
    if (h->state != HELPER_READY) {
        *reply = drv_reply(r, DRV_REPLY_DOWN);
        return NULL;
    }
    if (!wire_is_request(opcode)) {
        *reply = drv_reply_refused(r, "not a request");
        return NULL;
    }
    int nested = callbacks_is_nested(h, caller);
    if (!is_taken(h, opcode) && !nested) {
        *reply = drv_reply(r, DRV_REPLY_DOWN);
        return NULL;
    }
    if (!nested && (h->busy || !waiters_admit(&h->waiters, &h->base, caller))) {
        h->stats.busy++;
        *reply = drv_reply(r, DRV_REPLY_BUSY);
        return NULL;
    }
    if (nested)
        flags |= WIRE_FLAG_NESTED;
    struct pending *q = pending_new(&h->pending, opcode, flags);
    if (q == NULL) {
        *reply = drv_reply_refused(r, "too many unanswered requests");
        return NULL;
    }
    q->caller = caller;
    return q;
}

int
calls_watch(struct helper *h, struct pending *q)
{
    if (q->monitored)
        return 0;
    q->monitored =
        driver_monitor_process(h->base.port, q->caller, &q->monitor) == 0;
    return q->monitored ? 0 : -1;
}

/* A request that was not written leaves no trace. */
static void
drop_queued(struct helper *h, struct pending *q)
{
    size_t bytes = q->bytes;
    pending_unlink(&h->pending, q);
    calls_end(h, q);
    calls_settled(h, bytes);
}

/* The body is complete: it stands in the list from now on.  A nested request
 * does not wait for those before it, of which one waits for it. */
static void
accept(struct helper *h, struct pending *q, size_t n)
{
    q->bytes = n + WIRE_LIMIT_HEADER_SIZE;
    if (q->flags & WIRE_FLAG_NESTED)
        pending_enlist_sent(&h->pending, q);
    else
        pending_enlist(&h->pending, q);
    h->unasked.since = 0;
    if (++h->stats.requests == h->tell_at)
        drv_tell_atom(&h->base, "calls");
    outstanding_add(h, q->bytes);
}

static void
enqueue(struct helper *h, struct pending *q)
{
    helper_enqueue_request(h, q);
    pending_body_free(q->body);
    q->body = NULL;
}

void
calls_pump(struct helper *h)
{
    while (pending_window_open(&h->pending)) {
        struct pending *q = h->pending.unsent;
        pending_mark_sent(&h->pending);
        enqueue(h, q);
    }
    helper_flush(h);
}

/* The usual case: nothing waits and the window is open, so the body goes out
 * without being kept. */
static int
send_at_once(struct helper *h, struct pending *q, const uint8_t *body, size_t n)
{
    if (q->state == PENDING_QUEUED) {
        if (h->pending.unsent != q || !pending_window_open(&h->pending) ||
            q->bytes > WIRE_LIMIT_WINDOW_BYTES)
            return 0;
        pending_mark_sent(&h->pending);
    }
    helper_write_frame(h, q->opcode, q->flags, q->id, body, n);
    return 1;
}

/* What is to be said of it has not come yet: it will, or its caller asks. */
static ErlDrvSSizeT
reply_id(struct helper *h, struct pending *q, uint8_t code, struct drv_reply *r)
{
    uint64_t id = q->id;
    if (calls_watch(h, q) != 0)
        give_up(h, q);
    return drv_reply_data(r, code, &id, sizeof id);
}

static ErlDrvSSizeT
reply_pending(struct helper *h, struct pending *q, struct drv_reply *r)
{
    return reply_id(h, q, DRV_REPLY_PENDING, r);
}

/* After bet_begin: its frame is written; poll, if that was to be. */
static ErlDrvSSizeT
wait_for(struct helper *h, struct pending *q, int bet, struct drv_reply *r)
{
    ErlDrvSSizeT reply;
    int slot = bet_take_slot(h);
    if (bet && slot && bet_poll(h, q, r, &reply))
        return reply;
    if (bet && !slot)
        bet_off(h);
    return reply_pending(h, q, r);
}

ErlDrvSSizeT
calls_submit(struct helper *h, uint8_t opcode, uint8_t flags,
             const uint8_t *body, size_t n, struct drv_reply *r)
{
    ErlDrvSSizeT reply;
    if (n == 0 || n > WIRE_LIMIT_MAX_FRAME)
        return drv_reply_refused(r, "a request is the ETF of one term");
    struct pending *q = admit(h, opcode, flags, r, &reply);
    if (q == NULL)
        return reply;
    accept(h, q, n);
    q->from = h->bet.from = spin_now();
    int bet = bet_begin(h, q, n);
    if (send_at_once(h, q, body, n))
        return wait_for(h, q, bet, r);
    if (bet)
        bet_off(h);
    if ((q->body = pending_body_copy(body, n)) == NULL) {
        drop_queued(h, q);
        return drv_reply_refused(r, "out of memory");
    }
    calls_pump(h);
    return reply_pending(h, q, r);
}

ErlDrvSSizeT
calls_go_on(struct helper *h, struct pending *q, const struct wire_header *head,
            const uint8_t *body, size_t n, struct drv_reply *r)
{
    h->bet.from = spin_now();
    int bet = bet_begin(h, q, n);
    helper_write_frame(h, head->opcode, 0, head->id, body, n);
    return wait_for(h, q, bet, r);
}

ErlDrvSSizeT
calls_reserve(struct helper *h, const uint8_t *body, size_t n,
              struct drv_reply *r)
{
    ErlDrvSSizeT reply;
    if (n != 2)
        return drv_reply_refused(r, "reserve takes <<Opcode, Flags>>");
    struct pending *q = admit(h, body[0], body[1], r, &reply);
    if (q == NULL)
        return reply;
    int nested = q->flags & WIRE_FLAG_NESTED;
    return reply_id(h, q, nested ? DRV_REPLY_NESTED : DRV_REPLY_PENDING, r);
}

/* Nobody hears what is wrong with a body, but ATTACH answers GONE then. */
void
calls_body(struct helper *h, ErlIOVec *ev)
{
    uint64_t id;
    if (driver_vec_to_buf(ev, (char *)&id, sizeof id) != sizeof id)
        return;
    struct pending *q = pending_find(&h->pending, id);
    size_t n = (size_t)ev->size - sizeof id;
    if (q == NULL || q->state != PENDING_RESERVED ||
        q->caller != driver_caller(h->base.port))
        return;
    if (h->state != HELPER_READY)
        return; /* it stays reserved, and FAIL will answer it */
    q->body = n > WIRE_LIMIT_MAX_FRAME ? NULL : pending_body_vec(ev, sizeof id);
    if (q->body == NULL || n == 0) {
        calls_end(h, q);
        return;
    }
    q->from = spin_now();
    accept(h, q, n);
    if (q->state == PENDING_SENT)
        enqueue(h, q); /* nested */
    calls_pump(h);
}

ErlDrvSSizeT
calls_wait_ready(struct helper *h, const uint8_t *body, size_t n,
                 struct drv_reply *r)
{
    if (n < 1)
        return drv_reply_refused(r, "wait_ready takes a reference");
    if (waiters_add(&h->waiters, &h->base, driver_caller(h->base.port), body,
                    n) != 0)
        return drv_reply_refused(r, "out of memory");
    if (h->state != HELPER_READY)
        waiters_release_all(&h->waiters, &h->base);
    else if (!h->busy)
        waiters_ready(&h->waiters, &h->base);
    return drv_reply(r, DRV_REPLY_OK);
}

/* ---- cancelling --------------------------------------------------------- */

/* The CANCEL frame goes first, then the signal: a request that has not
 * started finds the frame, one that has started is hit by the signal. */
static void
cancel_sent(struct helper *h, struct pending *q)
{
    if (q->cancelled)
        return;
    q->cancelled = 1;
    if (h->held != q) /* else the frame goes with the last byte */
        helper_write_frame(h, WIRE_CANCEL, 0, q->id, NULL, 0);
    if (driver_sizeq(h->base.port) > 0)
        h->resignal = 1;
    helper_signal(h, q->id);
    callbacks_stop_waiting(h, q); /* if it was: the helper goes on by itself */
    calls_start_grace(h);
}

void
calls_resignal(struct helper *h)
{
    h->resignal = 0;
    for (struct pending *q = h->pending.first; q != NULL; q = q->next)
        if (q->cancelled)
            helper_signal(h, q->id);
}

/* Its caller is gone, or will not wait. */
static void
give_up(struct helper *h, struct pending *q)
{
    if (q->state == PENDING_QUEUED) {
        drop_queued(h, q);
        return;
    }
    if (q->state != PENDING_SENT && q->state != PENDING_DETACHED) {
        calls_drop_held(h, q);
        calls_end(h, q);
        return;
    }
    forget_monitor(h, q);
    q->orphan = 1;
    if (q->state == PENDING_SENT)
        cancel_sent(h, q);
    else
        helper_write_frame(h, WIRE_CANCEL, 0, q->id, NULL, 0);
}

ErlDrvSSizeT
calls_cancel(struct helper *h, const uint8_t *body, size_t n,
             struct drv_reply *r)
{
    ErlDrvTermData caller = driver_caller(h->base.port);
    if (n != 8)
        return drv_reply_refused(r, "cancel takes <<Id:8/binary>>");
    if (calls_id(body) == 0) {
        int waited = waiters_remove(&h->waiters, &h->base, caller);
        if (waited && !h->busy)
            waiters_ready(&h->waiters, &h->base);
        return drv_reply(r, waited ? DRV_REPLY_DROPPED : DRV_REPLY_GONE);
    }
    struct pending *q = pending_find(&h->pending, calls_id(body));
    if (q == NULL || q->caller != caller)
        return drv_reply(r, DRV_REPLY_GONE);
    callbacks_stop_waiting(h, q);
    if (q == callbacks_running(h) && q->ref != NULL) {
        cancel_sent(h, q);
        return drv_reply(r, DRV_REPLY_INTERRUPTED);
    }
    give_up(h, q);
    return drv_reply(r, DRV_REPLY_DROPPED);
}

void
calls_exit(struct helper *h, ErlDrvMonitor *m)
{
    if (waiters_exit(&h->waiters, m)) {
        if (!h->busy)
            waiters_ready(&h->waiters, &h->base);
        return;
    }
    for (uint32_t i = 0; i < h->pending.size; i++) {
        struct pending *q = h->pending.slots[i];
        if (q->id == 0 || !q->monitored ||
            driver_compare_monitors(&q->monitor, m) != 0)
            continue;
        q->monitored = 0;
        give_up(h, q);
        return;
    }
}
