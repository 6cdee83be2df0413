/* SPDX-License-Identifier: Apache-2.0 */
/* split.h - one filter of system calls as two, put on at different times.
 *
 * The kernel takes the stricter answer of all filters of a process.  `early'
 * says what the whole one says, but lets the calls pass by which a process
 * forks another one and locks itself up; `late' says what the whole one says of
 * just those.  Both together are the whole one.  So the large one is put on
 * (and compiled by the kernel) once, in a process that others are forked from,
 * and each of those puts on the small one.
 *
 * Used by: profile, tests.   Knows: the instructions that libseccomp writes.
 * Ownership: the caller's, as in filter.h.
 * Errors: E_NOMEM; E_FORMAT for a program that it does not understand, which
 * must then be put on as a whole.   Threads: pure. */
#ifndef TERRARIUM_SANDBOX_SPLIT_H
#define TERRARIUM_SANDBOX_SPLIT_H

#include "filter.h"

/* late has, in front, room for what filter_of makes. */
int filter_split(const struct filter *whole, struct filter *early,
                 struct filter *late);

/* From now on late is for this process: it can signal nobody else. */
void filter_of(struct filter *late, pid_t self);

#endif
