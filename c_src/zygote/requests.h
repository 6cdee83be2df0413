/* SPDX-License-Identifier: Apache-2.0 */
/* requests.h - what the VM may ask of a zygote.
 * Used by: zygote.   Knows: every control message of direction DOWN.
 * Errors: none for the caller; a request that makes no sense is logged to the
 * VM and ignored.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_REQUESTS_H
#define TERRARIUM_ZYGOTE_REQUESTS_H

#include <stddef.h>

#include "state.h"

void requests_handle(struct zygote *z, const void *p, size_t n);

#endif
