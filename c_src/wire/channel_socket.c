/* SPDX-License-Identifier: Apache-2.0 */
/* channel_socket.c - a channel over a SOCK_STREAM socketpair, and what all
 * channels share. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "channel.h"
#include "err.h"
#include "io.h"

int
channel_wait(struct channel *c, int want, int timeout_ms)
{
    struct pollfd p = {.fd = c->fd};
    if (channel_arm(c, want, &p.events))
        return 1;
    int k = poll(&p, 1, timeout_ms);
    int saved = errno;
    channel_disarm(c);
    if (k > 0)
        channel_polled(c);
    if (k < 0)
        return saved == EINTR ? E_AGAIN : E_SYS;
    return k;
}

int
channel_take_fd(struct channel *c)
{
    int fd = c->fd;
    c->fd = -1;
    c->lane.sock = -1;
    channel_close(c);
    return fd;
}

static int
socket_read(struct channel *c, void *p, size_t cap, size_t *n)
{
    return io_read(c->fd, p, cap, n);
}

static int
socket_writev(struct channel *c, const struct iovec *v, int count, size_t *n)
{
    return io_writev(c->fd, v, count, n);
}

static int
socket_arm(struct channel *c, int want, short *events)
{
    (void)c;
    *events = (short)((want & CHANNEL_READ ? POLLIN : 0) |
                      (want & CHANNEL_WRITE ? POLLOUT : 0));
    return 0;
}

static void
socket_need_nothing(struct channel *c)
{
    (void)c;
}

static void
socket_close(struct channel *c)
{
    io_close(&c->fd);
}

static const struct channel_ops socket_ops = {
    .read = socket_read,
    .writev = socket_writev,
    .arm = socket_arm,
    .disarm = socket_need_nothing,
    .polled = socket_need_nothing,
    .close = socket_close,
};

int
channel_socket_init(struct channel *c, int fd)
{
    int r = io_set_nonblock(fd, 1);
    if (r != 0)
        return r;
    memset(c, 0, sizeof *c);
    c->ops = &socket_ops;
    c->fd = fd;
    return 0;
}
