/* SPDX-License-Identifier: Apache-2.0 */
/* boot.h - the BOOT frame: turn a spare helper into somebody's context; and
 * HELLO, the answer to it.
 *
 * Used by: helper.   Knows: the keys of the boot map (docs/internals.md).
 * Does not know: the session.
 * Threads: the main thread, holding the GIL; user code runs (imports). */
#ifndef TERRARIUM_BOOT_H
#define TERRARIUM_BOOT_H

#include "py.h"
#include "buf.h"
#include "context.h"

/* Apply the map p[0..n).  0; 1 with an exception set (one of its wishes
 * failed); E_FORMAT, E_LIMIT or E_NOMEM when it is no map. */
int boot_apply(struct context *c, const uint8_t *p, size_t n);

/* Does that map ask for the lane?  0, or why it is no map. */
int boot_wants_lane(const uint8_t *p, size_t n, int *wanted);

/* Append the body of HELLO: 0 or buf's errors. */
int boot_hello(struct buf *out);

#endif
