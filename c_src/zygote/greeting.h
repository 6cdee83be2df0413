/* SPDX-License-Identifier: Apache-2.0 */
/* greeting.h - how a zygote introduces itself: ready, failed, hello.
 * Used by: zygote.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_GREETING_H
#define TERRARIUM_ZYGOTE_GREETING_H

#include "state.h"

/* Queue `ready`, after a warning if preloaded modules started threads. */
void greeting_ready(struct zygote *z);

/* Send `failed` at once, for a zygote that will not serve (fd: the control
 * socket; what it cannot take is lost, the exit status remains). */
void greeting_failed(int fd, const char *reason);

/* Is it for this user (io_recv_vouched) that we are here?  Ours and root are;
 * any other is told why not, and that ends the zygote. */
int greeting_serves(struct zygote *z, int64_t user);

/* The VM's hello: check that it speaks our wire, watch its process, answer.
 * A mismatch ends the zygote. */
void greeting_receive(struct zygote *z, const struct ctl_map *m);

#endif
