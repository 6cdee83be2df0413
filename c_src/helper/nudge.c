/* SPDX-License-Identifier: Apache-2.0 */
#include "nudge.h"

#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "err.h"
#include "io.h"

int
nudge_open(struct nudge *n)
{
    n->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return n->fd < 0 ? E_SYS : 0;
}

void
nudge_close(struct nudge *n)
{
    io_close(&n->fd);
}

/* Neither can fail but by a full or an empty counter, which are as good. */
void
nudge_give(const struct nudge *n)
{
    const uint64_t one = 1;
    if (n->fd >= 0)
        (void)!write(n->fd, &one, sizeof one);
}

void
nudge_take(const struct nudge *n)
{
    uint64_t count;
    (void)!read(n->fd, &count, sizeof count);
}
