/* SPDX-License-Identifier: Apache-2.0 */
#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "err.h"
#include "mem.h"

/* Arguments of the system call are compared in their low 32 bits: the kernel
 * ignores the others for int and unsigned int, and a filter must not see them
 * (CVE-2019-10063). */
#define LOW 0xffffffffu
#define BITS(arg, mask, value) SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value)
#define IS(arg, value) BITS(arg, LOW, value)

#define DENY SCMP_ACT_ERRNO(EPERM)

enum class {
    CLASS_CORE,
    CLASS_FILE,
    CLASS_WRITE,
    CLASS_MARK,
    CLASS_NET,
    CLASS_DENY,
    CLASS_KILL
};

struct maker {
    scmp_filter_ctx ctx;
    const struct policy *policy;
    int error; /* the first; later rules do nothing */
};

/* ---- rules --------------------------------------------------------------- */

static void
rule(struct maker *m, uint32_t action, const char *name, unsigned count,
     const struct scmp_arg_cmp *args)
{
    int nr = seccomp_syscall_resolve_name(name);
    if (m->error != 0 || nr < 0) /* this machine has none of that name */
        return;
    m->error = seccomp_rule_add_array(m->ctx, action, nr, count, args);
    if (m->error == -EACCES) /* the default action says the same */
        m->error = 0;
}

#define RULE(m, action, name, ...)                                             \
    do {                                                                       \
        const struct scmp_arg_cmp args_[] = {__VA_ARGS__};                     \
        rule(m, action, name, sizeof args_ / sizeof args_[0], args_);          \
    } while (0)

/* A trapped call is not made either.  Its signal is forced: where it is blocked
 * or has no handler it ends the process, and the only handler that there can be
 * is ours (signal_rules), which notes the number and ends it. */
static uint32_t
kill_action(const struct policy *p)
{
    return p->diagnose ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS;
}

static uint32_t
action_of(const struct policy *p, enum class class)
{
    switch (class) {
    case CLASS_CORE:
        return SCMP_ACT_ALLOW;
    case CLASS_FILE:
        return policy_has_files(p) ? SCMP_ACT_ALLOW : DENY;
    case CLASS_WRITE:
        return policy_may_write(p) ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EROFS);
    case CLASS_MARK:
        return policy_may_write(p) && p->unguarded ? DENY
                                                   : action_of(p, CLASS_WRITE);
    case CLASS_NET:
        return p->port_count > 0 ? SCMP_ACT_ALLOW : DENY;
    case CLASS_KILL:
        return kill_action(p);
    case CLASS_DENY:
        break;
    }
    return DENY;
}

static void
table_rules(struct maker *m)
{
#define SYS(name, class) {#name, CLASS_##class},
    static const struct {
        const char *name;
        enum class class;
    } table[] = {
#include "syscalls.def"
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        rule(m, action_of(m->policy, table[i].class), table[i].name, 0, NULL);
}

/* ---- rules that depend on arguments ------------------------------------- */

/* RLIMIT_DATA counts neither memory that is shared and anonymous nor what grows
 * downwards, as a stack does. */
static void
map_rules(struct maker *m)
{
    enum { ANON_SHARED = MAP_SHARED | MAP_ANONYMOUS };
    enum { ODD = MAP_HUGETLB | MAP_GROWSDOWN };
    const uint32_t w = PROT_WRITE, x = PROT_EXEC;
    int strict = m->policy->level == LEVEL_STRICT;
    RULE(m, DENY, "mmap", BITS(3, ANON_SHARED, ANON_SHARED));
    RULE(m, DENY, "mmap", BITS(3, MAP_HUGETLB, MAP_HUGETLB));
    RULE(m, DENY, "mmap", BITS(3, MAP_GROWSDOWN, MAP_GROWSDOWN));
    for (int shared = 0; shared <= 1; shared++) {
        uint32_t mask =
            MAP_SHARED | ODD | (shared ? (uint32_t)MAP_ANONYMOUS : 0);
        uint32_t flags = shared ? MAP_SHARED : 0;
        if (m->policy->exec_memory) {
            RULE(m, SCMP_ACT_ALLOW, "mmap", BITS(3, mask, flags));
            continue;
        }
        RULE(m, SCMP_ACT_ALLOW, "mmap", BITS(3, mask, flags), BITS(2, x, 0));
        if (!strict)
            RULE(m, SCMP_ACT_ALLOW, "mmap", BITS(3, mask, flags),
                 BITS(2, w | x, x));
    }
    if (m->policy->exec_memory) {
        rule(m, SCMP_ACT_ALLOW, "mprotect", 0, NULL);
        return;
    }
    RULE(m, SCMP_ACT_ALLOW, "mprotect", BITS(2, x, 0));
    RULE(m, DENY, "mprotect", BITS(2, w | x, w | x));
    RULE(m, strict ? DENY : SCMP_ACT_ALLOW, "mprotect", BITS(2, w | x, x));
}

/* A thread, as the C libraries make them; never a process.  clone3 hides its
 * flags in memory: told that there is none, they use clone. */
static void
thread_rules(struct maker *m)
{
    const uint32_t needed = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
                            CLONE_THREAD | CLONE_SYSVSEM;
    const uint32_t detached = 0x00400000; /* CLONE_DETACHED, by musl */
    const uint32_t may = CLONE_SETTLS | CLONE_PARENT_SETTID |
                         CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | detached;
    rule(m, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
    if (!m->policy->threads) {
        rule(m, DENY, "clone", 0, NULL);
        return;
    }
    RULE(m, DENY, "clone", BITS(0, CLONE_THREAD, 0));
    RULE(m, SCMP_ACT_ALLOW, "clone", BITS(0, LOW & ~may, needed));
}

/* What SIGSYS does is not changed, neither to a handler nor to be ignored; it
 * may be asked.  "Any number but 31" is said bit by bit, for only the low half
 * counts: a bit that 31 has is missing, or one is set that it has not. */
static void
signal_rules(struct maker *m)
{
    enum { SIGNAL_BITS = 7 };
    for (uint32_t bit = 1; bit < 1u << SIGNAL_BITS; bit <<= 1)
        RULE(m, SCMP_ACT_ALLOW, "rt_sigaction", BITS(0, bit, ~SIGSYS & bit));
    RULE(m, SCMP_ACT_ALLOW, "rt_sigaction", IS(0, SIGSYS),
         SCMP_CMP(1, SCMP_CMP_EQ, 0, 0));
    RULE(m, DENY, "rt_sigaction", IS(0, SIGSYS),
         SCMP_CMP(1, SCMP_CMP_NE, 0, 0));
}

/* Those that lend priority take the number of any thread, and tell whether
 * there is one; and they have had more errors than all else of futex(2). */
static void
futex_rules(struct maker *m)
{
    static const uint32_t may[] = {
        FUTEX_WAIT,    FUTEX_WAKE,        FUTEX_REQUEUE,    FUTEX_CMP_REQUEUE,
        FUTEX_WAKE_OP, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET};
    const uint32_t flags = FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME;
    for (size_t i = 0; i < sizeof may / sizeof may[0]; i++)
        RULE(m, SCMP_ACT_ALLOW, "futex", BITS(1, LOW & ~flags, may[i]));
}

/* A negative one is the clock of a thread, which must be its own, or of any
 * process, which tells that there is one and what it has worked. */
static void
clock_rules(struct maker *m, const char *name)
{
    const uint32_t negative = 1u << 31, thread = 4;
    RULE(m, SCMP_ACT_ALLOW, name, BITS(0, negative, 0));
    RULE(m, SCMP_ACT_ALLOW, name,
         BITS(0, negative | thread, negative | thread));
}

/* Of itself alone; what its own id may be asked for as well, selfkill.c says.
 * A socket tells who has made it, and would give a descriptor of that process:
 * any option but this, said bit by bit as in signal_rules. */
static void
question_rules(struct maker *m)
{
    enum { OPTION_BITS = 7, PEERPIDFD = 77 };
    RULE(m, SCMP_ACT_ALLOW, "getpriority", IS(0, PRIO_PROCESS), IS(1, 0));
    for (uint32_t bit = 1; bit < 1u << OPTION_BITS; bit <<= 1)
        RULE(m, SCMP_ACT_ALLOW, "getsockopt", BITS(2, bit, ~PEERPIDFD & bit));
    clock_rules(m, "clock_gettime");
    clock_rules(m, "clock_getres");
    clock_rules(m, "clock_nanosleep");
}

/* Of locks nobody counts the memory, not even a control group: they are for
 * those who have files of their own. */
static void
lock_rules(struct maker *m)
{
    static const uint32_t locks[] = {F_GETLK, F_SETLK, F_SETLKW};
    if (m->policy->read.count == 0 && !policy_may_write(m->policy))
        return;
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++)
        RULE(m, SCMP_ACT_ALLOW, "fcntl", IS(1, locks[i]));
}

static void
fcntl_rules(struct maker *m)
{
    static const uint32_t may[] = {F_DUPFD,    F_DUPFD_CLOEXEC, F_GETFD,
                                   F_SETFD,    F_GETFL,         F_SETFL,
                                   F_GET_SEALS};
    static const uint32_t requests[] = {TCGETS,  FIONREAD, FIONBIO,
                                        FIOCLEX, FIONCLEX, TIOCGWINSZ};
    static const uint32_t own[] = {PR_SET_NAME, PR_GET_NAME,
                                   0x53564d41 /* PR_SET_VMA */};
    for (size_t i = 0; i < sizeof may / sizeof may[0]; i++)
        RULE(m, SCMP_ACT_ALLOW, "fcntl", IS(1, may[i]));
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        RULE(m, SCMP_ACT_ALLOW, "ioctl", IS(1, requests[i]));
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        RULE(m, SCMP_ACT_ALLOW, "prctl", IS(0, own[i]));
    RULE(m, SCMP_ACT_ALLOW, "prlimit64", IS(0, 0),
         SCMP_CMP(2, SCMP_CMP_EQ, 0, 0));
    RULE(m, DENY, "prlimit64", SCMP_CMP(2, SCMP_CMP_NE, 0, 0));
}

/* Nobody gets a file that runs as its owner. */
static void
mode_rules(struct maker *m, const char *name, unsigned arg, uint32_t good)
{
    const uint32_t both = S_ISUID | S_ISGID;
    RULE(m, DENY, name, BITS(arg, S_ISUID, S_ISUID));
    RULE(m, DENY, name, BITS(arg, S_ISGID, S_ISGID));
    RULE(m, good, name, BITS(arg, both, 0));
}

/* Landlock sees O_TRUNC only from its ABI 3 on.  (The mode is garbage where
 * nothing is made; glibc and CPython pass one that is none of these.) */
static void
open_rules(struct maker *m, const char *name, unsigned flags)
{
    if (policy_may_write(m->policy)) {
        mode_rules(m, name, flags + 1, SCMP_ACT_ALLOW);
        return;
    }
    const uint32_t both = S_ISUID | S_ISGID;
    RULE(m, SCMP_ACT_ERRNO(EROFS), name, BITS(flags, O_TRUNC, O_TRUNC),
         BITS(flags + 1, both, 0));
    RULE(m, DENY, name, BITS(flags + 1, S_ISUID, S_ISUID));
    RULE(m, DENY, name, BITS(flags + 1, S_ISGID, S_ISGID));
    RULE(m, SCMP_ACT_ALLOW, name, BITS(flags, O_TRUNC, 0),
         BITS(flags + 1, both, 0));
}

/* A whiteout is a device, which Landlock does not see. */
static void
rename_rules(struct maker *m)
{
    const uint32_t whiteout = 1 << 2; /* RENAME_WHITEOUT */
    uint32_t change = action_of(m->policy, CLASS_WRITE);
    RULE(m, DENY, "renameat2", BITS(4, whiteout, whiteout));
    RULE(m, change, "renameat2", BITS(4, whiteout, 0));
}

static void
file_rules(struct maker *m)
{
    uint32_t open = action_of(m->policy, CLASS_FILE);
    uint32_t change = action_of(m->policy, CLASS_MARK);
    if (open != SCMP_ACT_ALLOW) {
        rule(m, open, "open", 0, NULL);
        rule(m, open, "openat", 0, NULL);
    } else {
        open_rules(m, "open", 1);
        open_rules(m, "openat", 2);
    }
    mode_rules(m, "chmod", 1, change);
    mode_rules(m, "fchmod", 1, change);
    mode_rules(m, "fchmodat", 2, change);
}

/* MSG_FASTOPEN connects without asking Landlock on kernels before 7.2; and from
 * MSG_OOB, which nobody needs, there was a way out of other sandboxes
 * (CVE-2025-38236). */
static void
message_rules(struct maker *m, const char *name, unsigned arg)
{
    RULE(m, DENY, name, BITS(arg, MSG_FASTOPEN, MSG_FASTOPEN));
    RULE(m, DENY, name, BITS(arg, MSG_OOB, MSG_OOB));
    RULE(m, SCMP_ACT_ALLOW, name, BITS(arg, MSG_FASTOPEN | MSG_OOB, 0));
}

/* Those that clients of TCP set.  Others bring programs for the kernel to run
 * (SO_ATTACH_FILTER), other protocols (TCP_ULP) or modules. */
static void
option_rules(struct maker *m)
{
    static const struct {
        uint32_t level;
        uint32_t options[12];
    } may[] = {
        {SOL_SOCKET,
         {SO_REUSEADDR, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE, SO_OOBINLINE,
          SO_LINGER, 20, 21, 66, 67 /* time-outs, in their two forms */}},
        {IPPROTO_TCP,
         {TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT,
          TCP_QUICKACK, TCP_USER_TIMEOUT}},
        {IPPROTO_IP, {IP_TOS}},
        {IPPROTO_IPV6, {IPV6_V6ONLY, IPV6_TCLASS}},
    };
    if (m->policy->port_count == 0) {
        rule(m, DENY, "setsockopt", 0, NULL);
        return;
    }
    for (size_t i = 0; i < sizeof may / sizeof may[0]; i++)
        for (size_t k = 0; k < 12 && may[i].options[k] != 0; k++)
            RULE(m, SCMP_ACT_ALLOW, "setsockopt", IS(1, may[i].level),
                 IS(2, may[i].options[k]));
}

/* Datagrams could be sent to a path or a name; a stream is connected. */
static void
socket_rules(struct maker *m)
{
    enum { TYPE = 0xf, TCP = 6 };
    static const int families[] = {AF_INET, AF_INET6};
    const uint32_t flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    message_rules(m, "sendto", 3);
    message_rules(m, "sendmsg", 2);
    message_rules(m, "recvfrom", 3);
    message_rules(m, "recvmsg", 2);
    option_rules(m);
    RULE(m, SCMP_ACT_ALLOW, "socketpair", IS(0, AF_UNIX),
         BITS(1, LOW & ~flags, SOCK_STREAM));
    for (uint32_t type = SOCK_DGRAM; type <= SOCK_SEQPACKET; type++)
        RULE(m, DENY, "socketpair", BITS(1, TYPE, type));
    if (m->policy->port_count == 0) {
        rule(m, DENY, "socket", 0, NULL);
        return;
    }
    for (int i = 0; i < 2; i++)
        for (uint32_t protocol = 0; protocol <= TCP; protocol += TCP)
            RULE(m, SCMP_ACT_ALLOW, "socket", IS(0, (uint32_t)families[i]),
                 BITS(1, LOW & ~flags, SOCK_STREAM), IS(2, protocol));
    for (uint32_t type = SOCK_DGRAM; type <= SOCK_SEQPACKET; type++)
        RULE(m, DENY, "socket", BITS(1, TYPE, type));
}

/* ---- the program --------------------------------------------------------- */

/* What is not allowed and not known: a newer C library asks for it, and falls
 * back.  A strict one does not even probe. */
static uint32_t
default_action(const struct policy *p)
{
    return SCMP_ACT_ERRNO(p->level == LEVEL_STRICT ? EPERM : ENOSYS);
}

static int
rules(struct maker *m)
{
    m->error = seccomp_attr_set(m->ctx, SCMP_FLTATR_ACT_BADARCH,
                                SCMP_ACT_KILL_PROCESS);
    if (m->error == 0)
        m->error = seccomp_attr_set(m->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    table_rules(m);
    map_rules(m);
    thread_rules(m);
    signal_rules(m);
    futex_rules(m);
    question_rules(m);
    lock_rules(m);
    fcntl_rules(m);
    file_rules(m);
    rename_rules(m);
    socket_rules(m);
    return m->error == 0 ? 0 : m->error == -ENOMEM ? E_NOMEM : E_SYS;
}

/* libseccomp writes it to a descriptor. */
static int export(struct filter *f, scmp_filter_ctx ctx)
{
    int fd = memfd_create("terrarium-filter", MFD_CLOEXEC);
    if (fd < 0)
        return E_SYS;
    int e = E_SYS;
    off_t size = 0;
    if (seccomp_export_bpf(ctx, fd) != 0 ||
        (size = lseek(fd, 0, SEEK_END)) <= 0)
        goto out;
    e = E_NOMEM;
    f->code = mem_alloc((size_t)size);
    if (f->code == NULL)
        goto out;
    f->count = (size_t)size / sizeof *f->code;
    e = pread(fd, f->code, (size_t)size, 0) == size ? 0 : E_SYS;
out:
    close(fd);
    return e;
}

int
filter_make(struct filter *f, const struct policy *p)
{
    struct maker m = {.ctx = seccomp_init(default_action(p)), .policy = p};
    memset(f, 0, sizeof *f);
    if (m.ctx == NULL)
        return E_NOMEM;
    int e = rules(&m);
    if (e == 0)
        e = export(f, m.ctx);
    seccomp_release(m.ctx);
    if (e != 0)
        filter_free(f);
    return e;
}

void
filter_free(struct filter *f)
{
    mem_free(f->code);
    *f = (struct filter){NULL, 0};
}

void
filter_name(int nr, char *name, size_t n)
{
    char *known = seccomp_syscall_resolve_num_arch(seccomp_arch_native(), nr);
    snprintf(name, n, "%s", known != NULL ? known : "");
    free(known);
}

int
filter_available(void)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

int
filter_install(const struct sock_filter *code, size_t count)
{
    struct sock_fprog p = {(unsigned short)count, (struct sock_filter *)code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                   SECCOMP_FILTER_FLAG_TSYNC, &p) == 0
               ? 0
               : E_SYS;
}
