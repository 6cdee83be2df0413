/* SPDX-License-Identifier: Apache-2.0 */
/* support_sandbox.h - attempts of processes that are locked up.
 * Used by: check_sandbox_profile.   Errors: fail the test. */
#ifndef TERRARIUM_SUPPORT_SANDBOX_H
#define TERRARIUM_SUPPORT_SANDBOX_H

#include "profile.h"

enum { FAILED_TO_LOCK = 200 };

/* What `attempt' returns (below 200) in a process under the profile (NULL:
 * none); minus a signal. */
int under(struct profile *p, int (*attempt)(void));
/* The same in one that was forked from a process which had begun. */
int under_begun(struct profile *p, int (*attempt)(void));

#endif
