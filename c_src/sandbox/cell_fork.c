/* SPDX-License-Identifier: Apache-2.0 */
/* cell_fork.c - children that are born in a cell's namespace of process ids.
 *
 * setns(2) into one is about a process's children.  Root goes in, forks, and
 * comes back.  Anyone else would first have to be in the user namespace that it
 * belongs to, from which there is no way back, and which has the rights over
 * all that a helper is to be kept in.  So there another process goes between: a
 * fork of ours that joins both, has a copy of itself made with CLONE_PARENT,
 * which makes that our child, and is gone.  It is made by fork(3), so the hooks
 * of libraries run, once, for parent and child.  The kernel writes down the
 * child's pid where we see it before either goes on, so no death of who goes
 * between leaves a child that we do not know: its zombie would keep the first
 * process from ending. */
#include "cell.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "copy.h"

/* ---- root ---------------------------------------------------------------- */

static pid_t
fork_from_within(const struct cell *c, int *lost)
{
    if (setns(c->pids, CLONE_NEWPID) != 0)
        return -1;
    pid_t pid = fork();
    int saved = errno;
    if (pid != 0)
        *lost = setns(c->own_pids, CLONE_NEWPID) != 0;
    errno = saved;
    return pid;
}

/* ---- anyone else --------------------------------------------------------- */

/* In the process between.  Returns in the child only. */
static void
go_between(const struct cell *c, int *tid, int *pid)
{
    pid_t child = -1;
    if (setns(c->fds[CELL_USER], CLONE_NEWUSER) == 0 &&
        setns(c->pids, CLONE_NEWPID) == 0)
        child = copy_fork(tid, CLONE_PARENT, pid);
    if (child != 0)
        _exit(child > 0 ? 0 : errno);
}

/* Its end; *how: its errno. */
static void
await(pid_t between, int *how)
{
    int status = 0;
    while (waitpid(between, &status, 0) < 0 && errno == EINTR)
        continue;
    *how = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

static pid_t
fork_by_another(const struct cell *c)
{
    int *tid = copy_tid(), how = ENOSYS;
    int *pid = mmap(NULL, sizeof *pid, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pid == MAP_FAILED)
        return -1;
    *pid = -1;
    pid_t between = tid != NULL ? fork() : -1;
    if (between == 0) {
        go_between(c, tid, pid);
        munmap(pid, sizeof *pid);
        return 0;
    }
    if (between > 0)
        await(between, &how);
    else if (tid != NULL)
        how = errno;
    pid_t child = *pid;
    munmap(pid, sizeof *pid);
    errno = how;
    return child;
}

/* ---- both ---------------------------------------------------------------- */

pid_t
cell_fork(const struct cell *c, int *lost)
{
    *lost = 0;
    if (c->pids < 0)
        return fork();
    return c->own_pids >= 0 ? fork_from_within(c, lost) : fork_by_another(c);
}

int
cell_fork_works(const struct cell *c)
{
    int lost, status = -1;
    pid_t pid = cell_fork(c, &lost);
    if (pid == 0)
        _exit(getppid() == 0 && getpid() > 1 ? 0 : 1);
    int saved = errno;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    errno = pid > 0 ? EIO : saved;
    return status == 0 && !lost;
}
