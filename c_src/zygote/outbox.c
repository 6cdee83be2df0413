/* SPDX-License-Identifier: Apache-2.0 */
#include "outbox.h"

#include <errno.h>
#include <string.h>

#include "err.h"
#include "io.h"

void
outbox_init(struct outbox *o, int fd)
{
    memset(o, 0, sizeof *o);
    o->fd = fd;
}

static struct outbox_message *
at(struct outbox *o, size_t i)
{
    return &o->queue[(o->head + i) % OUTBOX_SIZE];
}

static void
close_fds(struct outbox_message *m)
{
    while (m->count > 0)
        io_close(&m->fds[--m->count]);
}

static void
drop_first(struct outbox *o)
{
    struct outbox_message *m = at(o, 0);
    close_fds(m);
    buf_fini(&m->bytes);
    o->head = (o->head + 1) % OUTBOX_SIZE;
    o->count--;
}

void
outbox_fini(struct outbox *o)
{
    while (o->count > 0)
        drop_first(o);
}

void
outbox_close_fds(struct outbox *o)
{
    for (size_t i = 0; i < o->count; i++)
        close_fds(at(o, i));
}

int
outbox_put(struct outbox *o, struct ctl_out *m, const int *fds, int count)
{
    struct outbox_message slot = {.count = count};
    int e = ctl_end(m);
    if (count > 0)
        memcpy(slot.fds, fds, sizeof(int) * (size_t)count);
    if (e == 0 && o->count == OUTBOX_SIZE)
        e = E_LIMIT;
    if (e != 0) {
        close_fds(&slot);
        ctl_free(m);
        return e;
    }
    slot.bytes = m->bytes;
    buf_init(&m->bytes, m->bytes.max);
    *at(o, o->count++) = slot;
    return 0;
}

/* Errors that pass: too many descriptors on their way, or no memory. */
static int
is_passing(int error)
{
    return error == ETOOMANYREFS || error == ENOBUFS || error == ENOMEM;
}

int
outbox_flush(struct outbox *o)
{
    while (o->count > 0) {
        struct outbox_message *m = at(o, 0);
        int e = io_send_packet(o->fd, m->bytes.data, m->bytes.len, m->fds,
                               m->count);
        if (e == E_SYS && is_passing(errno))
            return E_AGAIN;
        if (e != 0)
            return e;
        drop_first(o);
    }
    return 0;
}
