/* SPDX-License-Identifier: Apache-2.0 */
/* nested.h - grants within what the same policy lets write.
 *
 * Whoever may write in a directory can put a link in the place of what lies
 * there, and the next one with this policy would be granted what the link leads
 * to.  Such a grant adds nothing to the one around it, so it is left out.
 * Used by: profile, zygote (fresh.c).   Knows: policy.
 * Does not know: how grants are put on.
 * Errors: E_SYS, E_NOMEM.   Threads: pure. */
#ifndef TERRARIUM_SANDBOX_NESTED_H
#define TERRARIUM_SANDBOX_NESTED_H

#include "policy.h"

/* Leave out of the policy's paths those whose way goes through a directory that
 * it lets write. */
int nested_leave_out(struct policy *p);

#endif
