/* SPDX-License-Identifier: Apache-2.0 */
/* drv_process.c - signals and reaping through pidfds, so that a recycled pid
 * can never be hit. */
#include "drv.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int
drv_pidfd_open(int pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

int
drv_pidfd_signal(int pidfd, int sig, uint64_t value)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = sig;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = (void *)(uintptr_t)value;
    return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, &info, 0);
}

/* Linux 6.9; its number is part of the system's interface. */
enum { SIGNAL_PROCESS_GROUP = 1 << 2 };

/* The group goes too, also when its leader is dead already: with a pidfd that
 * cannot hit a group that was given the same number later. */
int
drv_pidfd_kill(int pidfd)
{
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, SIGNAL_PROCESS_GROUP);
    return (int)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

int
drv_pidfd_reap(int pidfd, int block, int *signaled, int *status)
{
    siginfo_t info;
    int r;
    memset(&info, 0, sizeof info);
    do
        r = waitid(P_PIDFD, (id_t)pidfd, &info,
                   WEXITED | (block ? 0 : WNOHANG));
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -1;
    if (info.si_pid == 0)
        return 0;
    *signaled = info.si_code != CLD_EXITED;
    *status = info.si_status;
    return 1;
}
