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

#include "channel.h"
#include "context.h"
#include "frame.h"
#include "idle.h"
#include "large.h"
#include "out.h"
#include "queue.h"

struct session {
    struct channel channel;
    struct idle idle;
    struct frame_reader in;
    struct large large; /* part of the frame begun, received apart */
    size_t looked;      /* bytes of it, when such a part was last looked for */
    struct queue queue;
    struct request *current; /* published as the one being run */
    struct out out;          /* answers not yet written */
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

/* Start a frame with this header at the end of the output; write its body
 * with buf_put to s->out.bytes (what is large and lies in an object, with
 * out_put_ref), then close it.  The mark undoes it. */
int session_open_frame(struct session *s, const struct wire_header *h,
                       struct out_mark *mark);
void session_close_frame(struct session *s, struct out_mark mark);
void session_drop_frame(struct session *s, struct out_mark mark);

/* Write all that is in the output. */
int session_flush(struct session *s);

/* Accept bodies of at most context->max_frame from now on. */
void session_apply_limits(struct session *s);

#endif
