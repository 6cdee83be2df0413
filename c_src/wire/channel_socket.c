/* SPDX-License-Identifier: Apache-2.0 */
/* channel_socket.c - a channel over a SOCK_STREAM socketpair. */
#include <errno.h>
#include <poll.h>

#include "channel.h"
#include "err.h"
#include "io.h"

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
socket_wait(struct channel *c, int for_write, int timeout_ms)
{
    struct pollfd p = {.fd = c->fd, .events = for_write ? POLLOUT : POLLIN};
    int k = poll(&p, 1, timeout_ms);
    if (k < 0)
        return errno == EINTR ? E_AGAIN : E_SYS;
    return k;
}

static void
socket_close(struct channel *c)
{
    io_close(&c->fd);
}

static const struct channel_ops socket_ops = {
    .read = socket_read,
    .writev = socket_writev,
    .wait = socket_wait,
    .close = socket_close,
};

int
channel_socket_init(struct channel *c, int fd)
{
    int r = io_set_nonblock(fd, 1);
    if (r != 0)
        return r;
    c->ops = &socket_ops;
    c->fd = fd;
    return 0;
}
