/* SPDX-License-Identifier: Apache-2.0 */
/* drv_courier.c - messages that Python sends, to the process that delivers
 * them: the courier.
 *
 * It says how much it has delivered.  While too much is on its way, nothing is
 * read from the helper, whose own output then fills and makes Python wait: so
 * however fast Python sends, memory stays bounded.  What the courier has is
 * less than what it owes us word of, so it always goes on.
 *
 * Used by: drv_helper, drv_ops.   Knows: the helper's port.
 * Does not know: receivers.
 * Errors: E_REFUSED: nobody is there to take it.   Threads: the port's. */
#include "drv_helper.h"

#include <string.h>

#include "err.h"

ErlDrvSSizeT
courier_begin(struct helper *h, const uint8_t *body, size_t n,
              struct drv_reply *r)
{
    (void)body;
    (void)n;
    h->courier.pid = driver_caller(h->base.port);
    h->courier.known = 1;
    return drv_reply(r, DRV_REPLY_OK);
}

/* {py_send, Body} */
static void
pass_on(struct helper *h, const struct drv_frame *f)
{
    ErlDrvTermData spec[12];
    int k = 0;
    spec[k++] = ERL_DRV_ATOM;
    spec[k++] = driver_mk_atom("py_send");
    if (f->bin != NULL) {
        spec[k++] = ERL_DRV_BINARY;
        spec[k++] = (ErlDrvTermData)f->bin;
        spec[k++] = (ErlDrvTermData)f->h.length;
        spec[k++] = 0;
    } else {
        spec[k++] = ERL_DRV_BUF2BINARY;
        spec[k++] = (ErlDrvTermData)f->body;
        spec[k++] = (ErlDrvTermData)f->h.length;
    }
    spec[k++] = ERL_DRV_TUPLE;
    spec[k++] = 2;
    erl_drv_send_term(h->base.term, h->courier.pid, spec, k);
}

static void
stall(struct helper *h)
{
    h->courier.stalled = 1;
    h->stats.stalls++;
    drv_watch(&h->base, h->channel.fd, ERL_DRV_READ, 0);
}

int
courier_take(struct helper *h, const struct drv_frame *f)
{
    if (!h->courier.known)
        return E_REFUSED;
    pass_on(h, f);
    h->stats.sends++;
    h->courier.on_the_way += f->h.length + WIRE_LIMIT_SEND_OVERHEAD;
    if (h->courier.on_the_way >= WIRE_LIMIT_SEND_CREDIT)
        stall(h);
    return 0;
}

ErlDrvSSizeT
courier_sent(struct helper *h, const uint8_t *body, size_t n,
             struct drv_reply *r)
{
    struct helper_courier *c = &h->courier;
    uint64_t bytes;
    if (n != sizeof bytes || !c->known || driver_caller(h->base.port) != c->pid)
        return drv_reply_refused(r, "sent takes <<Bytes:64>> of the courier");
    memcpy(&bytes, body, sizeof bytes);
    c->on_the_way -= bytes < c->on_the_way ? bytes : c->on_the_way;
    if (c->stalled && c->on_the_way <= WIRE_LIMIT_SEND_CREDIT / 2) {
        c->stalled = 0;
        if (h->channel.fd >= 0)
            helper_resume(h);
    }
    return drv_reply(r, DRV_REPLY_OK);
}
