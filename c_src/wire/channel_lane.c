/* SPDX-License-Identifier: Apache-2.0 */
/* channel_lane.c - a channel over a lane. */
#include <string.h>

#include "channel.h"

static int
over_lane_read(struct channel *c, void *p, size_t cap, size_t *n)
{
    return lane_read(&c->lane, p, cap, n);
}

static int
over_lane_writev(struct channel *c, const struct iovec *v, int count, size_t *n)
{
    return lane_writev(&c->lane, v, count, n);
}

static int
over_lane_arm(struct channel *c, int want, short *events)
{
    return lane_arm(&c->lane, want, events);
}

static void
over_lane_disarm(struct channel *c)
{
    lane_disarm(&c->lane);
}

static void
over_lane_polled(struct channel *c)
{
    lane_polled(&c->lane);
}

static void
over_lane_close(struct channel *c)
{
    lane_close(&c->lane);
    c->fd = -1;
}

static const struct channel_ops lane_ops = {
    .read = over_lane_read,
    .writev = over_lane_writev,
    .arm = over_lane_arm,
    .disarm = over_lane_disarm,
    .polled = over_lane_polled,
    .close = over_lane_close,
};

int
channel_lane_init(struct channel *c, enum lane_side side, int segment, int fd)
{
    struct lane lane;
    int e = lane_open(&lane, side, segment, fd);
    if (e != 0)
        return e;
    memset(c, 0, sizeof *c);
    c->ops = &lane_ops;
    c->fd = fd;
    c->lane = lane;
    return 0;
}
