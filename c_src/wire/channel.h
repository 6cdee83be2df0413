/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h - the one interface through which driver and helper exchange
 * bytes, whatever carries them.
 *
 * A channel is a reliable, ordered byte stream in each direction between
 * exactly one driver port and one helper: over the socketpair alone
 * (channel_socket.c), or over a lane, whose doorbell the socketpair is
 * (channel_lane.c).  Frames are cut above this interface.
 *
 * Ownership: the channel owns its descriptor and its lane.
 * Errors: E_AGAIN would block, E_EOF peer gone, E_FORMAT the peer broke the
 * rules of the lane, E_SYS.
 * Threads: one reader and one writer, in one thread. */
#ifndef TERRARIUM_CHANNEL_H
#define TERRARIUM_CHANNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lane.h"

struct channel {
    const struct channel_ops *ops;
    int fd;           /* the socket; also what to poll */
    struct lane lane; /* channel_lane.c only */
};

/* What a side that is about to block waits for. */
enum channel_want { CHANNEL_READ = LANE_DATA, CHANNEL_WRITE = LANE_SPACE };

struct channel_ops {
    int (*read)(struct channel *c, void *p, size_t cap, size_t *n);
    /* After a short write, or E_AGAIN, the bytes offered next must be those
     * that were left over. */
    int (*writev)(struct channel *c, const struct iovec *v, int count,
                  size_t *n);
    /* About to block: 1 do not, there is something; 0 poll fd for *events. */
    int (*arm)(struct channel *c, int want, short *events);
    /* Not blocked any more. */
    void (*disarm)(struct channel *c);
    /* poll said that fd is ready: to be told before the next read. */
    void (*polled)(struct channel *c);
    void (*close)(struct channel *c);
};

/* Take a connected stream socket and make it non-blocking. */
int channel_socket_init(struct channel *c, int fd);
/* The same with a lane's segment, whose descriptor stays the caller's.  The
 * socket is taken on success only. */
int channel_lane_init(struct channel *c, enum lane_side side, int segment,
                      int fd);

static inline int
channel_has_lane(const struct channel *c)
{
    return c->lane.shared != NULL;
}
static inline int
channel_read(struct channel *c, void *p, size_t cap, size_t *n)
{
    return c->ops->read(c, p, cap, n);
}
static inline int
channel_writev(struct channel *c, const struct iovec *v, int count, size_t *n)
{
    return c->ops->writev(c, v, count, n);
}
static inline int
channel_arm(struct channel *c, int want, short *events)
{
    return c->ops->arm(c, want, events);
}
static inline void
channel_disarm(struct channel *c)
{
    c->ops->disarm(c);
}
/* Between these two a bell is held back (lane_hold); nothing without a lane. */
static inline void
channel_hold(struct channel *c)
{
    if (channel_has_lane(c))
        lane_hold(&c->lane);
}
static inline void
channel_release(struct channel *c)
{
    if (channel_has_lane(c))
        lane_release(&c->lane);
}
/* The peer does not expect what was written. */
static inline void
channel_ring(struct channel *c)
{
    if (channel_has_lane(c))
        lane_ring(&c->lane);
}
static inline void
channel_polled(struct channel *c)
{
    c->ops->polled(c);
}
/* Block until readable (or writable): 1 ready, 0 timed out (timeout_ms, -1
 * forever), E_AGAIN interrupted by a signal, E_SYS. */
int channel_wait(struct channel *c, int want, int timeout_ms);
/* Close, but for the descriptor: it is the caller's from now on (-1: it was
 * closed). */
int channel_take_fd(struct channel *c);
static inline void
channel_close(struct channel *c)
{
    if (c->ops)
        c->ops->close(c);
}

#endif
