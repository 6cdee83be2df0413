/* SPDX-License-Identifier: Apache-2.0 */
/* support_decide.c - the table that the filters of system calls are held
 * against. */
#include "support_decide.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum class { CORE, FILE_, WRITE, MARK, NET, DENY, KILL, UNKNOWN };

static enum class classes[MOST_NR];

static void
note(const char *name, enum class class)
{
    int nr = seccomp_syscall_resolve_name(name);
    if (nr >= 0 && nr < MOST_NR)
        classes[nr] = class;
}

void
decide_set_up(void)
{
    for (int i = 0; i < MOST_NR; i++)
        classes[i] = UNKNOWN;
#define FILE FILE_
#define SYS(name, class) note(#name, class);
#include "syscalls.def"
#undef FILE
}

static int
among(uint32_t v, const uint32_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == v)
            return 1;
    return 0;
}
#define AMONG(v, ...)                                                          \
    among(v, (const uint32_t[]){__VA_ARGS__},                                  \
          sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* Modes and times: of whose files, nothing but namespaces and users says. */
static uint32_t
decide_mark(const struct policy *p)
{
    if (!policy_may_write(p))
        return ERROR(EROFS);
    return p->unguarded ? ERROR(EPERM) : OK;
}

static uint32_t
decide_class(const struct policy *p, int nr)
{
    switch (classes[nr]) {
    case CORE:
        return OK;
    case FILE_:
        return policy_has_files(p) ? OK : ERROR(EPERM);
    case WRITE:
        return policy_may_write(p) ? OK : ERROR(EROFS);
    case MARK:
        return decide_mark(p);
    case NET:
        return p->port_count > 0 ? OK : ERROR(EPERM);
    case DENY:
        return ERROR(EPERM);
    case KILL:
        return p->diagnose ? SECCOMP_RET_TRAP : DIE;
    case UNKNOWN:
        break;
    }
    return ERROR(p->level == LEVEL_STRICT ? EPERM : ENOSYS);
}

static uint32_t
decide_open(const struct policy *p, uint32_t flags, uint32_t mode)
{
    if (!policy_has_files(p))
        return ERROR(EPERM);
    if (mode & (S_ISUID | S_ISGID))
        return ERROR(EPERM);
    return (flags & O_TRUNC) && !policy_may_write(p) ? ERROR(EROFS) : OK;
}

static uint32_t
decide_mode(const struct policy *p, uint32_t mode)
{
    if (mode & (S_ISUID | S_ISGID))
        return ERROR(EPERM);
    return decide_mark(p);
}

static uint32_t
decide_fcntl(const struct policy *p, uint32_t what)
{
    int locks = p->read.count > 0 || policy_may_write(p);
    if (AMONG(what, F_GETLK, F_SETLK, F_SETLKW) && locks)
        return OK;
    return AMONG(what, F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL,
                 F_SETFL, F_GET_SEALS)
               ? OK
               : decide_class(p, SYS_fcntl);
}

/* That of a thread, or a fixed one. */
static uint32_t
decide_clock(const struct policy *p, int nr, int32_t clock)
{
    return clock >= 0 || clock & 4 ? OK : decide_class(p, nr);
}

static uint32_t
decide_futex(const struct policy *p, uint32_t op)
{
    return AMONG(op & ~(uint32_t)(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME),
                 FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE,
                 FUTEX_WAKE_OP, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET)
               ? OK
               : decide_class(p, SYS_futex);
}

static uint32_t
decide_map(const struct policy *p, uint32_t prot, uint32_t flags)
{
    int anonymous_shared = (flags & MAP_SHARED) && (flags & MAP_ANONYMOUS);
    if (anonymous_shared || (flags & (MAP_HUGETLB | MAP_GROWSDOWN)))
        return ERROR(EPERM);
    if (p->exec_memory || !(prot & PROT_EXEC))
        return OK;
    return !(prot & PROT_WRITE) && p->level != LEVEL_STRICT
               ? OK
               : decide_class(p, SYS_mmap); /* the default */
}

static uint32_t
decide_protect(const struct policy *p, uint32_t prot)
{
    if (p->exec_memory || !(prot & PROT_EXEC))
        return OK;
    return !(prot & PROT_WRITE) && p->level != LEVEL_STRICT ? OK : ERROR(EPERM);
}

static uint32_t
decide_clone(const struct policy *p, uint32_t flags)
{
    const uint32_t needed = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
                            CLONE_THREAD | CLONE_SYSVSEM;
    const uint32_t may = CLONE_SETTLS | CLONE_PARENT_SETTID |
                         CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | 0x400000;
    if (!p->threads || !(flags & CLONE_THREAD))
        return ERROR(EPERM);
    return (flags & ~may) == needed ? OK : decide_class(p, SYS_clone);
}

static uint32_t
decide_socket(const struct policy *p, uint32_t family, uint32_t type,
              uint32_t protocol)
{
    uint32_t plain = type & ~(uint32_t)(SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (p->port_count == 0)
        return ERROR(EPERM);
    if (AMONG(family, AF_INET, AF_INET6) && plain == SOCK_STREAM &&
        AMONG(protocol, 0, 6))
        return OK;
    uint32_t kind = type & 0xf;
    return kind >= SOCK_DGRAM && kind <= SOCK_SEQPACKET
               ? ERROR(EPERM)
               : decide_class(p, SYS_socket);
}

static uint32_t
decide_option(const struct policy *p, uint32_t level, uint32_t option)
{
    if (p->port_count == 0)
        return ERROR(EPERM);
    if ((level == SOL_SOCKET &&
         AMONG(option, 2, 7, 8, 9, 10, 13, 20, 21, 66, 67)) ||
        (level == 6 && AMONG(option, 1, 3, 4, 5, 6, 12, 18)) ||
        (level == 0 && option == 1) || (level == 41 && AMONG(option, 26, 67)))
        return OK;
    return decide_class(p, SYS_setsockopt);
}

static uint32_t
decide_pair(const struct policy *p, uint32_t family, uint32_t type)
{
    uint32_t plain = type & ~(uint32_t)(SOCK_NONBLOCK | SOCK_CLOEXEC);
    uint32_t kind = type & 0xf;
    if (family == AF_UNIX && plain == SOCK_STREAM)
        return OK;
    return kind >= SOCK_DGRAM && kind <= SOCK_SEQPACKET
               ? ERROR(EPERM)
               : decide_class(p, SYS_socketpair);
}

/* Independent of filter.c: as a reader of the guide would say it. */
uint32_t
decide(const struct policy *p, int nr, const uint64_t *arg)
{
    uint32_t a[6];
    for (int i = 0; i < 6; i++)
        a[i] = (uint32_t)arg[i];
    switch (nr) {
#ifdef SYS_open
    case SYS_open:
        return decide_open(p, a[1], a[2]);
    case SYS_chmod:
        return decide_mode(p, a[1]);
#endif
    case SYS_openat:
        return decide_open(p, a[2], a[3]);
    case SYS_fchmod:
        return decide_mode(p, a[1]);
    case SYS_fchmodat:
        return decide_mode(p, a[2]);
    case SYS_renameat2:
        if (a[4] & 4) /* RENAME_WHITEOUT */
            return ERROR(EPERM);
        return policy_may_write(p) ? OK : ERROR(EROFS);
    case SYS_mmap:
        return decide_map(p, a[2], a[3]);
    case SYS_mprotect:
        return decide_protect(p, a[2]);
    case SYS_clone:
        return decide_clone(p, a[0]);
    case SYS_clone3:
        return ERROR(ENOSYS);
    case SYS_rt_sigaction:
        if (a[0] == SIGSYS)
            return arg[1] == 0 ? OK : ERROR(EPERM);
        return a[0] % 128 != SIGSYS ? OK : decide_class(p, nr);
    case SYS_fcntl:
        return decide_fcntl(p, a[1]);
    case SYS_futex:
        return decide_futex(p, a[1]);
    case SYS_clock_gettime:
    case SYS_clock_getres:
    case SYS_clock_nanosleep:
        return decide_clock(p, nr, (int32_t)a[0]);
    case SYS_getpriority:
        return a[0] == 0 && a[1] == 0 ? OK : decide_class(p, nr);
    case SYS_getsockopt:
        return a[2] % 128 != 77 ? OK : decide_class(p, nr);
    case SYS_ioctl:
        return AMONG(a[1], TCGETS, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX,
                     TIOCGWINSZ)
                   ? OK
                   : decide_class(p, nr);
    case SYS_prctl:
        return AMONG(a[0], PR_SET_NAME, PR_GET_NAME, 0x53564d41)
                   ? OK
                   : decide_class(p, nr);
    case SYS_prlimit64:
        if (arg[2] != 0)
            return ERROR(EPERM);
        return a[0] == 0 ? OK : decide_class(p, nr);
    case SYS_sendto:
    case SYS_recvfrom:
        return a[3] & (MSG_FASTOPEN | MSG_OOB) ? ERROR(EPERM) : OK;
    case SYS_sendmsg:
    case SYS_recvmsg:
        return a[2] & (MSG_FASTOPEN | MSG_OOB) ? ERROR(EPERM) : OK;
    case SYS_setsockopt:
        return decide_option(p, a[1], a[2]);
    case SYS_socketpair:
        return decide_pair(p, a[0], a[1]);
    case SYS_socket:
        return decide_socket(p, a[0], a[1], a[2]);
    default:
        return decide_class(p, nr);
    }
}
