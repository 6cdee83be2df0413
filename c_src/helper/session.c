/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - the loop: wait, read ahead, run, answer.
 *
 * An answer never waits for the next request: the output is written before
 * each run and before each wait.  Answers that need no run (cancelled
 * requests) gather and go out together. */
#include "py.h"

#include "session.h"

#include <string.h>
#include <unistd.h>

#include "crash.h"
#include "dispatch.h"
#include "err.h"
#include "exec.h"
#include "forked.h"
#include "handoff.h"
#include "interrupt.h"
#include "pyerr.h"
#include "session_read.h"
#include "warm.h"

enum {
    OUT_GATHER = 64 << 10 /* answers gathered at most */
};

int
session_init(struct session *s, int sock, struct context *context)
{
    memset(s, 0, sizeof *s);
    s->context = context;
    s->main_thread = PyThread_get_thread_ident();
    s->idle.nudge.fd = -1;
    s->detached.nudge.fd = -1;
    queue_init(&s->queue);
    queue_init(&s->nested);
    queue_init(&s->gone);
    frame_reader_init(&s->in, WIRE_DOWN, context->max_frame);
    out_init(&s->out, SIZE_MAX / 2);
    return channel_socket_init(&s->channel, sock);
}

int
session_use_lane(struct session *s, int segment)
{
    struct channel over;
    int r = channel_lane_init(&over, LANE_HELPER, segment, s->channel.fd);
    if (r == 0)
        s->channel = over;
    return r;
}

void
session_fini(struct session *s)
{
    channel_close(&s->channel);
    frame_reader_fini(&s->in);
    large_drop(&s->large);
    queue_fini(&s->queue);
    queue_fini(&s->nested);
    queue_fini(&s->gone);
    session_write_fini(s);
    nudge_close(&s->idle.nudge);
}

void
session_apply_limits(struct session *s)
{
    s->in.max_body = s->context->max_frame;
}

int
session_is_main(const struct session *s)
{
    return PyThread_get_thread_ident() == s->main_thread;
}

/* It may be about to sleep, or asleep, for what another thread has just read.
 * Nothing if it is us. */
void
session_wake_main(const struct session *s)
{
    if (!session_is_main(s))
        nudge_give(&s->idle.nudge);
}

/* ---- waiting ------------------------------------------------------------- */

/* Once nothing has come for a while, memory that large values
 * left is given back; when a signal ends the wait, a little too early. */
static int
sleep_long(struct session *s)
{
    int ms = warm_patience();
    if (ms > 0) {
        int e = idle_wait(&s->idle, &s->channel, CHANNEL_READ, ms);
        if (e != 0)
            return e;
        Py_BEGIN_ALLOW_THREADS warm_trim();
        Py_END_ALLOW_THREADS
    }
    return idle_wait(&s->idle, &s->channel, CHANNEL_READ, -1);
}

int
session_next(struct session *s, struct request **r)
{
    while ((*r = queue_take(&s->nested)) == NULL &&
           (*r = queue_take(&s->queue)) == NULL) {
        int e = idle_linger(&s->idle, &s->channel);
        if (e == 0)
            e = sleep_long(s);
        idle_unraisable();
        if (e > 0)
            e = session_read_ahead(s);
        if (e != 0)
            return e;
    }
    return 0;
}

/* ---- running ------------------------------------------------------------- */

static int
answer_cancelled(struct session *s, struct request *r)
{
    Py_CLEAR(r->step);
    int e = session_put_empty(s, WIRE_CANCELLED, r->h.id);
    return e == 0 && out_left(&s->out) >= OUT_GATHER ? session_flush(s) : e;
}

static int
tell_started(struct session *s, struct request *r)
{
    if (r->told)
        return 0;
    r->told = 1;
    return session_put_empty(s, WIRE_STARTED, r->h.id);
}

/* The VM is told which one runs when that is not plain: while others wait, and
 * always of a nested one, since it may come when none does any more.  The one
 * below may wait in an event loop, and never have called.  Nor is it plain when
 * one goes on that had let others go first. */
static int
put_started(struct session *s, struct request *r)
{
    if (r->below == NULL && !(r->h.flags & WIRE_FLAG_NESTED) && r->step == NULL)
        return 0;
    int e = r->below != NULL ? tell_started(s, r->below) : 0;
    return e == 0 ? tell_started(s, r) : e;
}

static int
put_yielded(struct session *s, struct request *r)
{
    r->told = 0;
    return session_put_empty(s, WIRE_YIELDED, r->h.id);
}

/* The order matters: once the id is published an interrupt finds it; a CANCEL
 * frame that was written before is in the socket by then. */
static int
run_published(struct session *s, struct request *r)
{
    struct interrupt_state interrupted;
    struct crash_what what;
    s->traced = (r->h.flags & WIRE_FLAG_TRACED) != 0;
    interrupt_begin(r->h.id, &interrupted);
    crash_begin(r->h.id, r->h.opcode, &what);
    int e = session_read_ahead(s);
    if (e == 0)
        e = r->cancelled ? answer_cancelled(s, r) : dispatch_request(s, r);
    crash_end(&what);
    if (e == 0 && r->step != NULL)
        e = put_yielded(s, r);
    /* Signal handlers that are due run now, and on behalf of nobody. */
    s->current = r->below;
    s->answered = 1;
    r->interrupted = (uint8_t)interrupt_end(&interrupted);
    return e;
}

/* It is the current one before anything is read or any Python code can run: so
 * a CANCEL frame finds it, and what that code calls is called by it. */
static int
run_request(struct session *s, struct request *r)
{
    int answered = s->answered;
    if (r->cancelled)
        return answer_cancelled(s, r);
    r->below = s->current;
    s->current = r;
    s->answered = 0;
    int e = put_started(s, r);
    if (e == 0)
        e = session_flush(s);
    idle_unraisable();
    if (e == 0)
        e = run_published(s, r);
    s->current = r->below;
    s->answered = answered;
    return e;
}

/* It has run: it is over, or waits in the line again. */
static void
let_go(struct session *s, struct request *r)
{
    if (r != NULL && r->step != NULL)
        queue_put(&s->queue, r);
    else
        request_free(r);
}

/* 0 go on, 1 stop. */
static int
notice(struct session *s, struct request *r)
{
    switch (r->h.opcode) {
    case WIRE_RELEASE:
    case WIRE_FORGET:
        dispatch_notice(s->context, r);
        return 0;
    case WIRE_STOP:
        return 1;
    default:
        return E_FORMAT; /* BOOT, a second time */
    }
}

static int
flush_before_wait(struct session *s)
{
    idle_begin(&s->idle, &s->channel);
    return session_flush(s);
}

int
session_run_on_top(struct session *s, struct request *r)
{
    int e = wire_is_request(r->h.opcode) ? run_request(s, r) : notice(s, r);
    let_go(s, r);
    return e;
}

/* STOP is left for the main loop, and what is behind it as well. */
struct request *
session_take(struct session *s, int foreign)
{
    struct request *r = queue_take(&s->nested);
    if (r == NULL && foreign && session_has_foreign(s))
        r = queue_take(&s->queue);
    return r;
}

int
session_has_foreign(const struct session *s)
{
    return s->queue.first != NULL && s->queue.first->h.opcode != WIRE_STOP;
}

int
session_wait_more(struct session *s, int timeout_ms)
{
    int e = flush_before_wait(s);
    if (e == 0)
        e = idle_linger(&s->idle, &s->channel);
    if (e == 0 && timeout_ms < 0)
        e = sleep_long(s);
    else if (e == 0)
        e = idle_wait(&s->idle, &s->channel, CHANNEL_READ, timeout_ms);
    return e > 0 ? session_read_ahead(s) : e;
}

_Noreturn void
session_end(int code)
{
    switch (code) {
    case E_EOF:
        _exit(HANDOFF_EXIT_OK);
    case E_FORMAT:
    case E_LIMIT:
        _exit(HANDOFF_EXIT_PROTOCOL);
    default:
        _exit(HANDOFF_EXIT_SYSTEM);
    }
}

int
session_run(struct session *s)
{
    s->ready = 1;
    for (;;) {
        struct request *r = NULL;
        int e = 0;
        /* Otherwise there is no wait, which is where a held bell is rung. */
        if (s->queue.first == NULL && s->nested.first == NULL)
            e = flush_before_wait(s);
        if (e == 0)
            e = session_next(s, &r);
        if (e == 0)
            e = wire_is_request(r->h.opcode) ? run_request(s, r) : notice(s, r);
        let_go(s, r);
        if (e > 0)
            return session_flush(s);
        if (e < 0)
            return e;
    }
}
