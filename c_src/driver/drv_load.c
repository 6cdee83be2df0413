/* SPDX-License-Identifier: Apache-2.0 */
#include "drv_load.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "drv.h"
#include "wire.h"

static struct {
    _Alignas(64) _Atomic uint32_t requests;
} places[LOAD_PLACES];

int
load_begin(struct load *l, uint32_t place)
{
    if (place >= LOAD_PLACES)
        return -1;
    load_end(l);
    l->place = place;
    return 0;
}

void
load_count(struct load *l, int n)
{
    l->here += (uint32_t)n;
    atomic_fetch_add_explicit(&places[l->place].requests, (uint32_t)n,
                              memory_order_relaxed);
}

void
load_end(struct load *l)
{
    if (l->here != 0)
        load_count(l, -(int)l->here);
}

/* ---- the port ------------------------------------------------------------ */

/* The index of the least among n places; the first of equals, from `from` on,
 * so that callers who begin at different ones do not meet. */
static uint32_t
least(const uint8_t *body, uint32_t n, uint32_t from)
{
    uint32_t best = from % n, lowest = UINT32_MAX, place;
    for (uint32_t i = 0; i < n && lowest > 0; i++) {
        uint32_t at = (from + i) % n;
        memcpy(&place, body + at * sizeof place, sizeof place);
        uint32_t v = place < LOAD_PLACES
                         ? atomic_load_explicit(&places[place].requests,
                                                memory_order_relaxed)
                         : UINT32_MAX;
        if (v < lowest) {
            lowest = v;
            best = at;
        }
    }
    return best;
}

static ErlDrvSSizeT
load_control(struct drv_port *p, unsigned op, const uint8_t *body, size_t n,
             struct drv_reply *r)
{
    (void)p;
    if ((op & 0xff) != DRV_OP_LEAST || n < 4 || n > 4 * LOAD_PLACES ||
        n % 4 != 0)
        return drv_reply_refused(r, "least takes <<Place:32, ...>>");
    uint32_t best = least(body, (uint32_t)(n / 4), op >> 8);
    return drv_reply_data(r, DRV_REPLY_OK, &best, sizeof best);
}

static void
load_stop(struct drv_port *p)
{
    driver_free(p);
}

static void
load_nothing(struct drv_port *p)
{
    (void)p;
}

static void
load_outputv(struct drv_port *p, ErlIOVec *ev)
{
    (void)p;
    (void)ev;
}

static const struct drv_ops load_ops = {
    .control = load_control,
    .outputv = load_outputv,
    .flush = load_nothing,
    .stop = load_stop,
};

struct drv_port *
drv_load_start(ErlDrvPort port)
{
    struct drv_port *p = driver_alloc(sizeof *p);
    if (p == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    memset(p, 0, sizeof *p);
    p->ops = &load_ops;
    p->port = port;
    p->term = driver_mk_port(port);
    return p;
}
