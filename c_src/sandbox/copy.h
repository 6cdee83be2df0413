/* SPDX-License-Identifier: Apache-2.0 */
/* copy.h - a fork that is clone3(2) and nothing else: for what fork(3) can not
 * be asked for, flags.
 *
 * What fork(3) would repair is whole where the process has one thread, which
 * holds no lock: the child has that thread with the same stack and the same
 * pthread_t.  What is not the same is its id, which the kernel writes where
 * libc keeps it, and that the kernel forgets its list of robust mutexes, which
 * it is told again.  No hooks for forks run. Used by: cell, the zygote's nests,
 * tests.   Knows: nothing. Threads: one. */
#ifndef TERRARIUM_SANDBOX_COPY_H
#define TERRARIUM_SANDBOX_COPY_H

#include <stdint.h>
#include <sys/types.h>

/* Where libc keeps the id of this thread; NULL where the kernel will not say.
 */
int *copy_tid(void);
/* Does this system have what it takes? */
int copy_is_possible(void);
/* As fork(3) returns, with these flags of clone3.  With CLONE_PARENT it is a
 * child of our parent's, which hears of its death as of ours: by SIGCHLD.
 * told (or NULL): the child's pid is there, for whoever shares that memory, if
 * and as soon as there is a child. */
pid_t copy_fork(int *tid, uint64_t flags, int *told);

#endif
