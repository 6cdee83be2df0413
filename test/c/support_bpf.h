/* SPDX-License-Identifier: Apache-2.0 */
/* support_bpf.h - run a seccomp filter here, as the kernel would.
 * Used by: check_sandbox_filter, _trap.   Knows: the instructions that such
 * filters consist of; any other one fails the test. */
#ifndef TERRARIUM_SUPPORT_BPF_H
#define TERRARIUM_SUPPORT_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>

/* What the filter returns: SECCOMP_RET_*, with its data. */
uint32_t bpf_run(const struct sock_filter *code, size_t count,
                 const struct seccomp_data *data);

#endif
