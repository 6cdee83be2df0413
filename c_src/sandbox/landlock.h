/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.h - a policy as a Landlock ruleset: paths, ports, scopes.
 *
 * The ruleset is made once per policy, in the zygote; a helper puts it on
 * itself, which opens nothing.  Only a helper with a /tmp of its own makes its
 * own ruleset.
 * Used by: profile, tests.   Does not know: namespaces, system calls.
 * Errors: E_SYS with errno, E_REFUSED (this kernel cannot).   Threads: pure. */
#ifndef TERRARIUM_SANDBOX_LANDLOCK_H
#define TERRARIUM_SANDBOX_LANDLOCK_H

#include "args.h"
#include "policy.h"

/* The ABI of this kernel; 0: it has no Landlock. */
int landlock_abi(void);

/* Those of LAYER_LANDLOCK* that the ABI offers. */
unsigned landlock_layers(int abi);

/* The ruleset of a policy, with `readable` to be read as well: its descriptor
 * (close-on-exec) in *fd.  A path that does not exist is left out of
 * `readable`, and is an error in the policy, which *bad then names.  With tmp
 * /tmp is to be written, too: that of the helper which asks. */
int landlock_ruleset(const struct policy *p, const struct args_list *readable,
                     int abi, int tmp, int *fd, const char **bad);

/* Put it on this process, for ever.  Needs no_new_privs. */
int landlock_restrict(int fd);

#endif
