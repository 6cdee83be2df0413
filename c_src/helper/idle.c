/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "idle.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "err.h"
#include "forked.h"
#include "interrupt.h"

enum {
    SHORT_MS = 50,          /* a wait that need not be exact about signals */
    HOLD_NS = 2000,         /* polled with the GIL held: releasing it costs */
    HOLD_TURNS = 64,        /* so many times, then other threads get theirs */
    LINGER_MAX_NS = 1000000 /* whatever the VM says */
};

static uint32_t
linger_ns(const struct channel *c)
{
    uint32_t ns = channel_has_lane(c) ? lane_linger(&c->lane) : 0;
    return ns < LINGER_MAX_NS ? ns : LINGER_MAX_NS;
}

void
idle_begin(struct idle *w, struct channel *c)
{
    w->bet = linger_ns(c) > 0 && spin_is_due(&w->spin);
    if (w->bet && !lane_peer_sleeps(&c->lane))
        channel_hold(c);
}

/* A moment with the GIL held, then longer without. */
static int
poll_lane(struct idle *w, struct channel *c, uint32_t ns)
{
    uint64_t from = spin_now();
    int r = 0;
    if (++w->turns < HOLD_TURNS)
        r = spin_for_data(&c->lane, from, ns < HOLD_NS ? ns : HOLD_NS);
    channel_release(c);
    if (r)
        return 1;
    w->turns = 0;
    Py_BEGIN_ALLOW_THREADS r = spin_for_data(&c->lane, from, ns);
    Py_END_ALLOW_THREADS return r;
}

int
idle_linger(struct idle *w, struct channel *c)
{
    uint32_t ns = linger_ns(c);
    if (!w->bet)
        return 0;
    w->bet = 0;
    int r = poll_lane(w, c, ns);
    if (r)
        spin_won(&w->spin);
    else
        spin_lost(&w->spin, 0);
    return r;
}

static int
wait_short(struct channel *c, int want, int timeout_ms)
{
    int r;
    Py_BEGIN_ALLOW_THREADS r = channel_wait(c, want, timeout_ms);
    Py_END_ALLOW_THREADS return r;
}

/* Sleep with the signals held back until the sleep has begun. */
static int
sleep_exactly(struct channel *c, short events, int timeout_ms,
              const sigset_t *unblocked)
{
    struct pollfd p = {.fd = c->fd, .events = events};
    struct timespec t = {.tv_sec = timeout_ms / 1000,
                         .tv_nsec = timeout_ms % 1000 * 1000000L};
    int k, saved;
    Py_BEGIN_ALLOW_THREADS k =
        ppoll(&p, 1, timeout_ms < 0 ? NULL : &t, unblocked);
    saved = errno;
    Py_END_ALLOW_THREADS errno = saved;
    return k;
}

/* A signal may come just before a wait and not end it.  A short wait puts up
 * with that; a long one is only entered with the signals held back. */
static int
wait_long(struct channel *c, int want, int timeout_ms)
{
    sigset_t all, old;
    short events;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    interrupt_idle();
    int k = channel_arm(c, want, &events);
    int polled = k == 0;
    if (polled)
        k = sleep_exactly(c, events, timeout_ms, &old);
    int saved = errno;
    channel_disarm(c);
    if (polled && k > 0)
        channel_polled(c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return k >= 0 ? k : saved == EINTR ? E_AGAIN : E_SYS;
}

int
idle_wait(struct channel *c, int want, int timeout_ms)
{
    int is_long = timeout_ms < 0 || timeout_ms > SHORT_MS;
    int r = wait_short(c, want, is_long ? SHORT_MS : timeout_ms);
    if (r == 0 && is_long)
        r = wait_long(c, want, timeout_ms < 0 ? -1 : timeout_ms - SHORT_MS);
    if (r != E_AGAIN)
        return r;
    interrupt_idle();
    if (forked()) /* by a signal handler */
        forked_exit(NULL);
    return 0;
}
