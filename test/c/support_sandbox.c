/* SPDX-License-Identifier: Apache-2.0 */
#include "support_sandbox.h"

#include <check.h>
#include <errno.h>
#include <linux/sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support_check.h"

static _Noreturn void
try_it(struct profile *p, int (*attempt)(void))
{
    char why[400];
    if (p != NULL && profile_apply(p, why, sizeof why) != 0) {
        fprintf(stderr, "%s\n", why);
        _exit(FAILED_TO_LOCK);
    }
    errno = 0;
    _exit(attempt());
}

static pid_t
fork_into(const struct profile *p)
{
    int lost = 0;
    pid_t child = p != NULL ? cell_fork(&p->cell, &lost) : fork();
    ck_assert(child >= 0 && !lost);
    return child;
}

static int
outcome_of(pid_t child)
{
    int status;
    pid_t ended = waitpid(child, &status, 0);
    ck_assert_int_gt(ended, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int
under(struct profile *p, int (*attempt)(void))
{
    pid_t child = fork_into(p);
    if (child == 0)
        try_it(p, attempt);
    return outcome_of(child);
}

/* Which of them ends first does not matter: the nest's status is 0, or a sign
 * that it could not fork. */
int
under_begun(struct profile *p, int (*attempt)(void))
{
    pid_t nest = fork_into(p);
    if (nest == 0) {
        struct clone_args args = {.flags = CLONE_PARENT};
        long pid = -1;
        if (profile_begin(p) == 0)
            pid = syscall(SYS_clone3, &args, sizeof args);
        if (pid == 0)
            try_it(p, attempt);
        _exit(pid > 0 ? 0 : 1);
    }
    ck_assert_int_eq(outcome_of(nest), 0);
    return outcome_of(-1);
}
