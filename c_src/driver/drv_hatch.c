/* SPDX-License-Identifier: Apache-2.0 */
/* drv_hatch.c - descriptors to the helper, each with a token, over a socket of
 * their own: a packet is there before the frame that names its token is
 * written, so the helper finds it.
 *
 * Ownership: the caller's descriptor stays the caller's; the kernel holds a
 * copy until the helper takes it, or ends.
 * Errors: BUSY where too many are on their way; DOWN; REFUSED with the name
 * of the error, such as "ebadf".   Threads: the port's. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "drv_helper.h"
#include "err.h"
#include "io.h"

ErlDrvSSizeT
hatch_pass(struct helper *h, const uint8_t *body, size_t n, struct drv_reply *r)
{
    uint64_t token;
    int32_t fd;
    if (n != sizeof token + sizeof fd)
        return drv_reply_refused(r, "pass takes <<Token:64, Fd:32>>");
    memcpy(&token, body, sizeof token);
    memcpy(&fd, body + sizeof token, sizeof fd);
    if (h->hatch < 0 || h->state == HELPER_CLOSED)
        return drv_reply(r, DRV_REPLY_DOWN);
    int e = io_send_packet(h->hatch, &token, sizeof token, &fd, 1);
    if (e == 0)
        return drv_reply(r, DRV_REPLY_OK);
    if (e == E_AGAIN || (e == E_SYS && errno == ETOOMANYREFS))
        return drv_reply(r, DRV_REPLY_BUSY);
    if (e == E_EOF)
        return drv_reply(r, DRV_REPLY_DOWN);
    return drv_reply_refused(r, erl_errno_id(errno));
}
