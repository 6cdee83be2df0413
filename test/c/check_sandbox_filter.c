/* SPDX-License-Identifier: Apache-2.0 */
/* check_sandbox_filter.c - the filters of system calls: run here against a
 * table of what they should decide, and put on a process that then tries. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filter.h"
#include "split.h"
#include "support_bpf.h"
#include "support_check.h"
#include "support_decide.h"

/* ---- the filters against it ---------------------------------------------- */

static const uint64_t interesting[] = {
    0,
    1,
    2,
    3,
    5,
    6,
    10,
    16,
    17,
    SIGSYS,
    SIGSYS | (1ull << 32),
    O_TRUNC,
    O_CREAT | O_WRONLY,
    O_CREAT | O_TRUNC | O_WRONLY,
    0644,
    04755,
    02644,
    PROT_READ | PROT_WRITE | PROT_EXEC,
    PROT_READ | PROT_EXEC,
    MAP_PRIVATE | MAP_ANONYMOUS,
    MAP_SHARED | MAP_ANONYMOUS,
    MAP_PRIVATE | MAP_HUGETLB,
    MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN,
    MSG_FASTOPEN,
    MSG_FASTOPEN | MSG_NOSIGNAL,
    TIOCSTI,
    TIOCSTI | (1ull << 40),
    TIOCLINUX,
    TCGETS,
    FIONREAD,
    FIONREAD | (1ull << 32),
    SOCK_STREAM | SOCK_CLOEXEC,
    SOCK_DGRAM | SOCK_CLOEXEC,
    0x3d0f00,   /* glibc's threads */
    0x7d0f00,   /* musl's */
    0x01200011, /* fork's */
    0x3d0f00 | CLONE_NEWUSER,
    PR_SET_NAME,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    F_DUPFD_CLOEXEC,
    1024 + 9, /* F_ADD_SEALS */
    F_GETLK,
    FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG,
    FUTEX_CMP_REQUEUE_PI,
    FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME,
    13,
    26,
    31,
    32,
    41,
    67,
    77,              /* SO_PEERPIDFD */
    (~77u << 3) | 2, /* what process 77 has worked */
    (~77u << 3) | 6, /* the same of a thread */
    (~0u << 3) | 3,  /* a clock that is a descriptor */
    0xffffffff,
    1ull << 32,
    ~0ull,
};
enum { INTERESTING = sizeof interesting / sizeof interesting[0] };

/* A filter, and the two that it is split into, for a process of this pid. */
struct three {
    struct filter whole, early, late;
};
enum { SELF = 1 };

static void
make_three(struct three *t, const struct policy *p)
{
    ck_ok(filter_make(&t->whole, p));
    ck_ok(filter_split(&t->whole, &t->early, &t->late));
    filter_of(&t->late, SELF);
}

static void
free_three(struct three *t)
{
    filter_free(&t->whole);
    filter_free(&t->early);
    filter_free(&t->late);
}

/* As the kernel does: the smallest action, as a signed number. */
static uint32_t
stricter(uint32_t a, uint32_t b)
{
    const uint32_t action = SECCOMP_RET_ACTION_FULL;
    return (int32_t)(a & action) <= (int32_t)(b & action) ? a : b;
}

/* Both say together what the whole one and that of signals do. */
static void
compare_halves(const struct three *t, const struct seccomp_data *d,
               uint32_t whole)
{
    struct sock_filter selfkill[SELFKILL_COUNT];
    selfkill_make(selfkill, SELF);
    uint32_t should = stricter(whole, bpf_run(selfkill, SELFKILL_COUNT, d));
    uint32_t early = bpf_run(t->early.code, t->early.count, d);
    uint32_t late = bpf_run(t->late.code, t->late.count, d);
    if (stricter(early, late) != should)
        ck_abort_msg("call %d (%llx, %llx): %#x and %#x, should be %#x", d->nr,
                     (unsigned long long)d->args[0],
                     (unsigned long long)d->args[1], early, late, should);
}

static void
compare(const struct three *t, const struct policy *p, int nr,
        const uint64_t *arg)
{
    const struct filter *f = &t->whole;
    struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_X86_64};
    if (seccomp_arch_native() == SCMP_ARCH_AARCH64)
        d.arch = AUDIT_ARCH_AARCH64;
    memcpy(d.args, arg, sizeof d.args);
    uint32_t is = bpf_run(f->code, f->count, &d), should = decide(p, nr, arg);
    if (is != should)
        ck_abort_msg("call %d (%llx, %llx, %llx, %llx): %#x, should be %#x", nr,
                     (unsigned long long)arg[0], (unsigned long long)arg[1],
                     (unsigned long long)arg[2], (unsigned long long)arg[3], is,
                     should);
    compare_halves(t, &d, is);
}

static void
compare_all(const struct policy *p)
{
    struct three t;
    make_three(&t, p);
    ck_assert_uint_gt(t.whole.count, 50);
    ck_assert_uint_lt(t.late.count, t.whole.count / 2);
    for (int nr = 0; nr < MOST_NR; nr++) {
        uint64_t arg[6] = {0};
        compare(&t, p, nr, arg);
        for (int i = 0; i < INTERESTING; i++)
            for (int j = 0; j < INTERESTING; j++)
                for (int at = 0; at < 4; at++) {
                    memset(arg, 0, sizeof arg);
                    arg[at] = interesting[i];
                    arg[at + 1] = interesting[j];
                    compare(&t, p, nr, arg);
                }
    }
    free_three(&t);
}

static uint16_t port = 443;
static char *path[] = {"/tmp", NULL};
static const struct policy policies[] = {
    {.level = LEVEL_DEFAULT, .threads = 1},
    {.level = LEVEL_DEFAULT},
    {.level = LEVEL_DEFAULT, .threads = 1, .diagnose = 1},
    {.level = LEVEL_DEFAULT, .threads = 1, .exec_memory = 1},
    {.level = LEVEL_DEFAULT, .tmp_bytes = 1, .ports = &port, .port_count = 1},
    {.level = LEVEL_STRICT},
    {.level = LEVEL_DEFAULT, .tmp_bytes = 1, .unguarded = 1},
    {.level = LEVEL_STRICT, .diagnose = 1},
    {.level = LEVEL_STRICT, .threads = 1, .exec_memory = 1},
    {.level = LEVEL_STRICT, .read = {.v = path, .count = 1}},
    {.level = LEVEL_STRICT, .write = {.v = path, .count = 1}},
    {.level = LEVEL_STRICT, .ports = &port, .port_count = 1},
};
enum { POLICIES = sizeof policies / sizeof policies[0] };

START_TEST(decides_as_the_table_says)
{
    decide_set_up();
    compare_all(&policies[_i]);
}
END_TEST

/* The calls of another architecture have other numbers. */
START_TEST(kills_foreign_architectures)
{
    struct three t;
    make_three(&t, &policies[_i]);
    for (int nr = 0; nr < MOST_NR; nr++) {
        struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_I386};
        ck_assert_uint_eq(bpf_run(t.whole.code, t.whole.count, &d), DIE);
        compare_halves(&t, &d, DIE);
        d = (struct seccomp_data){.nr = 0x40000000 + nr,
                                  .arch = AUDIT_ARCH_X86_64};
        if (seccomp_arch_native() != SCMP_ARCH_X86_64) /* x32 */
            continue;
        ck_assert_uint_eq(bpf_run(t.whole.code, t.whole.count, &d), DIE);
        compare_halves(&t, &d, DIE);
    }
    free_three(&t);
}
END_TEST

/* One that is not understood is not split. */
START_TEST(splits_only_what_it_knows)
{
    struct filter early, late;
    struct sock_filter strange[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_filter endless[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_STMT(BPF_JMP | BPF_JA, 7)};
    const struct filter wrong[] = {{strange, 3}, {endless, 2}, {NULL, 0}};
    for (int i = 0; i < 3; i++) {
        ck_err(filter_split(&wrong[i], &early, &late), E_FORMAT);
        ck_assert_ptr_null(early.code);
        ck_assert_ptr_null(late.code);
    }
}
END_TEST

START_TEST(asks_only_about_itself)
{
    struct sock_filter code[SELFKILL_COUNT];
    static const int calls[] = {
        SYS_sched_getaffinity,     SYS_sched_getparam, SYS_sched_getscheduler,
        SYS_sched_rr_get_interval, SYS_getpgid,        SYS_getsid};
    selfkill_make(code, 77);
    for (int i = 0; i < 6; i++) {
        struct seccomp_data d = {.nr = calls[i], .args = {77}};
        ck_assert_uint_eq(bpf_run(code, SELFKILL_COUNT, &d), OK);
        d.args[0] = 0;
        ck_assert_uint_eq(bpf_run(code, SELFKILL_COUNT, &d), OK);
        d.args[0] = 78;
        ck_assert_uint_eq(bpf_run(code, SELFKILL_COUNT, &d), ERROR(ENOSYS));
        d.args[0] = 1;
        ck_assert_uint_eq(bpf_run(code, SELFKILL_COUNT, &d), ERROR(ENOSYS));
    }
}
END_TEST

START_TEST(signals_only_itself)
{
    struct sock_filter code[SELFKILL_COUNT];
    static const int calls[] = {SYS_kill, SYS_tgkill, SYS_rt_tgsigqueueinfo,
                                SYS_rt_sigqueueinfo};
    selfkill_make(code, 77);
    for (int i = 0; i < 4; i++) {
        struct seccomp_data d = {.nr = calls[i], .args = {77}};
        ck_assert_uint_eq(bpf_run(code, SELFKILL_COUNT, &d), OK);
        d.args[0] = 78;
        ck_assert_uint_eq(bpf_run(code, SELFKILL_COUNT, &d), ERROR(EPERM));
        d.args[0] = 0;
        ck_assert_uint_eq(bpf_run(code, SELFKILL_COUNT, &d), ERROR(EPERM));
        d.args[0] = (uint64_t)-1;
        ck_assert_uint_eq(bpf_run(code, SELFKILL_COUNT, &d), ERROR(EPERM));
    }
    struct seccomp_data d = {.nr = SYS_pidfd_send_signal, .args = {77}};
    ck_assert_uint_eq(bpf_run(code, SELFKILL_COUNT, &d), ERROR(EPERM));
    d.nr = SYS_read;
    ck_assert_uint_eq(bpf_run(code, SELFKILL_COUNT, &d), OK);
}
END_TEST

/* ---- in a process -------------------------------------------------------- */

static _Noreturn void
try_call(const struct policy *p, int nr, const long *a)
{
    struct sock_filter selfkill[SELFKILL_COUNT];
    struct filter f;
    selfkill_make(selfkill, getpid());
    if (filter_make(&f, p) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        filter_install(selfkill, SELFKILL_COUNT) != 0 ||
        filter_install(f.code, f.count) != 0)
        _exit(255);
    errno = 0;
    long r = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    _exit(r >= 0 ? 0 : errno);
}

/* The errno of a call in a child under this policy, or minus the signal that
 * ended it.  Pointers are bad: EFAULT says that the kernel itself was asked. */
static int
outcome(const struct policy *p, int nr, const long *a)
{
    int status = 0;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        try_call(p, nr, a);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        return -WTERMSIG(status);
    ck_assert_int_ne(WEXITSTATUS(status), 255);
    return WEXITSTATUS(status);
}

#define OUTCOME(p, nr, ...) outcome(p, nr, (const long[6]){__VA_ARGS__})

START_TEST(kills_in_earnest)
{
    static const int calls[] = {SYS_ptrace,
                                SYS_process_vm_readv,
                                SYS_bpf,
                                SYS_perf_event_open,
                                SYS_userfaultfd,
                                SYS_io_uring_setup,
                                SYS_keyctl,
                                SYS_add_key,
                                SYS_unshare,
                                SYS_setns,
                                SYS_mount,
                                SYS_pivot_root,
                                SYS_chroot,
                                SYS_pidfd_getfd,
                                SYS_open_by_handle_at,
                                SYS_seccomp,
                                SYS_kcmp,
                                SYS_personality,
                                SYS_kexec_load,
                                SYS_finit_module,
                                SYS_syslog};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        int was = OUTCOME(&policies[0], calls[i], -1, -1, -1, -1, -1);
        ck_assert_msg(was == -SIGSYS, "call %d: %d", calls[i], was);
    }
}
END_TEST

START_TEST(refuses_in_earnest)
{
    const struct policy *p = &policies[0];
    ck_assert_int_eq(OUTCOME(p, SYS_getpid, 0), 0);
    ck_assert_int_eq(OUTCOME(p, SYS_read, 0, -1, 1) != EPERM, 1);
    ck_assert_int_eq(OUTCOME(p, SYS_execve, -1), EPERM);
    ck_assert_int_eq(OUTCOME(p, SYS_clone3, -1, 64), ENOSYS);
    ck_assert_int_eq(OUTCOME(p, SYS_clone, SIGCHLD), EPERM);
    ck_assert_int_eq(OUTCOME(p, SYS_socket, AF_NETLINK, SOCK_RAW), EPERM);
    ck_assert_int_eq(OUTCOME(p, SYS_kill, getpid(), 0), EPERM);
    ck_assert_int_eq(OUTCOME(p, SYS_ioctl, 0, TIOCSTI | (1L << 40), -1),
                     ENOSYS);
    ck_assert_int_eq(OUTCOME(p, SYS_openat, AT_FDCWD, -1, O_RDONLY), EFAULT);
    ck_assert_int_eq(OUTCOME(p, SYS_openat, AT_FDCWD, -1, O_CREAT, 04755),
                     EPERM);
    ck_assert_int_eq(OUTCOME(&policies[5], SYS_openat, AT_FDCWD, -1), EPERM);
    ck_assert_int_eq(OUTCOME(p, 9999, 0), ENOSYS);
    ck_assert_int_eq(OUTCOME(p, SYS_renameat2, AT_FDCWD, -1, AT_FDCWD, -1),
                     EROFS);
    ck_assert_int_eq(
        OUTCOME(&policies[4], SYS_renameat2, AT_FDCWD, -1, AT_FDCWD, -1),
        EFAULT);
}
END_TEST

START_TEST(names_system_calls)
{
    char name[64];
    filter_name(SYS_ptrace, name, sizeof name);
    ck_assert_str_eq(name, "ptrace");
    filter_name(99999, name, sizeof name);
    ck_assert_str_eq(name, "");
}
END_TEST

Suite *
make_sandbox_filter_suite(void)
{
    const TTest *const tests[] = {splits_only_what_it_knows,
                                  asks_only_about_itself,
                                  signals_only_itself,
                                  kills_in_earnest,
                                  refuses_in_earnest,
                                  names_system_calls,
                                  NULL};
    Suite *s = suite_of("sandbox_filter", tests, 60);
    TCase *c = tcase_create("table");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, kills_foreign_architectures, 0, POLICIES);
    tcase_add_loop_test(c, decides_as_the_table_says, 0, POLICIES);
    suite_add_tcase(s, c);
    return s;
}
