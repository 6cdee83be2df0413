/* SPDX-License-Identifier: Apache-2.0 */
/* drv_bet.c - polling for an answer, so that it can be the result of the
 * port_control that asked for it.
 *
 * Only for a request that is alone on its port, but for those that wait for
 * callbacks: behind others it would wait for them.  While we poll, the lane is
 * not armed, so the helper does not ring. No scheduler is held longer than the
 * budget. */
#include "drv_helper.h"

#include <string.h>

#include "err.h"

/* A helper that is awake has taken the request by then, or does not run. */
#define PICKED_UP_NS 3000u
/* A look at the clock costs, so not every bet that is won is timed. */
enum { TIMED_ONE_IN = 8 };

static uint64_t
linger_ns(const struct helper *h)
{
    return (uint64_t)h->bet.max_ns * WIRE_LIMIT_LINGER_FACTOR;
}

int
bet_take_slot(struct helper *h)
{
    uint64_t linger = linger_ns(h);
    if (h->bet.max_ns == 0 || !channel_has_lane(&h->channel))
        return 0;
    int got =
        drv_lease_take(&h->bet.lease, h->bet.from, h->bet.max_ns + linger);
    uint32_t ns = got ? (uint32_t)linger : 0;
    if (h->bet.granted_ns != ns)
        lane_set_linger(&h->channel.lane, ns);
    h->bet.granted_ns = ns;
    return got;
}

/* Is it the next to run, and do all others wait for callbacks? */
static int
is_alone(const struct helper *h, const struct pending *q)
{
    const struct pending_table *t = &h->pending;
    const struct pending *top = h->top;
    uint32_t own = q->state == PENDING_SENT && !q->begun;
    if (top != NULL && top != q && (!top->calling || q->begun))
        return 0;
    return t->wire_count == own &&
           (t->unsent == NULL || (t->unsent == q && q->next == NULL));
}

int
bet_begin(struct helper *h, struct pending *q, size_t n)
{
    if (h->bet.max_ns == 0 || !channel_has_lane(&h->channel))
        return 0;
    if (!is_alone(h, q) || n >= LANE_INLINE || driver_sizeq(h->base.port) > 0 ||
        lane_peer_sleeps(&h->channel.lane) || !spin_is_due(&h->bet.spin))
        return 0;
    if (h->armed != 0)
        channel_disarm(&h->channel);
    h->armed = 0;
    h->bet.on = q;
    lane_hold(&h->channel.lane);
    return 1;
}

void
bet_off(struct helper *h)
{
    h->bet.on = NULL;
    lane_release(&h->channel.lane);
}

void
bet_let_go(struct helper *h, const struct pending *q)
{
    if (h->bet.on != q)
        return;
    h->bet.on = NULL;
    h->bet.reply = -1;
}

/* 1 when there is something to read.  At first the bell is held back: most
 * answers come before the helper could have gone to sleep. */
static int
poll_lane(struct helper *h, uint64_t from, uint32_t budget)
{
    struct lane *l = &h->channel.lane;
    uint32_t first = budget < PICKED_UP_NS ? budget : PICKED_UP_NS;
    if (spin_for_data(l, from, first))
        return 1;
    lane_release(l);
    return lane_is_taken(l) && spin_for_data(l, from, budget);
}

/* Read as long as q is not answered.  What comes may be a crumb of the answer,
 * sent so that we go on; so the budget is looked at after each read. */
static void
read_for(struct helper *h, const struct pending *q, uint32_t budget)
{
    while (poll_lane(h, h->bet.from, budget))
        if (helper_read(h) != 0 || h->bet.on != q ||
            spin_now() - h->bet.from >= budget)
            return;
}

int
bet_poll(struct helper *h, struct pending *q, struct drv_reply *r,
         ErlDrvSSizeT *size)
{
    struct helper_bet *b = &h->bet;
    uint32_t budget = spin_budget(&b->spin, b->max_ns);
    b->to = r;
    read_for(h, q, budget);
    if (h->channel.fd >= 0)
        lane_release(&h->channel.lane);
    int won = b->on != q;
    b->on = NULL;
    b->to = NULL;
    if (won) {
        h->stats.spun++;
        spin_won(&b->spin);
        if (h->stats.spun % TIMED_ONE_IN == 0)
            spin_took(&b->spin, spin_now() - b->from);
        *size = b->reply;
    } else {
        spin_lost(&b->spin, b->max_ns);
        h->stats.spin_lost++;
    }
    return won && b->reply >= 0;
}

int
bet_settle(struct helper *h, const struct pending *q, uint8_t opcode,
           const uint8_t *body, size_t n, const ErlDrvBinary *bin)
{
    if (h->bet.on != q)
        return 0;
    h->bet.on = NULL;
    h->bet.reply = -1;
    if (bin != NULL)
        return 0;
    h->bet.reply = opcode == WIRE_CALLBACK
                       ? drv_reply_callback(h->bet.to, q->id, body, n)
                       : drv_reply_answer(h->bet.to, opcode, body, n);
    return 1;
}
