/* SPDX-License-Identifier: Apache-2.0 */
/* shut.h - close all descriptors but some.
 * Used by: spawn, in the child that is to be locked up: what preloaded modules
 * have open is not for it.   Errors: none.   Threads: none others. */
#ifndef TERRARIUM_ZYGOTE_SHUT_H
#define TERRARIUM_ZYGOTE_SHUT_H

#include <stddef.h>

/* Those from 3 on that are not in keep; -1 in keep is nothing.  It sorts keep.
 */
void shut_all_but(int *keep, size_t count);

#endif
