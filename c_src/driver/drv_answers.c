/* SPDX-License-Identifier: Apache-2.0 */
/* drv_answers.c - from a helper's answer to the process that waits for it: as
 * the result of its port_control, as a message, or kept until it says where
 * to. */
#include "drv_helper.h"

#include <string.h>

#include "err.h"

enum { ATTACH_COPIES = 4096 }; /* a longer answer comes as a message */

/* {py_answer, Ref, Opcode, Body} to its caller.  1, or 0: it is dead. */
static int
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
    return erl_drv_send_term(h->base.term, q->caller, spec, k) > 0;
}

/* Keep an answer until its caller attaches; without memory it is dropped and
 * the caller's ATTACH gets GONE. */
static void
hold_answer(struct helper *h, struct pending *q, uint8_t opcode,
            const uint8_t *body, size_t n, ErlDrvBinary *bin)
{
    if (q->answer != NULL) /* a callback that was given up for another */
        driver_free_binary(q->answer);
    q->answer = NULL;
    if (bin != NULL) {
        driver_binary_inc_refc(bin);
        q->answer_at = (size_t)(body - (uint8_t *)bin->orig_bytes);
    } else {
        bin = driver_alloc_binary((ErlDrvSizeT)n);
        if (bin == NULL) {
            calls_end(h, q);
            return;
        }
        if (n > 0)
            memcpy(bin->orig_bytes, body, n);
    }
    q->answer = bin;
    q->answer_len = n;
    q->answer_opcode = opcode;
}

void
calls_deliver(struct helper *h, struct pending *q, uint8_t opcode,
              const uint8_t *body, size_t n, ErlDrvBinary *bin)
{
    if (bet_settle(h, q, opcode, body, n, bin)) {
        calls_watch(h, q); /* it is the one that runs here */
    } else if (q->ref != NULL) {
        send_answer(h, q, opcode, body, n, bin);
        driver_free(q->ref);
        q->ref = NULL;
    } else {
        hold_answer(h, q, opcode, body, n, bin);
    }
}

static void
measure(struct helper *h, const struct pending *q)
{
    int polled = h->bet.on == q;
    if (q->from == 0 || (polled && !latency_is_due(&h->latency)))
        return;
    latency_add(&h->latency, spin_now() - q->from, polled ? LATENCY_ONE_IN : 1);
}

/* The answer is a reference that nobody will hold: <<131, Number>> becomes
 * {Number}, which is for RELEASE. */
static void
release_reference(struct helper *h, const struct pending *q, uint8_t opcode,
                  const uint8_t *body, size_t n)
{
    enum { LONGEST = 16 };
    uint8_t release[LONGEST + 2] = {131, 104, 1};
    if (opcode != WIRE_RESULT || n < 2 || n > LONGEST ||
        !(q->flags & (WIRE_FLAG_RETURN_REF | WIRE_FLAG_STREAM)))
        return;
    memcpy(release + 3, body + 1, n - 1);
    helper_write_frame(h, WIRE_RELEASE, 0, 0, release, n + 2);
}

void
calls_drop_held(struct helper *h, const struct pending *q)
{
    if (q->answer != NULL)
        release_reference(h, q, q->answer_opcode,
                          (uint8_t *)q->answer->orig_bytes + q->answer_at,
                          q->answer_len);
}

/* The one place where a request that was sent ends with an answer. */
static void
settle(struct helper *h, struct pending *q, uint8_t opcode, const uint8_t *body,
       size_t n, ErlDrvBinary *bin)
{
    size_t bytes = q->bytes;
    if (!(q->flags & WIRE_FLAG_NESTED))
        h->ended++;
    if (pending_listed(q))
        pending_unlink(&h->pending, q);
    else if (q->state == PENDING_DETACHED) {
        h->detached--;
        load_add(&h->load, -1);
    }
    helper_forget_held(h, q);
    callbacks_forget(h, q);
    q->state = PENDING_ANSWERED;
    if (bet_settle(h, q, opcode, body, n, bin)) {
        calls_end(h, q);
    } else if (q->orphan) {
        h->stats.unwanted++;
        release_reference(h, q, opcode, body, n);
        calls_end(h, q);
    } else if (q->ref != NULL) {
        if (!send_answer(h, q, opcode, body, n, bin))
            release_reference(h, q, opcode, body, n);
        calls_end(h, q);
    } else {
        hold_answer(h, q, opcode, body, n, bin);
    }
    calls_settled(h, bytes);
}

void
calls_start_grace(struct helper *h)
{
    const struct pending *q = callbacks_running(h);
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

/* The line goes on without it. */
static int
detached(struct helper *h, struct pending *q)
{
    if (q == NULL || q->state != PENDING_SENT || !(q->flags & WIRE_FLAG_ASYNC))
        return E_REFUSED;
    size_t bytes = q->bytes;
    pending_unlink(&h->pending, q);
    helper_forget_held(h, q);
    callbacks_forget(h, q);
    bet_let_go(h, q);
    q->state = PENDING_DETACHED;
    q->bytes = 0;
    h->detached++;
    calls_settled(h, bytes);
    load_add(&h->load, 1); /* it is still at work */
    calls_start_grace(h);
    return 0;
}

int
calls_answer(struct helper *h, struct drv_frame *f)
{
    struct pending *q = pending_find(&h->pending, f->h.id);
    if (f->h.opcode == WIRE_DETACHED)
        return detached(h, q);
    int known =
        q != NULL && (q->state == PENDING_SENT || q->state == PENDING_DETACHED);
    if (known && f->h.opcode == WIRE_CANCELLED)
        known = q->cancelled || q->orphan; /* else nobody has asked for it */
    if (known) {
        count_answer(h, f->h.opcode);
        if (f->h.opcode != WIRE_CANCELLED)
            measure(h, q);
        settle(h, q, f->h.opcode, f->body, f->h.length, f->bin);
        if (h->grace_id != 0 || h->pending.first != NULL)
            calls_start_grace(h);
    }
    if (f->bin != NULL)
        driver_free_binary(f->bin);
    return known ? 0 : E_REFUSED;
}

ErlDrvSSizeT
calls_reply_held(struct helper *h, struct pending *q, struct drv_reply *r)
{
    const char *body = q->answer->orig_bytes + q->answer_at;
    int ended = q->state == PENDING_ANSWERED;
    ErlDrvSSizeT n =
        ended ? drv_reply_answer(r, q->answer_opcode, body, q->answer_len)
              : drv_reply_callback(r, q->id, body, q->answer_len);
    if (n == 0)
        return drv_reply(r, DRV_REPLY_GONE);
    if (ended) {
        calls_end(h, q);
    } else {
        driver_free_binary(q->answer);
        q->answer = NULL;
    }
    return n;
}

ErlDrvSSizeT
calls_attach(struct helper *h, const uint8_t *body, size_t n,
             struct drv_reply *r)
{
    if (n <= 8)
        return drv_reply_refused(r, "attach takes <<Id:8/binary, Ref>>");
    struct pending *q = pending_find(&h->pending, calls_id(body));
    if (q == NULL || q->caller != driver_caller(h->base.port))
        return drv_reply(r, DRV_REPLY_GONE);
    if (q->answer != NULL &&
        (q->state == PENDING_SENT || q->answer_len < ATTACH_COPIES))
        return calls_reply_held(h, q, r);
    uint8_t *ref = driver_alloc(n - 8);
    if (ref == NULL)
        return drv_reply_refused(r, "out of memory");
    memcpy(ref, body + 8, n - 8);
    if (q->ref != NULL)
        driver_free(q->ref);
    q->ref = ref;
    q->ref_len = (uint32_t)(n - 8);
    if (q->state == PENDING_ANSWERED) {
        send_answer(h, q, q->answer_opcode,
                    (uint8_t *)q->answer->orig_bytes + q->answer_at,
                    q->answer_len, q->answer);
        calls_end(h, q);
    }
    return drv_reply(r, DRV_REPLY_OK);
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
    helper_hang_up(h);
    waiters_release_all(&h->waiters, &h->base);
    return drv_reply(r, DRV_REPLY_OK);
}
