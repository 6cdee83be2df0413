/* SPDX-License-Identifier: Apache-2.0 */
#include "copy.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

int *
copy_tid(void)
{
    int *at = NULL;
    if (prctl(PR_GET_TID_ADDRESS, &at, 0, 0, 0) != 0 || at == NULL ||
        *at != (int)syscall(SYS_gettid))
        return NULL;
    return at;
}

int
copy_is_possible(void)
{
#ifdef SYS_clone3
    return copy_tid() != NULL;
#else
    return 0;
#endif
}

#ifdef SYS_clone3
pid_t
copy_fork(int *tid, uint64_t flags, int *told)
{
    struct clone_args args;
    void *robust = NULL;
    size_t size = 0;
    memset(&args, 0, sizeof args);
    args.flags = flags | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID |
                 (told != NULL ? CLONE_PARENT_SETTID : 0);
    args.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD;
    args.child_tid = (uint64_t)(uintptr_t)tid;
    args.parent_tid = (uint64_t)(uintptr_t)told;
    int has_robust = syscall(SYS_get_robust_list, 0, &robust, &size) == 0;
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0 && has_robust)
        syscall(SYS_set_robust_list, robust, size);
    return pid;
}
#else
pid_t
copy_fork(int *tid, uint64_t flags, int *told)
{
    (void)tid, (void)flags, (void)told;
    errno = ENOSYS;
    return -1;
}
#endif
