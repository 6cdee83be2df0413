/* SPDX-License-Identifier: Apache-2.0 */
/* drv_helper.c - the life of a helper's port. */
#include "drv_helper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "ctl.h"
#include "err.h"
#include "io.h"

/* A turn of ready_input is bounded, so that one port cannot keep a scheduler:
 * the poll set is level-triggered and comes back. */
enum { MAX_READS = 16, MAX_TURNS = 4 };

static struct helper *
as_helper(struct drv_port *p)
{
    return (struct helper *)p;
}

/* ---- signals and timers ------------------------------------------------- */

ErlDrvTime
helper_now(void)
{
    return erl_drv_monotonic_time(ERL_DRV_MSEC);
}

void
helper_kill(struct helper *h)
{
    h->stats.kills++;
    drv_pidfd_kill(h->pidfd);
}

void
helper_signal(struct helper *h, uint64_t id)
{
    h->stats.interrupts++;
    drv_pidfd_signal(h->pidfd, WIRE_SIGNAL_INTERRUPT, id);
}

void
helper_arm_timer(struct helper *h)
{
    ErlDrvTime at = h->grace_id != 0 ? h->grace_at : 0;
    if (h->again && h->state != HELPER_CLOSED) {
        driver_set_timer(h->base.port, 0);
        return;
    }
    if (h->frame_at != 0 && (at == 0 || h->frame_at < at))
        at = h->frame_at;
    if (at == 0 || h->state == HELPER_CLOSED) {
        driver_cancel_timer(h->base.port);
        return;
    }
    ErlDrvTime now = helper_now();
    driver_set_timer(h->base.port, at > now ? (unsigned long)(at - now) : 0);
}

static void
helper_timeout(struct drv_port *p)
{
    struct helper *h = as_helper(p);
    ErlDrvTime now = helper_now();
    int again = h->again;
    h->again = 0;
    if (h->grace_id != 0 && now >= h->grace_at) {
        h->grace_id = 0;
        helper_kill(h);
        helper_close(h, "timeout", NULL);
    } else if (h->frame_at != 0 && now >= h->frame_at) {
        helper_kill(h);
        helper_close(h, "protocol", "a frame begun did not end in time");
    } else {
        helper_arm_timer(h);
    }
    if (again)
        helper_leave(h);
}

/* ---- the end ------------------------------------------------------------ */

/* The descriptor is closed when the VM has stopped looking at it. */
static void
end_channel(struct helper *h)
{
    int fd = channel_take_fd(&h->channel);
    drv_lease_end(&h->bet.lease);
    drv_unwatch_close(&h->base, &fd);
}

void
helper_hang_up(struct helper *h)
{
    h->state = HELPER_CLOSED;
    if (h->channel.fd < 0)
        return;
    h->grace_id = 0;
    h->frame_at = 0;
    h->held = NULL;
    h->watching_write = 0;
    helper_arm_timer(h);
    driver_deq(h->base.port, driver_sizeq(h->base.port));
    end_channel(h);
}

void
helper_close(struct helper *h, const char *why, const char *text)
{
    if (h->channel.fd < 0)
        return;
    helper_hang_up(h);
    drv_tell_closed(&h->base, why, text);
}

static void
helper_stop(struct drv_port *p)
{
    struct helper *h = as_helper(p);
    int signaled, status;
    end_channel(h);
    drv_output_stop(&h->output, p);
    if (h->begun || h->taken) {
        /* The port was closed, so nobody needs the helper any more.  If its
         * zygote died it may have become our child: then reap it. */
        drv_pidfd_kill(h->pidfd);
        drv_pidfd_reap(h->pidfd, 0, &signaled, &status);
    }
    close(h->pidfd);
    io_close(&h->hatch);
    load_end(&h->load);
    drv_reader_fini(&h->reader);
    pending_fini(&h->pending);
    waiters_fini(&h->waiters);
    driver_free(h);
}

/* ---- frames from the helper --------------------------------------------- */

static void
tell_hello(struct helper *h, const struct drv_frame *f)
{
    struct ctl_in in;
    struct ctl_map map;
    struct buf etf;
    uint64_t version = 0, fingerprint = 0;
    if (ctl_open(&in, f->body, f->h.length, &map) != 0) {
        helper_violation(h, "the hello is no control message");
        return;
    }
    ctl_get_uint(&map, "version", &version);
    ctl_get_uint(&map, "fingerprint", &fingerprint);
    ctl_close(&in);
    if (version != WIRE_LIMIT_VERSION || fingerprint != WIRE_FINGERPRINT) {
        helper_violation(h, err_str(E_VERSION));
        return;
    }
    buf_init(&etf, WIRE_LIMIT_MAX_CONTROL * 2);
    if (ctl_to_etf(f->body, f->h.length, &etf) == 0) {
        h->state = HELPER_READY;
        drv_tell_binary(&h->base, "hello", etf.data, etf.len);
    } else {
        helper_violation(h, "the hello is malformed");
    }
    buf_fini(&etf);
}

static void
take_booting(struct helper *h, struct drv_frame *f)
{
    if (h->boot_failed)
        helper_violation(h, "a frame after the boot has failed");
    else if (f->h.opcode == WIRE_HELLO)
        tell_hello(h, f);
    else if (f->h.opcode == WIRE_ERROR && f->h.id == 0) {
        h->boot_failed = 1;
        drv_tell_binary(&h->base, "boot_error", f->body, f->h.length);
    } else
        helper_violation(h, "the first frame is no hello");
    if (f->bin != NULL)
        driver_free_binary(f->bin);
}

static void
take_callback(struct helper *h, struct drv_frame *f)
{
    int e = callbacks_take(h, f);
    if (e != 0)
        helper_violation(h, e == E_LIMIT ? "too many callbacks at once"
                                         : "a callback that can not be");
    if (f->bin != NULL)
        driver_free_binary(f->bin);
}

static void
take_message(struct helper *h, struct drv_frame *f)
{
    if (courier_take(h, f) != 0)
        helper_violation(h, "a message, but nobody is there to deliver it");
    if (f->bin != NULL)
        driver_free_binary(f->bin);
}

static void
take_frame(struct helper *h, struct drv_frame *f)
{
    if (h->state == HELPER_BOOTING)
        take_booting(h, f);
    else if (f->h.opcode == WIRE_HELLO)
        helper_violation(h, "a second hello");
    else if (f->h.opcode == WIRE_CALLBACK)
        take_callback(h, f);
    else if (f->h.opcode == WIRE_SEND)
        take_message(h, f);
    else if (f->h.opcode == WIRE_STARTED || f->h.opcode == WIRE_YIELDED) {
        if (callbacks_told(h, f->h.opcode, f->h.id) != 0)
            helper_violation(h, "a request starts or yields that cannot");
    } else if (calls_answer(h, f) != 0)
        helper_violation(h, "an answer to a request that is not waiting");
}

/* All whole frames that have arrived, unless the courier is behind; 0 while the
 * connection goes on. */
static int
take_frames(struct helper *h)
{
    struct drv_frame f;
    int e = E_AGAIN;
    while (h->channel.fd >= 0 && !h->courier.stalled &&
           (e = drv_reader_next(&h->reader, &f)) == 0)
        take_frame(h, &f);
    if (h->channel.fd < 0)
        return E_EOF;
    if (e != E_AGAIN && e != 0)
        helper_wrong_frame(h, e);
    return e == E_AGAIN ? 0 : e;
}

/* Each frame has its own deadline, from the turn in which it began; while we do
 * not read it does not run. */
static void
watch_deadline(struct helper *h, uint64_t frames_before)
{
    int midway = drv_reader_midway(&h->reader) && !h->courier.stalled;
    int fresh = h->reader.frames != frames_before;
    if (!midway && h->frame_at == 0)
        return;
    if (midway && !fresh && h->frame_at != 0)
        return;
    h->frame_at = midway ? helper_now() + h->deadline_ms : 0;
    helper_arm_timer(h);
}

/* A socket that gave less than there was room for had no more: what comes now
 * wakes us again.  A lane's space has an end in its midst. */
static int
all_read(const struct helper *h)
{
    return !h->reader.filled && !channel_has_lane(&h->channel);
}

int
helper_read(struct helper *h)
{
    uint64_t frames = h->reader.frames;
    h->unread = 1;
    for (int i = 0; i < MAX_READS && !h->courier.stalled; i++) {
        int e = drv_reader_fill(&h->reader, &h->channel);
        if (e == E_AGAIN) {
            h->unread = 0;
            break;
        }
        if (e == E_NOMEM || e == E_FORMAT)
            helper_violation(h, err_str(e));
        else if (e != 0)
            helper_close(h, "eof", NULL);
        if (e != 0)
            return e;
        if ((e = take_frames(h)) != 0)
            return e;
        calls_pump(h);
        if (all_read(h)) {
            h->unread = 0;
            break;
        }
    }
    watch_deadline(h, frames);
    return 0;
}

void
helper_resume(struct helper *h)
{
    drv_watch(&h->base, h->channel.fd, ERL_DRV_READ, 1);
    if (take_frames(h) != 0)
        return;
    calls_pump(h);
    helper_read(h);
}

/* ---- in and out of the VM -------------------------------------------------
 */

static void
watch_write(struct helper *h, int on)
{
    if (h->watching_write == on)
        return;
    h->watching_write = on;
    drv_watch(&h->base, h->channel.fd, ERL_DRV_WRITE, on);
}

/* What the VM has to be told of.  A lane need not be armed when nothing is
 * pending and all has been read: a helper that speaks unasked rings whether we
 * are or not, but for its hello. */
static int
wanted(struct helper *h)
{
    int want = 0;
    if (!h->courier.stalled &&
        (h->pending.first != NULL || h->detached > 0 || h->unread ||
         h->state == HELPER_BOOTING || !channel_has_lane(&h->channel)))
        want |= CHANNEL_READ;
    if (driver_sizeq(h->base.port) > 0)
        want |= CHANNEL_WRITE;
    return want;
}

/* 1: we may return to the VM; 0: there is something to read or to write. */
static int
rest(struct helper *h)
{
    int want = wanted(h);
    short events;
    if ((want & ~h->armed) == 0 && !h->watching_write)
        return 1;
    if (channel_arm(&h->channel, want, &events))
        return 0;
    h->armed = want;
    watch_write(h, (events & POLLOUT) != 0);
    return 1;
}

/* Bounded, so that one port cannot keep a scheduler. */
void
helper_leave(struct helper *h)
{
    for (int i = 0; i < MAX_TURNS; i++) {
        const char *wrong = helper_write_wrong(h);
        if (wrong != NULL && h->channel.fd >= 0)
            helper_violation(h, wrong);
        if (!h->begun || h->channel.fd < 0 || rest(h))
            return;
        h->armed = 0;
        if (helper_read(h) == 0)
            helper_flush(h);
    }
    h->again = 1;
    helper_arm_timer(h);
}

static void
helper_ready_input(struct drv_port *p, int fd)
{
    struct helper *h = as_helper(p);
    if (drv_output_ready(&h->output, p, fd) || fd != h->channel.fd)
        return;
    if (channel_has_lane(&h->channel))
        h->armed = 0; /* by the bell */
    channel_polled(&h->channel);
    if (helper_read(h) == 0)
        helper_leave(h);
}

static void
helper_ready_output(struct drv_port *p, int fd)
{
    struct helper *h = as_helper(p);
    if (fd != h->channel.fd)
        return;
    h->armed = 0;
    helper_flush(h);
    helper_leave(h);
}

static void
helper_outputv(struct drv_port *p, ErlIOVec *ev)
{
    calls_body(as_helper(p), ev);
    helper_leave(as_helper(p));
}

static void
helper_process_exit(struct drv_port *p, ErlDrvMonitor *m)
{
    calls_exit(as_helper(p), m);
    helper_leave(as_helper(p));
}

/* Data still queued is for a helper that nobody uses any more. */
static void
helper_drop_queue(struct drv_port *p)
{
    driver_deq(p->port, driver_sizeq(p->port));
}

/* ---- its kind of port ---------------------------------------------------- */

const struct drv_ops helper_ops = {
    .control = helper_control,
    .outputv = helper_outputv,
    .ready_input = helper_ready_input,
    .ready_output = helper_ready_output,
    .timeout = helper_timeout,
    .process_exit = helper_process_exit,
    .flush = helper_drop_queue,
    .stop = helper_stop,
};

/* What the helper may do is written down after the port was made.  So nothing
 * is read, and nobody killed, until its owner sends settings. */
void
helper_begin(struct helper *h)
{
    if (h->begun)
        return;
    h->begun = 1;
    h->armed = CHANNEL_READ; /* so a lane is made */
    drv_output_begin(&h->output, &h->base);
    /* A spare says hello while its port is made, mostly: then it is heard
     * without a poll. */
    if (!channel_has_lane(&h->channel) && helper_read(h) != 0)
        return;
    drv_watch(&h->base, h->channel.fd, ERL_DRV_READ, 1);
}
