/* SPDX-License-Identifier: Apache-2.0 */
#include "turn.h"

#include "session.h"
#include "spin.h"

enum {
    FOREIGN_MAX = 64,      /* calls that wait, on top of which they are free */
    FREE_NS = 50000000,    /* so long they are, whoever could go on below */
    HOLD_MIN_NS = 1000000, /* and then after so long, at first */
    HOLD_MAX_NS = 64000000
};

enum why { FREE, IN_THE_WAY, TOO_DEEP };

/* Why should what others ask for not be run on top? */
static enum why
why_not(const struct calls *all)
{
    int depth = 0;
    enum why why = FREE;
    for (const struct call *c = all->top; c != NULL; c = c->below) {
        if (++depth > FOREIGN_MAX)
            return TOO_DEEP;
        if (c->answer != NULL || call_is_cancelled(c))
            why = IN_THE_WAY; /* of one that could go on */
    }
    return why;
}

/* For how long (ns)? */
static uint64_t
waited(uint64_t *since, uint64_t now)
{
    if (*since == 0)
        *since = now;
    return now - *since;
}

/* Others that are in the way are let in for a while, and then one by one, each
 * later than the one before: those below can not be kept from going on for
 * ever, nor is one kept out for ever that somebody waits for. */
int
turn_of_others(struct session *s, struct call *c)
{
    struct calls *all = &s->calls;
    enum why why = why_not(all);
    if (why == FREE) {
        all->free_since = c->held_since = 0;
        all->hold_ns = HOLD_MIN_NS;
        return 1;
    }
    uint64_t now = spin_now();
    if (!session_has_foreign(s))
        return 1;
    if (waited(&all->free_since, now) < FREE_NS && why != TOO_DEEP)
        return 1;
    if (waited(&c->held_since, now) < all->hold_ns)
        return 0;
    c->held_since = 0;
    if (all->hold_ns < HOLD_MAX_NS)
        all->hold_ns *= 2;
    return 1;
}

/* None of them is held back: for ever. */
int
turn_patience_ms(const struct session *s, const struct call *c)
{
    return c->held_since != 0 ? (int)(s->calls.hold_ns / HOLD_MIN_NS) : -1;
}
