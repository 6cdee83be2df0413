/* SPDX-License-Identifier: Apache-2.0 */
/* host.h - where this host keeps what imports need: Python's own modules and
 * path, the shared libraries, time zones.
 * Used by: zygote (start).   Knows: sys.path.
 * Ownership: the caller's profile_host.   Errors: E_NOMEM.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_HOST_H
#define TERRARIUM_ZYGOTE_HOST_H

#include "profile.h"

int host_find(struct profile_host *h);

#endif
