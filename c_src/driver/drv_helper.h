/* SPDX-License-Identifier: Apache-2.0 */
/* drv_helper.h - a helper's port: shared by the files that make it up.
 *
 *   drv_helper.c   its life: start, events, timers, end, small commands
 *   drv_ops.c      what port_control does, but for requests
 *   drv_calls.c    requests: submit, cancel
 *   drv_answers.c  their answers: attach, deliver, fail
 *   drv_callbacks.c  callbacks, and which request runs
 *   drv_courier.c  messages that Python sends
 *   drv_write.c    bytes to the helper, with the driver queue behind
 *   drv_bet.c      polling the lane for an answer
 *   drv_hatch.c    descriptors to the helper
 *   drv_verdict.c  the end of one that did what it must not
 *
 * Threads: ERTS calls one at a time. */
#ifndef TERRARIUM_DRV_HELPER_H
#define TERRARIUM_DRV_HELPER_H

#include <string.h>

#include "channel.h"
#include "drv.h"
#include "drv_latency.h"
#include "drv_load.h"
#include "drv_output.h"
#include "drv_pending.h"
#include "drv_reader.h"
#include "drv_spin.h"
#include "drv_waiters.h"

/* Counters, in the order in which ?OP_STATS lists them. */
#define HELPER_STATS(X)                                                        \
    X(requests)    /* accepted */                                              \
    X(answers)     /* RESULT frames */                                         \
    X(errors)      /* ERROR frames */                                          \
    X(cancelled)   /* CANCELLED frames */                                      \
    X(interrupts)  /* signals sent to end a running request */                 \
    X(kills)       /* SIGKILLs sent */                                         \
    X(unwanted)    /* answers that nobody waited for any more */               \
    X(busy)        /* submissions turned away because the port was busy */     \
    X(pending)     /* requests not answered now */                             \
    X(outstanding) /* their bytes */                                           \
    X(bytes_in)    /* ever read from the helper */                             \
    X(bytes_out)   /* ever written to it */                                    \
    X(spun)        /* answered while the caller polled */                      \
    X(spin_lost)   /* polled for in vain */                                    \
    X(bells)       /* rung at the helper */                                    \
    X(callbacks)   /* of requests */                                           \
    X(bulk_bytes)  /* of bytes_out: over the socket, although there is a lane  \
                    */                                                         \
    X(sends)       /* messages of Python */                                    \
    X(stalls)      /* reading stopped because too many were on their way */

struct helper_stats {
#define X(name) uint64_t name;
    HELPER_STATS(X)
#undef X
};

enum helper_state {
    HELPER_BOOTING, /* its HELLO has not come */
    HELPER_READY,
    HELPER_CLOSED /* the connection has ended; callers may still wait */
};

/* A port that is to be given up takes no more requests, but for those that one
 * of its own waits for; and, in DRAIN_OBJECTS, those about objects, which are
 * nowhere else. */
enum { DRAIN_NO, DRAIN_OBJECTS, DRAIN_BEGUN, DRAIN_TOLD };

struct helper {
    struct drv_port base;
    struct channel channel;
    struct drv_reader reader;
    struct drv_output output;
    struct pending_table pending;
    struct waiters waiters;
    struct helper_stats stats;
    uint64_t ended; /* requests answered that were not nested */
    struct latency latency;
    struct load load;
    uint64_t tell_at; /* so many requests, and the owner is told; 0: never */
    int draining;     /* DRAIN_* */
    int pidfd;
    int hatch; /* descriptors go down here; nothing is read from it */
    enum helper_state state;
    int watching_write; /* ready_output is on: the queue is not empty */
    int write_failed;   /* why: E_FORMAT, E_LIMIT, or the peer is gone, and
                           reading will say so */
    int boot_failed;    /* it has said why it will not serve */
    int begun;          /* settings have come */
    int taken;          /* from a zygote's port: it ends with this one */
    int armed;          /* what channel_arm was last told; 0: not armed */
    int again;          /* a turn was cut short: the timer begins the next */
    int unread;         /* the last helper_read was cut short */
    int busy;
    int resignal; /* a CANCEL frame waits in the queue: signal again after */
    struct pending *top;  /* the request begun last, while one is calling */
    uint32_t calling;     /* requests that wait for a callback */
    uint32_t detached;    /* requests that go on beside the others */
    struct pending *held; /* large request whose last byte is held back */
    uint8_t held_byte;
    struct helper_unasked { /* callbacks of no request, under way */
        uint32_t count;
        uint32_t since; /* and ever since a request was taken */
        uint64_t bytes;
    } unasked;
    struct helper_limits {  /* of a policy; 0: none */
        uint32_t callbacks; /* of a request, or of none since one was taken */
        uint32_t depth;     /* requests that wait for callbacks at once */
    } limits;
    uint32_t grace_ms;
    uint32_t deadline_ms;
    uint64_t grace_id;   /* the interrupted request; 0: no grace running */
    ErlDrvTime grace_at; /* when it ends in a kill (monotonic ms) */
    ErlDrvTime frame_at; /* when the frame under way must be whole; 0: none */
    ErlDrvTermData atom_answer;
    struct helper_courier {
        ErlDrvTermData pid;
        int known;
        int stalled;         /* nothing is read until it has delivered more */
        uint64_t on_the_way; /* bytes of messages that it has */
    } courier;
    struct helper_bet {
        struct spin spin;
        struct drv_lease lease;
        uint32_t max_ns; /* 0: never poll */
        uint64_t from;   /* when the last request was submitted, or resumed */
        uint32_t granted_ns;  /* what the helper was told last */
        struct pending *on;   /* polled for now */
        struct drv_reply *to; /* where its answer goes */
        ErlDrvSSizeT reply;   /* what was put there */
    } bet;
};

/* ---- drv_helper.c ------------------------------------------------------- */

ErlDrvTime helper_now(void);
void helper_arm_timer(struct helper *h);
void helper_kill(struct helper *h);
/* Interrupt exactly this request, if it runs. */
void helper_signal(struct helper *h, uint64_t id);
/* End the connection: a helper that is honest and not busy ends as well. */
void helper_hang_up(struct helper *h);
/* The same, and tell the owner; text may be NULL. */
void helper_close(struct helper *h, const char *why, const char *text);
/* Take what has arrived.  0 while the connection goes on. */
int helper_read(struct helper *h);
/* To be called before each return to the VM: when something comes, or there is
 * room for what is queued, the VM shall hear of it. */
void helper_leave(struct helper *h);
/* Read again, after courier.stalled: also what was read before. */
void helper_resume(struct helper *h);
extern const struct drv_ops helper_ops;
/* The descriptors are what they should be: begin to use them. */
void helper_begin(struct helper *h);

/* ---- drv_verdict.c ------------------------------------------------------ */

/* It has done what no helper does; its port is closed with this text. */
void helper_violation(struct helper *h, const char *text);
/* It was over this limit of its policy. */
void helper_over(struct helper *h, const char *limit);
/* What it has sent is no frame, or one that it may not send. */
void helper_wrong_frame(struct helper *h, int e);

/* ---- drv_ops.c ---------------------------------------------------------- */

ErlDrvSSizeT helper_control(struct drv_port *p, unsigned op,
                            const uint8_t *body, size_t n, struct drv_reply *r);

/* ---- drv_hatch.c -------------------------------------------------------- */

ErlDrvSSizeT hatch_pass(struct helper *h, const uint8_t *body, size_t n,
                        struct drv_reply *r);

/* ---- drv_bet.c ---------------------------------------------------------- */

/* Before the request is written: shall its answer be polled for? */
int bet_begin(struct helper *h, struct pending *q, size_t n);
/* After it: take or keep a spin slot, with which the helper may poll for its
 * next request; 0: there is none. */
int bet_take_slot(struct helper *h);
/* No slot, or the request was not written after all. */
void bet_off(struct helper *h);
/* It will not be answered soon: if it is polled for, no longer. */
void bet_let_go(struct helper *h, const struct pending *q);
/* Poll.  1 with the answer in r and its size in *size (q has ended);
 * 0: not answered in time. */
int bet_poll(struct helper *h, struct pending *q, struct drv_reply *r,
             ErlDrvSSizeT *size);
/* Is q polled for, and these bytes its result?  A body that has a binary of its
 * own is not copied: then q keeps it until its caller attaches. */
int bet_settle(struct helper *h, const struct pending *q, uint8_t opcode,
               const uint8_t *body, size_t n, const ErlDrvBinary *bin);

/* ---- drv_write.c -------------------------------------------------------- */

void helper_write_frame(struct helper *h, uint8_t opcode, uint8_t flags,
                        uint64_t id, const void *body, size_t n);
/* Put a QUEUED request's frame into the driver queue; helper_flush follows.
 * Its binaries are referred to, not copied. */
void helper_enqueue_request(struct helper *h, struct pending *q);
void helper_flush(struct helper *h);
/* What the helper did, or did not do, so that a write failed; NULL: nothing. */
const char *helper_write_wrong(const struct helper *h);
/* This request is not under way any more. */
void helper_forget_held(struct helper *h, const struct pending *q);

/* ---- drv_courier.c ------------------------------------------------------ */

/* The calling process delivers from now on. */
ErlDrvSSizeT courier_begin(struct helper *h, const uint8_t *body, size_t n,
                           struct drv_reply *r);
/* It has delivered so much. */
ErlDrvSSizeT courier_sent(struct helper *h, const uint8_t *body, size_t n,
                          struct drv_reply *r);
/* A SEND frame; f keeps its binary.  0, or E_REFUSED. */
int courier_take(struct helper *h, const struct drv_frame *f);

/* ---- drv_callbacks.c ---------------------------------------------------- */

/* The request that runs, or waits for a callback and will go on first; NULL:
 * there is none. */
struct pending *callbacks_top(const struct helper *h);
/* The same, if it runs. */
struct pending *callbacks_running(const struct helper *h);
/* Its callback is answered, or not awaited any more. */
void callbacks_stop_waiting(struct helper *h, struct pending *q);
/* It has ended. */
void callbacks_forget(struct helper *h, struct pending *q);
/* Does this process run a callback of this helper? */
int callbacks_is_nested(const struct helper *h, ErlDrvTermData caller);
/* CALLBACK, and STARTED and YIELDED frames.  0, or E_REFUSED: that cannot be;
 * E_LIMIT: too many at once.
 */
int callbacks_take(struct helper *h, struct drv_frame *f);
int callbacks_told(struct helper *h, uint8_t opcode, uint64_t id);
ErlDrvSSizeT callbacks_resume(struct helper *h, const uint8_t *body, size_t n,
                              struct drv_reply *r);
ErlDrvSSizeT callbacks_served(struct helper *h, const uint8_t *body, size_t n,
                              struct drv_reply *r);
ErlDrvSSizeT callbacks_reply(struct helper *h, const uint8_t *body, size_t n,
                             struct drv_reply *r);

/* The bytes that may wait, of what is told to a helper, or asked by it. */
static inline uint64_t
helper_backlog(const struct helper *h)
{
    return (uint64_t)h->reader.max_frame + WIRE_LIMIT_BACKLOG;
}

/* ---- drv_calls.c -------------------------------------------------------- */

/* The id that a command begins with. */
static inline uint64_t
calls_id(const uint8_t *body)
{
    uint64_t id;
    memcpy(&id, body, sizeof id);
    return id;
}
/* The owner is told once a draining port has no request left. */
void calls_tell_drained(struct helper *h);
/* Forget a request, which is in no list. */
void calls_end(struct helper *h, struct pending *q);
/* A request of n bytes is no longer outstanding. */
void calls_settled(struct helper *h, size_t n);

ErlDrvSSizeT calls_submit(struct helper *h, uint8_t opcode, uint8_t flags,
                          const uint8_t *body, size_t n, struct drv_reply *r);

/* Write this frame, with which the request goes on, and wait for what it says
 * as for an answer. */
ErlDrvSSizeT calls_go_on(struct helper *h, struct pending *q,
                         const struct wire_header *head, const uint8_t *body,
                         size_t n, struct drv_reply *r);
/* To its caller: as the result of its port_control, as a message, or kept until
 * it asks.  A message that is not the end leaves it without an address. */
void calls_deliver(struct helper *h, struct pending *q, uint8_t opcode,
                   const uint8_t *body, size_t n, ErlDrvBinary *bin);
/* What was kept will not be asked for. */
void calls_drop_held(struct helper *h, const struct pending *q);
/* What was kept. */
ErlDrvSSizeT calls_reply_held(struct helper *h, struct pending *q,
                              struct drv_reply *r);
/* From now on the request outlives the call that made it, and ends with its
 * caller.  0; -1: that is dead already. */
int calls_watch(struct helper *h, struct pending *q);
ErlDrvSSizeT calls_reserve(struct helper *h, const uint8_t *body, size_t n,
                           struct drv_reply *r);
ErlDrvSSizeT calls_attach(struct helper *h, const uint8_t *body, size_t n,
                          struct drv_reply *r);
ErlDrvSSizeT calls_cancel(struct helper *h, const uint8_t *body, size_t n,
                          struct drv_reply *r);
ErlDrvSSizeT calls_wait_ready(struct helper *h, const uint8_t *body, size_t n,
                              struct drv_reply *r);
ErlDrvSSizeT calls_fail(struct helper *h, const uint8_t *body, size_t n,
                        struct drv_reply *r);
/* The body of a reserved request: <<Id:8/binary, Etf/binary>>. */
void calls_body(struct helper *h, ErlIOVec *ev);
/* Write what waits, as far as the window allows. */
void calls_pump(struct helper *h);
/* RESULT, ERROR, CANCELLED or DETACHED.  Takes f->bin.  0, or E_REFUSED: no
 * such request. */
int calls_answer(struct helper *h, struct drv_frame *f);
/* When a cancelled request becomes the first it may be running: it has the
 * grace period to end. */
void calls_start_grace(struct helper *h);
void calls_exit(struct helper *h, ErlDrvMonitor *m);
/* Signal every cancelled request again: their CANCEL frames are out now. */
void calls_resignal(struct helper *h);

#endif
