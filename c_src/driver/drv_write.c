/* SPDX-License-Identifier: Apache-2.0 */
/* drv_write.c - bytes to the helper.  What the channel does not take at once
 * waits in the ERTS driver queue, in order, until it is writable. */
#include "drv_helper.h"
#include "err.h"

enum { MAX_IOV = 64 };

/* Write directly when nothing is queued; *done says how much went. */
static void
write_now(struct helper *h, const struct iovec *v, int count, size_t *done)
{
    *done = 0;
    if (driver_sizeq(h->base.port) > 0)
        return;
    int e = channel_writev(&h->channel, v, count, done);
    if (e != 0 && e != E_AGAIN)
        h->write_failed = 1;
    h->stats.bytes_out += *done;
}

static void
watch_write(struct helper *h, int on)
{
    if (h->watching_write == on)
        return;
    h->watching_write = on;
    driver_select(h->base.port, (ErlDrvEvent)(intptr_t)h->channel.fd,
                  on ? ERL_DRV_WRITE | ERL_DRV_USE : ERL_DRV_WRITE, on);
}

static void
enqueue_rest(struct helper *h, const struct iovec *v, int count, size_t done)
{
    for (int i = 0; i < count; i++) {
        size_t n = v[i].iov_len;
        size_t skip = done < n ? done : n;
        done -= skip;
        if (n > skip)
            driver_enq(h->base.port, (char *)v[i].iov_base + skip, n - skip);
    }
    if (driver_sizeq(h->base.port) > 0)
        watch_write(h, 1);
}

void
helper_write_frame(struct helper *h, uint8_t opcode, uint8_t flags, uint64_t id,
                   const void *body, size_t n)
{
    uint8_t head[WIRE_LIMIT_HEADER_SIZE];
    struct wire_header wh = {
        .length = (uint32_t)n, .opcode = opcode, .flags = flags, .id = id};
    struct iovec v[2] = {{head, sizeof head}, {(void *)body, n}};
    size_t done;
    if (h->state == HELPER_CLOSED || h->write_failed)
        return;
    wire_put_header(head, &wh);
    write_now(h, v, 2, &done);
    if (!h->write_failed && done < sizeof head + n)
        enqueue_rest(h, v, 2, done);
}

void
helper_write_frame_vec(struct helper *h, uint8_t opcode, uint8_t flags,
                       uint64_t id, ErlIOVec *ev, size_t skip)
{
    uint8_t head[WIRE_LIMIT_HEADER_SIZE];
    struct wire_header wh = {.length = (uint32_t)(ev->size - skip),
                             .opcode = opcode,
                             .flags = flags,
                             .id = id};
    if (h->state == HELPER_CLOSED || h->write_failed)
        return;
    wire_put_header(head, &wh);
    driver_enq(h->base.port, (char *)head, sizeof head);
    driver_enqv(h->base.port, ev, (ErlDrvSizeT)skip);
    helper_flush(h);
}

void
helper_flush(struct helper *h)
{
    while (driver_sizeq(h->base.port) > 0) {
        int count;
        size_t n = 0;
        SysIOVec *v = driver_peekq(h->base.port, &count);
        int e = channel_writev(&h->channel, (struct iovec *)v,
                               count < MAX_IOV ? count : MAX_IOV, &n);
        if (e == E_AGAIN) {
            watch_write(h, 1);
            return;
        }
        if (e != 0) {
            h->write_failed = 1;
            driver_deq(h->base.port, driver_sizeq(h->base.port));
            break;
        }
        h->stats.bytes_out += n;
        driver_deq(h->base.port, n);
    }
    watch_write(h, 0);
    if (h->resignal)
        calls_resignal(h);
}
