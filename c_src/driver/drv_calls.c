/* SPDX-License-Identifier: Apache-2.0 */
/* drv_calls.c - requests and their answers.
 *
 * Each accepted request has one entry in the pending table from submission to
 * the moment when its answer has been handed over or nobody wants it any
 * more; whichever comes first of answer, cancellation, death of the caller
 * and death of the helper, the entry ends exactly once. */
#include "drv_helper.h"

#include <string.h>

#include "err.h"

static uint64_t
body_id(const uint8_t *body)
{
    uint64_t id;
    memcpy(&id, body, sizeof id);
    return id;
}

static void
forget_monitor(struct helper *h, struct pending *q)
{
    if (q->monitored)
        driver_demonitor_process(h->base.port, &q->monitor);
    q->monitored = 0;
}

static void
end(struct helper *h, struct pending *q)
{
    forget_monitor(h, q);
    helper_forget_held(h, q);
    pending_free(&h->pending, q);
}

/* ---- back-pressure ------------------------------------------------------ */

static void
outstanding_add(struct helper *h, size_t n)
{
    h->stats.outstanding += n;
    if (!h->busy && h->stats.outstanding > WIRE_LIMIT_HIGH_WATER) {
        h->busy = 1;
        set_busy_port(h->base.port, 1);
    }
}

static void
outstanding_sub(struct helper *h, size_t n)
{
    h->stats.outstanding -= n;
    if (h->busy && h->stats.outstanding <= WIRE_LIMIT_HIGH_WATER / 2) {
        h->busy = 0;
        set_busy_port(h->base.port, 0);
    }
    if (!h->busy)
        waiters_ready(&h->waiters, &h->base);
}

/* ---- submitting --------------------------------------------------------- */

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
    if (h->busy || !waiters_admit(&h->waiters, &h->base, caller)) {
        h->stats.busy++;
        *reply = drv_reply(r, DRV_REPLY_BUSY);
        return NULL;
    }
    struct pending *q = pending_new(&h->pending, opcode, flags);
    if (q == NULL) {
        *reply = drv_reply_refused(r, "too many unanswered requests");
        return NULL;
    }
    q->caller = caller;
    q->monitored =
        driver_monitor_process(h->base.port, caller, &q->monitor) == 0;
    return q;
}

/* A request that was not written leaves no trace. */
static void
drop_queued(struct helper *h, struct pending *q)
{
    size_t bytes = q->bytes;
    pending_unlink(&h->pending, q);
    end(h, q);
    outstanding_sub(h, bytes);
}

static ErlDrvSSizeT
reply_pending(struct drv_reply *r, const struct pending *q)
{
    return drv_reply_data(r, DRV_REPLY_PENDING, &q->id, sizeof q->id);
}

/* The body is complete: it stands in the list from now on. */
static void
accept(struct helper *h, struct pending *q, size_t n)
{
    q->bytes = n + WIRE_LIMIT_HEADER_SIZE;
    pending_enlist(&h->pending, q);
    h->stats.requests++;
    outstanding_add(h, q->bytes);
}

void
calls_pump(struct helper *h)
{
    while (pending_window_open(&h->pending)) {
        struct pending *q = h->pending.unsent;
        pending_mark_sent(&h->pending);
        helper_enqueue_request(h, q);
        pending_body_free(q->body);
        q->body = NULL;
    }
    helper_flush(h);
}

/* The usual case: nothing waits and the window is open, so the body goes out
 * without being kept. */
static int
send_at_once(struct helper *h, struct pending *q, const uint8_t *body, size_t n)
{
    if (h->pending.unsent != q || !pending_window_open(&h->pending) ||
        q->bytes > WIRE_LIMIT_WINDOW_BYTES)
        return 0;
    pending_mark_sent(&h->pending);
    helper_write_frame(h, q->opcode, q->flags, q->id, body, n);
    return 1;
}

ErlDrvSSizeT
calls_submit(struct helper *h, uint8_t opcode, const uint8_t *body, size_t n,
             struct drv_reply *r)
{
    ErlDrvSSizeT reply;
    if (n < 1 || n - 1 > WIRE_LIMIT_MAX_FRAME)
        return drv_reply_refused(r, "a request is <<Flags, Etf>>");
    struct pending *q = admit(h, opcode, body[0], r, &reply);
    if (q == NULL)
        return reply;
    accept(h, q, n - 1);
    if (!send_at_once(h, q, body + 1, n - 1)) {
        q->body = pending_body_copy(body + 1, n - 1);
        if (q->body == NULL) {
            drop_queued(h, q);
            return drv_reply_refused(r, "out of memory");
        }
        calls_pump(h);
    }
    return reply_pending(r, q);
}

ErlDrvSSizeT
calls_reserve(struct helper *h, const uint8_t *body, size_t n,
              struct drv_reply *r)
{
    ErlDrvSSizeT reply;
    if (n != 2)
        return drv_reply_refused(r, "reserve takes <<Opcode, Flags>>");
    struct pending *q = admit(h, body[0], body[1], r, &reply);
    return q == NULL ? reply : reply_pending(r, q);
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
        end(h, q);
        return;
    }
    accept(h, q, n);
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

/* ---- answers ------------------------------------------------------------ */

/* {py_answer, Ref, Opcode, Body} to its caller. */
static void
send_answer(struct helper *h, const struct pending *q, uint8_t opcode,
            const uint8_t *body, size_t n, ErlDrvBinary *bin)
{
    ErlDrvTermData spec[16];
    int k = 0;
    spec[k++] = ERL_DRV_ATOM;
    spec[k++] = h->atom_answer;
    spec[k++] = ERL_DRV_EXT2TERM;
    spec[k++] = (ErlDrvTermData)q->ref;
    spec[k++] = q->ref_len;
    spec[k++] = ERL_DRV_UINT;
    spec[k++] = opcode;
    if (bin != NULL) {
        spec[k++] = ERL_DRV_BINARY;
        spec[k++] = (ErlDrvTermData)bin;
        spec[k++] = (ErlDrvTermData)n;
        spec[k++] = (ErlDrvTermData)(body - (uint8_t *)bin->orig_bytes);
    } else {
        spec[k++] = ERL_DRV_BUF2BINARY;
        spec[k++] = (ErlDrvTermData)body;
        spec[k++] = (ErlDrvTermData)n;
    }
    spec[k++] = ERL_DRV_TUPLE;
    spec[k++] = 4;
    erl_drv_send_term(h->base.term, q->caller, spec, k);
}

/* Keep an answer until its caller attaches; without memory it is dropped and
 * the caller's ATTACH gets GONE. */
static void
hold_answer(struct helper *h, struct pending *q, uint8_t opcode,
            const uint8_t *body, size_t n, ErlDrvBinary *bin)
{
    if (bin != NULL) {
        driver_binary_inc_refc(bin);
        q->answer_at = (size_t)(body - (uint8_t *)bin->orig_bytes);
    } else {
        bin = driver_alloc_binary((ErlDrvSizeT)n);
        if (bin == NULL) {
            end(h, q);
            return;
        }
        if (n > 0)
            memcpy(bin->orig_bytes, body, n);
    }
    q->answer = bin;
    q->answer_len = n;
    q->answer_opcode = opcode;
}

/* The one place where a request that was sent ends with an answer. */
static void
settle(struct helper *h, struct pending *q, uint8_t opcode, const uint8_t *body,
       size_t n, ErlDrvBinary *bin)
{
    size_t bytes = q->bytes;
    if (pending_listed(q))
        pending_unlink(&h->pending, q);
    helper_forget_held(h, q);
    q->state = PENDING_ANSWERED;
    if (q->orphan) {
        h->stats.unwanted++;
        end(h, q);
    } else if (q->ref != NULL) {
        send_answer(h, q, opcode, body, n, bin);
        end(h, q);
    } else {
        hold_answer(h, q, opcode, body, n, bin);
    }
    outstanding_sub(h, bytes);
}

/* When a cancelled request becomes the first it may be running: it has the
 * grace period to end. */
static void
start_grace(struct helper *h)
{
    const struct pending *q = h->pending.first;
    if (q == NULL || !q->cancelled) {
        h->grace_id = 0;
    } else if (h->grace_id != q->id) {
        h->grace_id = q->id;
        h->grace_at = helper_now() + h->grace_ms;
    }
    helper_arm_timer(h);
}

static void
count_answer(struct helper *h, uint8_t opcode)
{
    if (opcode == WIRE_RESULT)
        h->stats.answers++;
    else if (opcode == WIRE_ERROR)
        h->stats.errors++;
    else
        h->stats.cancelled++;
}

int
calls_answer(struct helper *h, struct drv_frame *f)
{
    struct pending *q = pending_find(&h->pending, f->h.id);
    int known = q != NULL && q->state == PENDING_SENT;
    if (known) {
        count_answer(h, f->h.opcode);
        settle(h, q, f->h.opcode, f->body, f->h.length, f->bin);
        if (h->grace_id != 0 || h->pending.first != NULL)
            start_grace(h);
    }
    if (f->bin != NULL)
        driver_free_binary(f->bin);
    return known ? 0 : E_REFUSED;
}

static ErlDrvSSizeT
reply_held(struct helper *h, struct pending *q, struct drv_reply *r)
{
    ErlDrvBinary *b = driver_alloc_binary((ErlDrvSizeT)q->answer_len + 2);
    if (b == NULL)
        return drv_reply(r, DRV_REPLY_GONE);
    b->orig_bytes[0] = DRV_REPLY_ANSWER;
    b->orig_bytes[1] = (char)q->answer_opcode;
    memcpy(b->orig_bytes + 2, q->answer->orig_bytes + q->answer_at,
           q->answer_len);
    *r->buf = (char *)b;
    ErlDrvSSizeT n = (ErlDrvSSizeT)q->answer_len + 2;
    end(h, q);
    return n;
}

ErlDrvSSizeT
calls_attach(struct helper *h, const uint8_t *body, size_t n,
             struct drv_reply *r)
{
    if (n <= 8)
        return drv_reply_refused(r, "attach takes <<Id:8/binary, Ref>>");
    struct pending *q = pending_find(&h->pending, body_id(body));
    if (q == NULL || q->caller != driver_caller(h->base.port))
        return drv_reply(r, DRV_REPLY_GONE);
    if (q->state == PENDING_ANSWERED)
        return reply_held(h, q, r);
    uint8_t *ref = driver_alloc(n - 8);
    if (ref == NULL)
        return drv_reply_refused(r, "out of memory");
    memcpy(ref, body + 8, n - 8);
    if (q->ref != NULL)
        driver_free(q->ref);
    q->ref = ref;
    q->ref_len = (uint32_t)(n - 8);
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
    if (q == h->pending.first)
        start_grace(h);
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
    if (q->state != PENDING_SENT) {
        end(h, q);
        return;
    }
    forget_monitor(h, q);
    q->orphan = 1;
    cancel_sent(h, q);
}

ErlDrvSSizeT
calls_cancel(struct helper *h, const uint8_t *body, size_t n,
             struct drv_reply *r)
{
    ErlDrvTermData caller = driver_caller(h->base.port);
    if (n != 8)
        return drv_reply_refused(r, "cancel takes <<Id:8/binary>>");
    if (body_id(body) == 0) {
        int waited = waiters_remove(&h->waiters, &h->base, caller);
        if (waited && !h->busy)
            waiters_ready(&h->waiters, &h->base);
        return drv_reply(r, waited ? DRV_REPLY_DROPPED : DRV_REPLY_GONE);
    }
    struct pending *q = pending_find(&h->pending, body_id(body));
    if (q == NULL || q->caller != caller)
        return drv_reply(r, DRV_REPLY_GONE);
    if (q == h->pending.first && q->ref != NULL) {
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

/* ---- the helper is gone ------------------------------------------------- */

ErlDrvSSizeT
calls_fail(struct helper *h, const uint8_t *body, size_t n, struct drv_reply *r)
{
    ErlDrvBinary *bin = driver_alloc_binary((ErlDrvSizeT)n);
    if (bin == NULL)
        return drv_reply_refused(r, "out of memory");
    memcpy(bin->orig_bytes, body, n);
    h->state = HELPER_CLOSED;
    for (uint32_t i = 0; i < h->pending.size; i++) {
        struct pending *q = h->pending.slots[i];
        if (q->id != 0 && q->state != PENDING_ANSWERED)
            settle(h, q, 0, (uint8_t *)bin->orig_bytes, n, bin);
    }
    driver_free_binary(bin);
    waiters_release_all(&h->waiters, &h->base);
    return drv_reply(r, DRV_REPLY_OK);
}
