/* SPDX-License-Identifier: Apache-2.0 */
/* check_lane_once.c - no number that the peer may change is read twice.
 *
 * While the code under test runs, the segment may not be touched: each access
 * faults, is noted, let through for one instruction, and the segment is closed
 * again.  Only where the machine can step by one instruction (x86-64). */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <ucontext.h>

#include "io.h"
#include "lane.h"
#include "lane_layout.h"
#include "support_check.h"

#ifdef __x86_64__

enum { MAX_NOTED = 4096, TRAP_FLAG = 0x100 };

static struct lane vm, helper;
static struct {
    uint8_t *volatile at[MAX_NOTED];
    volatile int count;
} noted;

static void
protect(int how)
{
    if (mprotect(vm.shared, sizeof *vm.shared, how) != 0)
        signal(SIGSEGV, SIG_DFL);
}

static void
on_fault(int number, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    uint8_t *at = info->si_addr, *from = (uint8_t *)vm.shared;
    if (at < from || at >= from + sizeof *vm.shared) {
        signal(number, SIG_DFL); /* a fault of ours */
        return;
    }
    if (noted.count < MAX_NOTED)
        noted.at[noted.count++] = at;
    protect(PROT_READ | PROT_WRITE);
    u->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void
on_step(int number, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    (void)number;
    (void)info;
    protect(PROT_NONE);
    u->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

static void
watch(void)
{
    struct sigaction fault = {.sa_flags = SA_SIGINFO, .sa_sigaction = on_fault};
    struct sigaction step = {.sa_flags = SA_SIGINFO, .sa_sigaction = on_step};
    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGTRAP, &step, NULL);
    noted.count = 0;
    protect(PROT_NONE);
}

static void
unwatch(void)
{
    protect(PROT_READ | PROT_WRITE);
    signal(SIGSEGV, SIG_DFL);
}

static int
accesses(const volatile void *p)
{
    int n = 0;
    for (int i = 0; i < noted.count; i++)
        n += noted.at[i] == (const volatile uint8_t *)p;
    return n;
}

static void
setup(void)
{
    int s[2], segment;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
    ck_ok(lane_segment_create(&segment));
    ck_ok(lane_open(&vm, LANE_VM, segment, s[0]));
    ck_ok(lane_open(&helper, LANE_HELPER, segment, s[1]));
    io_close(&segment);
}

static void
teardown(void)
{
    lane_close(&vm);
    lane_close(&helper);
}

static int
write_one(struct lane *l, const void *p, size_t n)
{
    size_t done;
    struct iovec v = {(void *)p, n};
    return lane_writev(l, &v, 1, &done);
}

START_TEST(a_record)
{
    uint8_t got[100];
    size_t n = 0;
    ck_ok(write_one(&helper, "twelve bytes", 12));
    watch();
    int e = lane_read(&vm, got, sizeof got, &n);
    unwatch();
    ck_ok(e);
    ck_assert_uint_eq(n, 12);
    ck_assert_int_eq(accesses(&vm.shared->helper.head), 1);
    ck_assert_int_eq(accesses(vm.shared->up), 1); /* its header */
}
END_TEST

START_TEST(a_marker)
{
    static uint8_t large[LANE_INLINE + 100];
    static uint8_t got[sizeof large];
    size_t n = 0;
    ck_ok(write_one(&helper, large, sizeof large));
    watch();
    int e = lane_read(&vm, got, sizeof got, &n);
    unwatch();
    ck_ok(e);
    ck_assert_uint_gt(n, LANE_INLINE);
    ck_assert_int_eq(accesses(&vm.shared->helper.head), 1);
    ck_assert_int_eq(accesses(vm.shared->up), 1);
}
END_TEST

START_TEST(what_has_been_taken)
{
    static uint8_t bytes[5000];
    while (write_one(&vm, bytes, sizeof bytes) == 0)
        continue;
    watch();
    int e = write_one(&vm, bytes, sizeof bytes);
    unwatch();
    ck_err(e, E_AGAIN);
    ck_assert_int_eq(accesses(&vm.shared->helper.tail), 1);
}
END_TEST

Suite *
make_lane_once_suite(void)
{
    Suite *suite = suite_create("lane_once");
    TCase *t = tcase_create("once");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_record);
    tcase_add_test(t, a_marker);
    tcase_add_test(t, what_has_been_taken);
    suite_add_tcase(suite, t);
    return suite;
}

#else

Suite *
make_lane_once_suite(void)
{
    return suite_create("lane_once");
}

#endif
