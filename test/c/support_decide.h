/* SPDX-License-Identifier: Apache-2.0 */
/* support_decide.h - what a filter of system calls should decide, said once
 * more and in another way than filter.c does. Used by: check_sandbox_filter.c.
 */
#ifndef TERRARIUM_SUPPORT_DECIDE_H
#define TERRARIUM_SUPPORT_DECIDE_H

#include <linux/seccomp.h>
#include <stdint.h>

#include "policy.h"

enum { MOST_NR = 600 };

#define OK SECCOMP_RET_ALLOW
#define ERROR(e) (SECCOMP_RET_ERRNO | (uint32_t)(e))
#define DIE SECCOMP_RET_KILL_PROCESS

/* Before the first decision. */
void decide_set_up(void);
uint32_t decide(const struct policy *p, int nr, const uint64_t *arg);

#endif
