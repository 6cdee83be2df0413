/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - the connection to the VM: frames in, frames out, and the loop
 * that runs one request after the other.
 *
 * Used by: helper, boot (its answer), tests.
 * Knows: channel, frames, queue, interrupt, crash, dispatch.
 * Does not know: what requests mean.
 * Ownership: owns the channel and all that was read; borrows the context.
 * Errors: E_EOF the VM is gone; E_FORMAT, E_LIMIT the VM makes no sense;
 * E_SYS, E_NOMEM.  All are final.
 * Threads: the main thread, holding the GIL; released while it waits. */
#ifndef TERRARIUM_SESSION_H
#define TERRARIUM_SESSION_H

#include "callback.h"
#include "channel.h"
#include "context.h"
#include "detached.h"
#include "frame.h"
#include "idle.h"
#include "large.h"
#include "out.h"
#include "queue.h"
#include "session_write.h"

struct session {
    struct channel channel;
    struct idle idle;
    struct frame_reader in;
    struct large large; /* part of the frame begun, received apart */
    size_t looked;      /* bytes of it, when such a part was last looked for */
    struct queue queue;
    struct queue nested;      /* what processes that run callbacks ask for */
    struct request *current;  /* published as the one being run, or about to */
    struct calls calls;       /* of Erlang functions */
    struct detached detached; /* requests that the event loop works on */
    struct queue gone;        /* receivers of messages, to be told */
    uint32_t sends;           /* messages sent */
    int answered;             /* the one that has just been run */
    int traced;               /* as the last one that began says */
    int ready;                /* HELLO has been said */
    int stopping;             /* STOP has come */
    unsigned long main_thread;
    struct out out;       /* whole frames not yet written */
    int unasked;          /* among them is one that the VM does not wait for */
    struct draft *drafts; /* kept for the next frames */
    struct context *context;
};

/* Takes the connected stream socket. */
int session_init(struct session *s, int sock, struct context *context);
void session_fini(struct session *s);

/* From now on speak through this lane; its descriptor stays the caller's. */
int session_use_lane(struct session *s, int segment);

/* Wait for the next frame, whatever it is; the caller frees it. */
int session_next(struct session *s, struct request **r);

/* Serve requests.  0: STOP was asked for and all answers are written. */
int session_run(struct session *s);

/* ---- for one who waits in the middle of a request (callback.c) ----------- */

/* A request that may be run now: a nested one, or else, if `foreign`, the next
 * one; NULL. */
struct request *session_take(struct session *s, int foreign);
/* Run it; takes r.  0, or a code that is final. */
int session_run_on_top(struct session *s, struct request *r);
/* Is there one that may only be run if `foreign`? */
int session_has_foreign(const struct session *s);
/* Write what is to be written and wait for more to read, so many milliseconds
 * at most (-1: for ever).  0, perhaps with an exception that a signal raised;
 * or a code that is final. */
int session_wait_more(struct session *s, int timeout_ms);
/* Something was read that is the main thread's to deal with. */
void session_wake_main(const struct session *s);
/* Is this the main thread? */
int session_is_main(const struct session *s);
/* The end of this process, by a code that is final. */
_Noreturn void session_end(int code);

/* Accept bodies of at most context->max_frame from now on. */
void session_apply_limits(struct session *s);

#endif
