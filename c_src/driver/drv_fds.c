/* SPDX-License-Identifier: Apache-2.0 */
/* drv_fds.c - descriptors of the VM, for Erlang code that hands them on: a copy
 * of one, and the end of a copy.
 *
 * A port of this kind holds nothing; whoever asks owns what it is given.
 * Numbers below 3 are never given out and never closed.  Whether a number is
 * one of a port that the VM still uses can not be seen from here.
 * Used by: drv.
 * Errors: REFUSED with the name of the error, such as "ebadf".
 * Threads: any; nothing is shared but the table of descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "drv.h"
#include "wire.h"

enum { LOWEST = 3 };

static ErlDrvSSizeT
refused(struct drv_reply *r, int error)
{
    return drv_reply_refused(r, erl_errno_id(error));
}

static ErlDrvSSizeT
copy(int32_t fd, struct drv_reply *r)
{
    int32_t made = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST);
    if (made < 0)
        return refused(r, errno);
    return drv_reply_data(r, DRV_REPLY_OK, &made, sizeof made);
}

/* EINTR or EIO say that it is closed as well (close(2) on Linux). */
static ErlDrvSSizeT
end(int32_t fd, struct drv_reply *r)
{
    if (fd < LOWEST || (close(fd) != 0 && errno == EBADF))
        return refused(r, EBADF);
    return drv_reply(r, DRV_REPLY_OK);
}

static ErlDrvSSizeT
fds_control(struct drv_port *p, unsigned op, const uint8_t *body, size_t n,
            struct drv_reply *r)
{
    (void)p;
    int32_t fd;
    if (n == sizeof fd) {
        memcpy(&fd, body, sizeof fd);
        if (op == DRV_OP_DUP_FD)
            return copy(fd, r);
        if (op == DRV_OP_CLOSE_FD)
            return end(fd, r);
    }
    return refused(r, EINVAL);
}

static void
fds_stop(struct drv_port *p)
{
    driver_free(p);
}

static void
fds_nothing(struct drv_port *p)
{
    (void)p;
}

static void
fds_outputv(struct drv_port *p, ErlIOVec *ev)
{
    (void)p;
    (void)ev;
}

static const struct drv_ops fds_ops = {
    .control = fds_control,
    .outputv = fds_outputv,
    .flush = fds_nothing,
    .stop = fds_stop,
};

struct drv_port *
drv_fds_start(ErlDrvPort port)
{
    struct drv_port *p = driver_alloc(sizeof *p);
    if (p == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    memset(p, 0, sizeof *p);
    p->ops = &fds_ops;
    p->port = port;
    p->term = driver_mk_port(port);
    return p;
}
