/* SPDX-License-Identifier: Apache-2.0 */
#include "hatch.h"

#include <stddef.h>
#include <string.h>

#include "err.h"
#include "io.h"

struct kept {
    uint64_t token;
    int fd;
};

static struct {
    int fd;
    unsigned count;
    struct kept kept[HATCH_KEPT]; /* the oldest first */
} state = {.fd = -1};

void
hatch_init(int fd)
{
    state.fd = fd;
    state.count = 0;
}

static void
forget(unsigned i)
{
    state.count--;
    memmove(&state.kept[i], &state.kept[i + 1],
            (state.count - i) * sizeof state.kept[0]);
}

void
hatch_close(void)
{
    io_close(&state.fd);
    while (state.count > 0)
        io_close(&state.kept[--state.count].fd);
}

static void
keep(uint64_t token, int fd)
{
    if (state.count == HATCH_KEPT) {
        io_close(&state.kept[0].fd);
        forget(0);
    }
    state.kept[state.count++] = (struct kept){token, fd};
}

/* All that has come. */
static int
receive(void)
{
    for (;;) {
        uint64_t token;
        int fds[IO_MAX_FDS], count = 0;
        size_t n = 0;
        int e = io_recv_packet(state.fd, &token, sizeof token, &n, fds, &count);
        if (e != 0)
            return e == E_AGAIN ? 0 : e;
        if (n == sizeof token && count == 1) {
            keep(token, fds[0]);
            continue;
        }
        while (count > 0)
            io_close(&fds[--count]);
        return E_FORMAT;
    }
}

int
hatch_take(uint64_t token, int *fd)
{
    int e = receive();
    for (unsigned i = 0; i < state.count; i++) {
        if (state.kept[i].token != token)
            continue;
        *fd = state.kept[i].fd;
        forget(i);
        return 0;
    }
    return e != 0 ? e : E_AGAIN;
}
