/* SPDX-License-Identifier: Apache-2.0 */
/* drv_helper_start.c - from the descriptors of a helper to its port.
 *
 * Used by: drv, drv_zygote.   Knows: the helper's port.
 * Does not know: where the descriptors come from.
 * Ownership: what is taken belongs to the port, in which it ends
 * (drv_helper.c); nothing is taken where no port comes of it.
 * Errors: NULL with errno.   Threads: those of the port from which it is made.
 */
#include "drv_helper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "io.h"

enum { SOCKET, STDOUT, STDERR, PIDFD, HATCH, FDS }; /* not the lane's */

static struct helper *
helper_new(uint32_t etf_flags)
{
    struct helper *h = driver_alloc(sizeof *h);
    if (h == NULL)
        return NULL;
    memset(h, 0, sizeof *h);
    if (drv_reader_init(&h->reader, etf_flags) != 0) {
        driver_free(h);
        return NULL;
    }
    h->base.ops = &helper_ops;
    h->grace_ms = WIRE_LIMIT_GRACE_MS;
    h->deadline_ms = WIRE_LIMIT_FRAME_DEADLINE_MS;
    h->atom_answer = driver_mk_atom("py_answer");
    h->state = HELPER_BOOTING;
    h->bet.lease.slot = -1;
    pending_init(&h->pending);
    return h;
}

static void
helper_free(struct helper *h)
{
    drv_reader_fini(&h->reader);
    driver_free(h);
}

static void
set_port(struct helper *h, ErlDrvPort port)
{
    h->base.port = port;
    h->base.term = driver_mk_port(port);
}

static int
open_channel(struct channel *c, int sock, int lane)
{
    if (lane < 0)
        return channel_socket_init(c, sock);
    int e = channel_lane_init(c, LANE_VM, lane, sock);
    if (e != 0 && e != E_SYS)
        errno = EINVAL;
    return e;
}

/* A helper with these descriptors, which are its own from now on; they stay the
 * caller's where this fails. */
static struct helper *
helper_open(const int *fds, int lane, uint32_t flags)
{
    struct helper *h = helper_new(flags);
    errno = ENOMEM;
    if (h == NULL)
        return NULL;
    if (drv_output_open(&h->output, fds[STDOUT], fds[STDERR]) != 0 ||
        open_channel(&h->channel, fds[SOCKET], lane) != 0) {
        helper_free(h);
        return NULL;
    }
    h->pidfd = fds[PIDFD];
    h->hatch = fds[HATCH];
    return h;
}

struct drv_port *
drv_helper_start(ErlDrvPort port, const char *args)
{
    int given[FDS], fds[FDS], lane;
    unsigned flags;
    struct helper *h = NULL;
    if (sscanf(args, "%d %d %d %d %d %d %u", &given[SOCKET], &given[STDOUT],
               &given[STDERR], &given[PIDFD], &lane, &given[HATCH],
               &flags) != 7) {
        errno = EINVAL;
        return NULL;
    }
    if (io_dup(given, fds, FDS) == 0) /* in tests there is no hatch */
        h = helper_open(fds, lane, flags);
    if (h != NULL) {
        set_port(h, port);
        return &h->base;
    }
    for (int i = 0; i < FDS; i++)
        io_close(&fds[i]);
    return NULL;
}

/* As a zygote sends them. */
enum { SENT_LANE = 4, SENT_HATCH, SENT };

struct drv_port *
drv_helper_take(ErlDrvPort from, ErlDrvTermData owner, int *given, int count,
                uint32_t flags, int lane)
{
    static char name[] = "py_drv helper";
    if (count != SENT) {
        errno = EINVAL;
        return NULL;
    }
    int fds[FDS] = {given[SOCKET], given[STDOUT], given[STDERR], given[PIDFD],
                    given[SENT_HATCH]};
    struct helper *h = helper_open(fds, lane ? given[SENT_LANE] : -1, flags);
    if (h == NULL)
        return NULL;
    ErlDrvPort port = driver_create_port(from, owner, name, (ErlDrvData)h);
    if (port == (ErlDrvPort)-1) { /* its owner is gone */
        channel_take_fd(&h->channel);
        helper_free(h);
        errno = ESRCH;
        return NULL;
    }
    h->taken = 1;
    set_port(h, port);
    set_port_control_flags(port, PORT_CONTROL_FLAG_BINARY);
    for (int i = 0; i < SENT; i++)
        if (i != SENT_LANE)
            given[i] = -1;
    return &h->base;
}
