/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h - the one interface through which driver and helper exchange
 * bytes, whatever carries them.
 *
 * A channel is a reliable, ordered byte stream in each direction between
 * exactly one driver port and one helper.  channel_socket.c is the
 * implementation over a socketpair; a shared-memory lane fits behind the same
 * four operations.  Frames are cut above this interface.
 *
 * Ownership: the channel owns its descriptors.
 * Errors: E_AGAIN would block, E_EOF peer gone, E_SYS.
 * Threads: one reader and one writer. */
#ifndef TERRARIUM_CHANNEL_H
#define TERRARIUM_CHANNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct channel {
    const struct channel_ops *ops;
    int fd; /* the socket; also what to poll for readiness */
};

struct channel_ops {
    int (*read)(struct channel *c, void *p, size_t cap, size_t *n);
    int (*writev)(struct channel *c, const struct iovec *v, int count,
                  size_t *n);
    /* Block until readable (or writable): 1 ready, 0 timed out (timeout_ms,
     * -1 forever), E_AGAIN interrupted by a signal, E_SYS. */
    int (*wait)(struct channel *c, int for_write, int timeout_ms);
    void (*close)(struct channel *c);
};

/* Takes a connected stream socket and makes it non-blocking. */
int channel_socket_init(struct channel *c, int fd);

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
channel_wait(struct channel *c, int for_write, int timeout_ms)
{
    return c->ops->wait(c, for_write, timeout_ms);
}
static inline void
channel_close(struct channel *c)
{
    if (c->ops)
        c->ops->close(c);
}

#endif
