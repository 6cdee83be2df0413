/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.h - control messages on their way to the VM.
 *
 * The zygote never waits for a reader: what the socket does not take stays
 * here, with its descriptors, until poll says that there is room.  The queue
 * is bounded; whoever produces messages asks outbox_has_room first, so a VM
 * that does not read gets no more work done for it, and nothing is lost.
 *
 * Used by: zygote.   Does not know: what the messages say.
 * Ownership: a queued message owns its bytes and its descriptors.
 * Errors: E_AGAIN, E_EOF and E_SYS of the socket, E_LIMIT (queue full).
 * Threads: none. */
#ifndef TERRARIUM_ZYGOTE_OUTBOX_H
#define TERRARIUM_ZYGOTE_OUTBOX_H

#include <stddef.h>

#include "buf.h"
#include "ctl.h"

enum {
    OUTBOX_SIZE = 256,
    OUTBOX_RESERVE = 16, /* what one request or one death may add, and more */
    OUTBOX_FDS = 6
};

struct outbox_message {
    struct buf bytes;
    int fds[OUTBOX_FDS];
    int count;
};

struct outbox {
    int fd; /* borrowed: the control socket */
    size_t head;
    size_t count;
    struct outbox_message queue[OUTBOX_SIZE];
};

void outbox_init(struct outbox *o, int fd);
/* Close and free what is queued. */
void outbox_fini(struct outbox *o);
/* In a forked child: close the descriptors of messages not yet sent. */
void outbox_close_fds(struct outbox *o);

static inline int
outbox_has_room(const struct outbox *o)
{
    return o->count + OUTBOX_RESERVE <= OUTBOX_SIZE;
}

/* Queue a message.  Takes m's bytes (m is empty afterwards) and the
 * descriptors, also when it fails. */
int outbox_put(struct outbox *o, struct ctl_out *m, const int *fds, int count);

/* Send as much as the socket takes: 0 all sent, E_AGAIN more to do. */
int outbox_flush(struct outbox *o);

#endif
