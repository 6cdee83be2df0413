/* SPDX-License-Identifier: Apache-2.0 */
/* selfkill.c - the filter that depends on the pid, so it is made in the child:
 * signals only to itself, questions only about itself.
 * It says nothing of the architecture: the other filter does. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "filter.h"

#define NR offsetof(struct seccomp_data, nr)
/* The low half of the first argument: both machines are little-endian. */
#define FIRST offsetof(struct seccomp_data, args[0])
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
#define IF_EQ(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no)

void
selfkill_make(struct sock_filter code[SELFKILL_COUNT], pid_t self)
{
    const struct sock_filter made[SELFKILL_COUNT] = {
        LOAD(NR),
        IF_EQ(SYS_kill, 11, 0),
        IF_EQ(SYS_tgkill, 10, 0),
        IF_EQ(SYS_rt_tgsigqueueinfo, 9, 0),
        IF_EQ(SYS_rt_sigqueueinfo, 8, 0),
        IF_EQ(SYS_pidfd_send_signal, 9, 0),
        IF_EQ(SYS_sched_getaffinity, 9, 0),
        IF_EQ(SYS_sched_getparam, 8, 0),
        IF_EQ(SYS_sched_getscheduler, 7, 0),
        IF_EQ(SYS_sched_rr_get_interval, 6, 0),
        IF_EQ(SYS_getpgid, 5, 0),
        IF_EQ(SYS_getsid, 4, 0),
        RETURN(SECCOMP_RET_ALLOW), /* SELFKILL_OTHERS */
        /* To itself. */
        LOAD(FIRST),
        IF_EQ((unsigned)self, 3, 0),
        RETURN(SECCOMP_RET_ERRNO | EPERM),
        /* About itself.  Threads of its own are strangers here as well; libc
         * goes on where there is no such call. */
        LOAD(FIRST),
        IF_EQ(0, 0, 1),
        RETURN(SECCOMP_RET_ALLOW),
        IF_EQ((unsigned)self, 0, 1),
        RETURN(SECCOMP_RET_ALLOW),
        RETURN(SECCOMP_RET_ERRNO | ENOSYS),
    };
    for (int i = 0; i < SELFKILL_COUNT; i++)
        code[i] = made[i];
}
