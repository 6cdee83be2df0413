/* SPDX-License-Identifier: Apache-2.0 */
/* check_sandbox_trap.c - forbidden calls that are trapped, so that they leave
 * their name: who may change what the signal does, and who outlives it. */
#include <check.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filter.h"
#include "support_bpf.h"
#include "support_check.h"

static const struct policy policies[] = {
    {.level = LEVEL_DEFAULT, .threads = 1, .diagnose = 1},
    {.level = LEVEL_STRICT, .diagnose = 1},
    {.level = LEVEL_DEFAULT, .threads = 1},
    {.level = LEVEL_STRICT},
};
enum { POLICIES = sizeof policies / sizeof policies[0] };

/* ---- what the filter says ------------------------------------------------ */

static uint32_t
decided(const struct filter *f, int nr, uint64_t a, uint64_t b)
{
    struct seccomp_data d = {
        .nr = nr, .arch = AUDIT_ARCH_X86_64, .args = {a, b}};
    if (seccomp_arch_native() == SCMP_ARCH_AARCH64)
        d.arch = AUDIT_ARCH_AARCH64;
    return bpf_run(f->code, f->count, &d);
}

/* Named or not: all signals but one have the handlers that they are given, and
 * what else stands in that register does not matter. */
START_TEST(only_sigsys_is_kept)
{
    const uint64_t rest[] = {0, 1ull << 32, 1ull << 63, ~0ull << 32};
    const uint64_t pointers[] = {1, 31, 1ull << 32, 0x7ffdeadbeef0, ~0ull};
    struct filter f;
    ck_ok(filter_make(&f, &policies[_i]));
    for (int r = 0; r < 4; r++)
        for (uint64_t sig = 0; sig < 128; sig++) {
            uint32_t ask = decided(&f, SYS_rt_sigaction, rest[r] | sig, 0);
            ck_assert_uint_eq(ask, SECCOMP_RET_ALLOW);
            for (int p = 0; p < 5; p++)
                ck_assert_uint_eq(
                    decided(&f, SYS_rt_sigaction, rest[r] | sig, pointers[p]),
                    sig == SIGSYS ? SECCOMP_RET_ERRNO | EPERM
                                  : SECCOMP_RET_ALLOW);
        }
    filter_free(&f);
}
END_TEST

/* ---- in a process -------------------------------------------------------- */

/* What a process did with the number that it found; shared with its parent. */
static volatile int *noted;

static void
note(int sig, siginfo_t *si, void *ucontext)
{
    (void)sig, (void)ucontext;
    *noted = si->si_syscall;
    for (;;)
        syscall(SYS_ptrace, 0, 0, 0, 0);
}

static void
enter(const struct policy *p)
{
    struct filter f;
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_sigaction = note;
    a.sa_flags = SA_SIGINFO;
    sigfillset(&a.sa_mask);
    if (sigaction(SIGSYS, &a, NULL) != 0 || filter_make(&f, p) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        filter_install(f.code, f.count) != 0)
        _exit(255);
}

static void
forbidden(void)
{
    syscall(SYS_keyctl, -1, 0, 0, 0, 0);
    _exit(0); /* it lives */
}

static void *
forbidden_in_thread(void *unused)
{
    forbidden();
    return unused;
}

/* A handler of its own, SIG_IGN, SIG_DFL: each is refused, and so it is where
 * the upper half of the number is not 0. */
static void
change_handler(void)
{
    void (*const all[])(int) = {(void (*)(int))forbidden, SIG_IGN, SIG_DFL};
    unsigned char raw[64] = {0};
    for (int i = 0; i < 3; i++) {
        struct sigaction a = {.sa_handler = all[i],
                              .sa_flags = (int)SA_RESETHAND};
        errno = 0;
        if (sigaction(SIGSYS, &a, NULL) == 0 || errno != EPERM)
            _exit(1);
    }
    if (syscall(SYS_rt_sigaction, SIGSYS | 1L << 40, raw, NULL, 8L) == 0)
        _exit(2);
    struct sigaction now;
    if (sigaction(SIGSYS, NULL, &now) != 0 || now.sa_sigaction != note)
        _exit(3);
    forbidden();
}

static void
block(void)
{
    sigset_t all;
    sigfillset(&all);
    if (sigprocmask(SIG_SETMASK, &all, NULL) != 0)
        _exit(1);
    forbidden();
}

static void
thread(void)
{
    pthread_t t;
    if (pthread_create(&t, NULL, forbidden_in_thread, NULL) != 0)
        _exit(1);
    pthread_join(t, NULL);
    _exit(2);
}

/* A stack that was given to handlers is taken away. */
static void
no_stack(void)
{
    stack_t none = {.ss_flags = SS_DISABLE};
    if (sigaltstack(&none, NULL) != 0)
        _exit(1);
    forbidden();
}

static int
dies_of_it(const struct policy *p, void (*attempt)(void))
{
    int status = 0;
    *noted = 0;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        enter(p);
        attempt();
        _exit(254);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
                  "wait status %x", status);
    return *noted;
}

START_TEST(nothing_outlives_it)
{
    static const struct {
        void (*attempt)(void);
        int noted;
    } all[] = {{forbidden, SYS_keyctl},
               {change_handler, SYS_keyctl},
               {thread, SYS_keyctl},
               {no_stack, SYS_keyctl},
               {block, 0} /* by default */};
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(page, MAP_FAILED);
    noted = page;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        ck_assert_int_eq(dies_of_it(&policies[0], all[i].attempt),
                         all[i].noted);
        /* Not named: nor is any handler called. */
        ck_assert_int_eq(dies_of_it(&policies[2], all[i].attempt), 0);
    }
    munmap(page, 4096);
}
END_TEST

Suite *
make_sandbox_trap_suite(void)
{
    const TTest *const tests[] = {nothing_outlives_it, NULL};
    Suite *s = suite_of("sandbox_trap", tests, 60);
    TCase *c = tcase_create("levels");
    tcase_add_loop_test(c, only_sigsys_is_kept, 0, POLICIES);
    suite_add_tcase(s, c);
    return s;
}
