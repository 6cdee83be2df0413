/* SPDX-License-Identifier: Apache-2.0 */
#include "self.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "io.h"

/* ---- limits -------------------------------------------------------------- */

/* Never above what holds already. */
static int
lower(int what, uint64_t to)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)what, &now) != 0)
        return E_SYS;
    rlim_t v = (rlim_t)to;
    if (now.rlim_max != RLIM_INFINITY && v > now.rlim_max)
        v = now.rlim_max;
    struct rlimit next = {v, v};
    return setrlimit((__rlimit_resource_t)what, &next) == 0 ? 0 : E_SYS;
}

static int
lower_if(int what, uint64_t to)
{
    return to == POLICY_NO_LIMIT ? 0 : lower(what, to);
}

/* What /proc shows is of the namespace in which it was mounted. */
pid_t
self_outer_pid(int proc)
{
    char text[32];
    ssize_t n = proc < 0 ? readlink("/proc/self", text, sizeof text - 1)
                         : readlinkat(proc, "self", text, sizeof text - 1);
    pid_t pid = 0;
    for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
        pid = pid * 10 + (text[i] - '0');
    return pid;
}

int
self_mapped(uint64_t *bytes)
{
    char text[64];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    io_close(&fd);
    if (n <= 0)
        return E_SYS;
    text[n] = 0;
    *bytes = strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
    return *bytes > 0 ? 0 : E_SYS;
}

/* RLIMIT_DATA counts what can be written, so Python gets its MemoryError from
 * it; but not pages that were filled and then made read-only, nor stacks, nor
 * the page tables of what is only read.  All of it takes address space. */
static uint64_t
address_space(const struct policy *p, uint64_t mapped)
{
    if (p->address_space != POLICY_NO_LIMIT || p->memory == POLICY_NO_LIMIT)
        return p->address_space;
    return mapped + p->memory + SELF_UNWRITTEN;
}

int
self_limit(const struct policy *p, uint64_t mapped)
{
    int e = lower_if(RLIMIT_DATA, p->memory);
    if (e == 0 && p->level != LEVEL_TRUSTED)
        e = lower_if(RLIMIT_AS, address_space(p, mapped));
    if (e == 0)
        e = lower_if(RLIMIT_NOFILE, p->open_files);
    if (e == 0)
        e = lower_if(RLIMIT_FSIZE, p->file_bytes);
    if (e != 0 || p->level == LEVEL_TRUSTED)
        return e;
    static const int none[] = {RLIMIT_CORE, RLIMIT_MSGQUEUE, RLIMIT_MEMLOCK,
                               RLIMIT_RTPRIO};
    for (size_t i = 0; e == 0 && i < sizeof none / sizeof none[0]; i++)
        e = lower(none[i], 0);
    return e;
}

int
self_limit_counts(const struct policy *p)
{
    enum { PENDING_SIGNALS = 64 };
    int e = lower(RLIMIT_SIGPENDING, PENDING_SIGNALS);
    if (e == 0 && p->thread_count != POLICY_NO_LIMIT)
        e = lower(RLIMIT_NPROC, p->thread_count + 1); /* the main thread */
    return e;
}

/* ---- capabilities -------------------------------------------------------- */

static int
set_none(void)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
    memset(none, 0, sizeof none);
    return syscall(SYS_capset, &h, none) == 0 ? 0 : E_SYS;
}

void
self_drop_bounding(void)
{
    /* Only who has CAP_SETPCAP may; without it the set is of no use. */
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

int
self_keep_capabilities(void)
{
    static const int kept[] = {CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_SETPCAP};
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &h, sets) != 0)
        return E_SYS;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        sets[kept[i] / 32].inheritable |= 1u << kept[i] % 32;
    if (syscall(SYS_capset, &h, sets) != 0)
        return E_SYS;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept[i], 0, 0) != 0)
            return E_SYS;
    return 0;
}

int
self_drop_capabilities(void)
{
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return set_none();
}

/* ---- user ---------------------------------------------------------------- */

int
self_change_user(unsigned id)
{
    return setgroups(0, NULL) == 0 && setresgid(id, id, id) == 0 &&
                   setresuid(id, id, id) == 0
               ? 0
               : E_SYS;
}

int
self_own_count(void)
{
    return unshare(CLONE_NEWUSER) == 0 ? 0 : E_SYS;
}

/* Say how it went, then stay to be looked at until the other end is closed. */
static _Noreturn void
try_it(const char *needed, int fd)
{
    char how = self_change_user(SELF_FIRST_UID + (unsigned)getpid()) == 0 &&
               (needed == NULL || access(needed, R_OK | X_OK) == 0);
    if (write(fd, &how, 1) == 1)
        while (read(fd, &how, 1) < 0 && errno == EINTR)
            continue;
    _exit(0);
}

int
self_can_change_user(const char *needed)
{
    int pair[2];
    char how = 0;
    if (geteuid() != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return 0;
    pid_t child = fork();
    if (child == 0) {
        close(pair[0]);
        try_it(needed, pair[1]);
    }
    close(pair[1]);
    ssize_t k;
    do
        k = child > 0 ? read(pair[0], &how, 1) : -1;
    while (k < 0 && errno == EINTR);
    int can = k == 1 && how && kill(child, 0) == 0;
    close(pair[0]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
    return can;
}
