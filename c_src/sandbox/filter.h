/* SPDX-License-Identifier: Apache-2.0 */
/* filter.h - a policy's filter of system calls (seccomp(2)).
 *
 * libseccomp makes the program once per policy, in the zygote; the helper
 * installs it as it is, with one more that depends on its pid.
 * Used by: profile, tests.   Does not know: who is filtered.
 * Ownership: a filter owns its instructions.
 * Errors: E_SYS, E_NOMEM.   Threads: pure. */
#ifndef TERRARIUM_SANDBOX_FILTER_H
#define TERRARIUM_SANDBOX_FILTER_H

#include <linux/filter.h>
#include <stddef.h>
#include <sys/types.h>

#include "policy.h"

struct filter {
    struct sock_filter *code;
    size_t count; /* of instructions */
};

/* Does this kernel have what a filter needs? */
int filter_available(void);
int filter_make(struct filter *f, const struct policy *p);
void filter_free(struct filter *f);

/* The name of a system call of this machine; "" where there is none. */
void filter_name(int nr, char *name, size_t n);

/* A filter with which a process can signal nobody but itself, nor ask about
 * anybody else by a process id: this many instructions, one of which allows
 * what is neither. */
enum { SELFKILL_COUNT = 22, SELFKILL_OTHERS = 12 };
void selfkill_make(struct sock_filter code[SELFKILL_COUNT], pid_t self);

/* Put it on all threads of this process, for ever.  Needs no_new_privs. */
int filter_install(const struct sock_filter *code, size_t count);

#endif
