/* SPDX-License-Identifier: Apache-2.0 */
#include "drv_output.h"

#include <string.h>

#include "err.h"
#include "io.h"

enum { CHUNK = 8192, LAST_CHUNKS = 16 };

static const char *const stream_names[2] = {"stdout", "stderr"};

static void
watch(struct drv_output *o, struct drv_port *p, int on)
{
    for (int i = 0; i < 2; i++)
        if (o->fds[i] >= 0)
            driver_select(p->port, (ErlDrvEvent)(intptr_t)o->fds[i],
                          on ? ERL_DRV_READ | ERL_DRV_USE : ERL_DRV_READ, on);
}

int
drv_output_open(struct drv_output *o, int out, int err)
{
    int r = io_set_nonblock(out, 1);
    if (r == 0)
        r = io_set_nonblock(err, 1);
    if (r != 0)
        return r;
    o->fds[0] = out;
    o->fds[1] = err;
    o->credit = WIRE_LIMIT_OUTPUT_CREDIT;
    return 0;
}

void
drv_output_begin(struct drv_output *o, struct drv_port *p)
{
    watch(o, p, 1);
}

void
drv_output_stop(struct drv_output *o, struct drv_port *p)
{
    drv_unwatch_close(p, &o->fds[0]);
    drv_unwatch_close(p, &o->fds[1]);
}

/* The tail is a ring indexed by the count of all bytes ever put into it. */
static void
keep_tail(struct drv_output *o, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        o->tail[o->tail_len++ % WIRE_LIMIT_STDERR_TAIL] = data[i];
}

/* Read once and pass it on; 0, or the error that ended it. */
static int
pass_chunk(struct drv_output *o, struct drv_port *p, int i)
{
    uint8_t chunk[CHUNK];
    size_t n;
    int r = io_read(o->fds[i], chunk, sizeof chunk, &n);
    if (r == E_AGAIN)
        return r;
    if (r != 0) {
        drv_unwatch_close(p, &o->fds[i]);
        return r;
    }
    if (i == 1)
        keep_tail(o, chunk, n);
    drv_tell_output(p, stream_names[i], chunk, n);
    o->credit = n < o->credit ? o->credit - n : 0;
    return 0;
}

int
drv_output_ready(struct drv_output *o, struct drv_port *p, int fd)
{
    int i = fd == o->fds[0] ? 0 : fd == o->fds[1] ? 1 : -1;
    if (i < 0)
        return 0;
    if (!o->paused)
        pass_chunk(o, p, i);
    if (o->credit == 0 && !o->paused) {
        o->paused = 1;
        watch(o, p, 0);
        drv_tell_atom(p, "output_paused");
    }
    return 1;
}

void
drv_output_more(struct drv_output *o, struct drv_port *p)
{
    o->credit = WIRE_LIMIT_OUTPUT_CREDIT;
    if (!o->paused)
        return;
    o->paused = 0;
    watch(o, p, 1);
}

size_t
drv_output_tail(struct drv_output *o, struct drv_port *p, uint8_t *to)
{
    for (int k = 0; k < LAST_CHUNKS && o->fds[1] >= 0; k++)
        if (pass_chunk(o, p, 1) != 0)
            break;
    size_t n = o->tail_len;
    if (n > WIRE_LIMIT_STDERR_TAIL)
        n = WIRE_LIMIT_STDERR_TAIL;
    for (size_t i = 0; i < n; i++)
        to[i] = o->tail[(o->tail_len - n + i) % WIRE_LIMIT_STDERR_TAIL];
    return n;
}
