/* SPDX-License-Identifier: Apache-2.0 */
/* drv_callbacks.c - callbacks: from the helper's question to the process that
 * answers it; and which request runs while others wait for such answers.
 *
 * A request begins to run when those before it have ended, so that the first in
 * the list is the one that runs.  While one waits for a callback others run,
 * and the helper says which (STARTED), as it does of every nested one: it may
 * come too late for the request that it was nested in.  Those begun are a
 * stack, as in the helper: only its top can run.
 *
 * One that runs may let others go first (YIELDED).  It is no longer on the
 * stack then, nor has it a place in the order any more: the helper tells when
 * it goes on, as of a nested one. */
#include "drv_helper.h"

#include <string.h>

#include "err.h"
#include "etf_tags.h"

/* ---- the stack ----------------------------------------------------------- */

/* The helper has read all of it: it keeps nobody from submitting, or a process
 * that the callback waits for could be one of them. */
static void
push(struct helper *h, struct pending *q)
{
    size_t bytes = q->bytes;
    if (!q->yielded) /* else it has been read long since */
        pending_begin(&h->pending, q);
    q->begun = 1;
    q->bytes = 0;
    q->below = h->top;
    h->top = q;
    calls_settled(h, bytes);
}

/* Whatever stands before it in the list: only the helper knows when it runs. */
static int
is_out_of_order(const struct pending *q)
{
    return (q->flags & WIRE_FLAG_NESTED) || q->yielded;
}

struct pending *
callbacks_top(const struct helper *h)
{
    struct pending *q = h->pending.first;
    if (h->top != NULL)
        return h->top;
    while (q != NULL && is_out_of_order(q))
        q = q->next;
    return q != NULL && q->state == PENDING_SENT ? q : NULL;
}

struct pending *
callbacks_running(const struct helper *h)
{
    struct pending *q = callbacks_top(h);
    return q != NULL && !q->calling ? q : NULL;
}

void
callbacks_stop_waiting(struct helper *h, struct pending *q)
{
    if (q->calling)
        h->calling--;
    q->calling = 0;
}

void
callbacks_forget(struct helper *h, struct pending *q)
{
    callbacks_stop_waiting(h, q);
    if (!q->begun)
        return;
    struct pending **at = &h->top;
    while (*at != q)
        at = &(*at)->below;
    *at = q->below;
    q->begun = 0;
}

int
callbacks_is_nested(const struct helper *h, ErlDrvTermData caller)
{
    if (h->calling == 0)
        return 0;
    for (const struct pending *q = h->top; q != NULL; q = q->below)
        if (q->calling && q->caller == caller)
            return 1;
    return 0;
}

static int
started(struct helper *h, struct pending *q)
{
    if (q == NULL || q->state != PENDING_SENT || q->begun)
        return E_REFUSED;
    if (h->top == NULL && !is_out_of_order(q) && q != callbacks_top(h))
        return E_REFUSED;
    push(h, q);
    return 0;
}

static int
yielded(struct helper *h, struct pending *q)
{
    if (q == NULL || q->state != PENDING_SENT || q != callbacks_running(h) ||
        (q->flags & WIRE_FLAG_NESTED))
        return E_REFUSED;
    if (!q->begun)
        push(h, q);
    callbacks_forget(h, q);
    q->yielded = 1;
    return 0;
}

int
callbacks_told(struct helper *h, uint8_t opcode, uint64_t id)
{
    struct pending *q = pending_find(&h->pending, id);
    int e = opcode == WIRE_STARTED ? started(h, q) : yielded(h, q);
    if (e == 0)
        calls_start_grace(h);
    return e;
}

/* ---- to the caller ------------------------------------------------------- */

static int
is_from_running(const struct helper *h, const struct pending *q)
{
    return q != NULL && q->state == PENDING_SENT && q == callbacks_top(h);
}

/* {Number, Name, Args, Kwargs}, as far as Erlang relies on it: the number is of
 * 64 bits with the highest one set, so that it always has this form. */
static int
is_question(const struct drv_frame *f)
{
    static const uint8_t head[] = {131, 104, 4, 110, 8, 0};
    return f->h.length > sizeof head + 8 &&
           memcmp(f->body, head, sizeof head) == 0 &&
           f->body[sizeof head + 7] & 0x80;
}

/* A function of a user's?  A tuple is the name of a service of our own. */
static int
is_of_user(const struct drv_frame *f)
{
    enum { NAME_AT = 14 }; /* what is_question has looked at ends there */
    return f->h.length > NAME_AT && f->body[NAME_AT] != ETF_SMALL_TUPLE;
}

/* Count one more.  1: that is more than the policy allows. */
static int
is_over(const struct helper *h, const struct drv_frame *f, uint32_t *count)
{
    return h->limits.callbacks != 0 && is_of_user(f) &&
           ++*count > h->limits.callbacks;
}

/* Nobody waits for these, so it is only by their number and size that they are
 * kept from filling the owner's mailbox.  An honest helper has one for each of
 * its threads; not to read from it meanwhile would keep back what they wait
 * for. */
static int
ask_owner(struct helper *h, const struct drv_frame *f)
{
    struct helper_unasked *u = &h->unasked;
    if (u->count >= WIRE_LIMIT_UNASKED ||
        u->bytes + f->h.length > helper_backlog(h))
        return E_LIMIT;
    if (is_over(h, f, &u->since)) {
        helper_over(h, "callbacks");
        return 0;
    }
    u->count++;
    u->bytes += f->h.length;
    drv_tell_binary(&h->base, "callback", f->body, f->h.length);
    return 0;
}

/* A request that was cancelled goes on by itself: its callback is not run. */
int
callbacks_take(struct helper *h, struct drv_frame *f)
{
    struct pending *q;
    if (!is_question(f))
        return E_REFUSED;
    if (f->h.id == 0)
        return ask_owner(h, f);
    q = pending_find(&h->pending, f->h.id);
    if (!is_from_running(h, q))
        return E_REFUSED;
    if (!q->begun)
        push(h, q);
    h->stats.callbacks++;
    if (q->cancelled)
        return 0;
    if (is_over(h, f, &q->callbacks)) {
        helper_over(h, "callbacks");
        return 0;
    }
    if (h->limits.depth != 0 && !q->calling && h->calling >= h->limits.depth) {
        helper_over(h, "callback_depth");
        return 0;
    }
    h->calling += !q->calling;
    q->calling = 1;
    calls_deliver(h, q, f->h.opcode, f->body, f->h.length, f->bin);
    return 0;
}

/* ---- and back ------------------------------------------------------------ */

enum { RESUME_HEAD = 17, REPLY_HEAD = 9 };

static int
is_callback_answer(uint8_t opcode)
{
    return opcode == WIRE_CALLED || opcode == WIRE_RAISED;
}

ErlDrvSSizeT
callbacks_resume(struct helper *h, const uint8_t *body, size_t n,
                 struct drv_reply *r)
{
    if (n < RESUME_HEAD || !is_callback_answer(body[16]))
        return drv_reply_refused(r, "resume takes <<Id, Number, Opcode, Etf>>");
    struct pending *q = pending_find(&h->pending, calls_id(body));
    if (q == NULL || q->caller != driver_caller(h->base.port))
        return drv_reply(r, DRV_REPLY_GONE);
    if (q->answer != NULL && q->state == PENDING_SENT)
        return calls_reply_held(h, q, r); /* it waits for another by now */
    callbacks_stop_waiting(h, q);
    if (q->answer != NULL)
        return calls_reply_held(h, q, r);
    if (q->state != PENDING_SENT)
        return drv_reply(r, DRV_REPLY_GONE);
    calls_start_grace(h);
    struct wire_header head = {.opcode = body[16], .id = calls_id(body + 8)};
    return calls_go_on(h, q, &head, body + RESUME_HEAD, n - RESUME_HEAD, r);
}

ErlDrvSSizeT
callbacks_served(struct helper *h, const uint8_t *body, size_t n,
                 struct drv_reply *r)
{
    struct helper_unasked *u = &h->unasked;
    if (n != 8 || u->count == 0 || calls_id(body) > u->bytes)
        return drv_reply_refused(r, "served takes <<Bytes:64>> of a callback");
    u->count--;
    u->bytes -= calls_id(body);
    return drv_reply(r, DRV_REPLY_OK);
}

ErlDrvSSizeT
callbacks_reply(struct helper *h, const uint8_t *body, size_t n,
                struct drv_reply *r)
{
    if (n < REPLY_HEAD || !is_callback_answer(body[8]))
        return drv_reply_refused(r, "reply takes <<Number, Opcode, Etf>>");
    if (h->state != HELPER_READY)
        return drv_reply(r, DRV_REPLY_DOWN);
    helper_write_frame(h, body[8], 0, calls_id(body), body + REPLY_HEAD,
                       n - REPLY_HEAD);
    return drv_reply(r, DRV_REPLY_OK);
}
