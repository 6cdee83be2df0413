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

/* Both descriptors: the channel's, and the one by which another thread says
 * that it has read something for us. */
static int
set_poll(const struct idle *w, const struct channel *c, short events,
         struct pollfd p[2])
{
    p[0] = (struct pollfd){.fd = c->fd, .events = events};
    p[1] = (struct pollfd){.fd = w->nudge.fd, .events = POLLIN};
    return w->nudge.fd >= 0 ? 2 : 1;
}

/* After poll: k as it returned. */
static int
polled(struct idle *w, struct channel *c, const struct pollfd p[2], int n,
       int k)
{
    if (k > 0 && p[0].revents != 0)
        channel_polled(c);
    if (k > 0 && n == 2 && p[1].revents != 0)
        nudge_take(&w->nudge);
    return k > 0;
}

static int
wait_short(struct idle *w, struct channel *c, int want, int timeout_ms)
{
    struct pollfd p[2];
    short events;
    if (idle_arm(w, c, want, &events))
        return 1;
    int n = set_poll(w, c, events, p), k, saved;
    Py_BEGIN_ALLOW_THREADS k = poll(p, (nfds_t)n, timeout_ms);
    saved = errno;
    Py_END_ALLOW_THREADS idle_disarm(w, c);
    if (k < 0)
        return saved == EINTR ? E_AGAIN : E_SYS;
    return polled(w, c, p, n, k);
}

/* Sleep with the signals held back until the sleep has begun. */
static int
sleep_exactly(struct pollfd *p, int n, int timeout_ms,
              const sigset_t *unblocked)
{
    struct timespec t = {.tv_sec = timeout_ms / 1000,
                         .tv_nsec = timeout_ms % 1000 * 1000000L};
    int k, saved;
    Py_BEGIN_ALLOW_THREADS k =
        ppoll(p, (nfds_t)n, timeout_ms < 0 ? NULL : &t, unblocked);
    saved = errno;
    Py_END_ALLOW_THREADS errno = saved;
    return k;
}

/* A signal may come just before a wait and not end it.  A short wait puts up
 * with that; a long one is only entered with the signals held back. */
static int
wait_long(struct idle *w, struct channel *c, int want, int timeout_ms)
{
    struct pollfd p[2];
    sigset_t all, old;
    short events;
    int k = 0, saved = 0, n;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int ready = interrupt_check() < 0 || idle_arm(w, c, want, &events);
    if (!ready) {
        n = set_poll(w, c, events, p);
        k = sleep_exactly(p, n, timeout_ms, &old);
        saved = errno;
        ready = polled(w, c, p, n, k);
    }
    idle_disarm(w, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (k < 0)
        return saved == EINTR ? E_AGAIN : E_SYS;
    return ready;
}

int
idle_wait(struct idle *w, struct channel *c, int want, int timeout_ms)
{
    int is_long = timeout_ms < 0 || timeout_ms > SHORT_MS;
    int r = wait_short(w, c, want, is_long ? SHORT_MS : timeout_ms);
    if (r == 0 && is_long)
        r = wait_long(w, c, want, timeout_ms < 0 ? -1 : timeout_ms - SHORT_MS);
    if (r != E_AGAIN)
        return r;
    (void)interrupt_check();
    if (forked()) /* by a signal handler */
        forked_exit(NULL);
    return 0;
}

/* ---- other threads --------------------------------------------------------
 */

/* What the VM is to ring for: for us, and for the threads that wait. */
int
idle_arm(struct idle *w, struct channel *c, int want, short *events)
{
    w->want = want;
    return channel_arm(c, want | (w->others > 0 ? CHANNEL_READ : 0), events);
}

void
idle_disarm(struct idle *w, struct channel *c)
{
    w->want = 0;
    if (w->others == 0)
        channel_disarm(c);
}

int
idle_arm_for_others(struct idle *w, struct channel *c)
{
    short events;
    int want = w->want | (w->others > 0 ? CHANNEL_READ : 0);
    if (want == 0 || !channel_arm(c, want, &events))
        return 0;
    if (w->want & CHANNEL_WRITE) {
        w->want &= ~CHANNEL_WRITE;
        nudge_give(&w->nudge);
    }
    return 1;
}

int
idle_wait_as_other(struct idle *w, struct channel *c, struct nudge *nudge)
{
    struct pollfd p[2] = {{.fd = c->fd, .events = POLLIN},
                          {.fd = nudge->fd, .events = POLLIN}};
    int k;
    if (idle_arm_for_others(w, c))
        return 1;
    Py_BEGIN_ALLOW_THREADS k = poll(p, 2, -1);
    Py_END_ALLOW_THREADS if (k > 0 && p[0].revents != 0) channel_polled(c);
    if (k > 0 && p[1].revents != 0)
        nudge_take(nudge);
    return k < 0 && errno != EINTR ? E_SYS : 1;
}

void
idle_unraisable(void)
{
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(NULL);
}
