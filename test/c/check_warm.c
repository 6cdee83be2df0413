/* SPDX-License-Identifier: Apache-2.0 */
/* check_warm.c - memory of large values is kept while they come, and given
 * back when they do not.  A sanitizer has an allocator of its own, and other C
 * libraries too: there only the functions are run. */
#include "pysupport_helper.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support_check.h"
#include "support_process.h"
#include "warm.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define OURS 1
#else
#define OURS 0
#endif

enum { BIG = 24 << 20, PATIENCE_MS = 30000 };

static long
faults(void)
{
    struct rusage u;
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &u), 0);
    return u.ru_minflt;
}

static size_t
resident(pid_t pid)
{
    char name[64];
    unsigned long pages = 0;
    snprintf(name, sizeof name, "/proc/%d/statm", (int)pid);
    FILE *f = fopen(name, "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%*s %lu", &pages), 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Written for sure: a block that is only written and freed is none to the
 * compiler. */
static void
fill(char *p, int c, size_t n)
{
    memset(p, c, n);
    __asm__ volatile("" : : "r"(p) : "memory");
}

static void
use(void)
{
    char *p = malloc(BIG);
    ck_assert_ptr_nonnull(p);
    fill(p, 1, BIG);
    free(p);
}

START_TEST(kept_and_given_back)
{
    warm_init();
    ck_assert_int_eq(warm_patience(), 0);
    size_t before = resident(getpid());
    use();
    long first = faults();
    for (int i = 0; i < 10; i++)
        use();
    if (OURS) {
        ck_assert_int_lt(faults() - first, 2000); /* 10 x 6144 pages */
        ck_assert_uint_gt(resident(getpid()), before + BIG / 2);
        ck_assert_int_gt(warm_patience(), 0);
    }
    warm_trim();
    if (OURS) {
        ck_assert_uint_lt(resident(getpid()), before + BIG / 8);
        ck_assert_int_eq(warm_patience(), 0);
    }
    use();
}
END_TEST

/* A block that stays behind at the heap's end does not hold back the rest. */
START_TEST(given_back_around_what_stays)
{
    warm_init();
    size_t before = resident(getpid());
    char *p = malloc(BIG), *stays = malloc(100000);
    ck_assert(p != NULL && stays != NULL);
    fill(p, 1, BIG);
    fill(stays, 7, 100000);
    free(p);
    warm_trim();
    if (OURS)
        ck_assert_uint_lt(resident(getpid()), before + BIG / 8);
    for (int i = 0; i < 100000; i++)
        ck_assert_int_eq(stays[i], 7);
    free(stays);
}
END_TEST

/* A helper does so by itself, and answers afterwards. */
START_TEST(an_idle_helper_is_small)
{
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_EVAL, "('1 + 1', {})", "v == 2");
    size_t before = resident(p.pid);
    peer_ask(&p, WIRE_CALL,
             "('builtins', 'bytes', [b'\\xff' * (24 << 20)], {})",
             "len(v) == 24 << 20");
    long end = process_now_ms() + PATIENCE_MS;
    while (OURS && resident(p.pid) > before + (8 << 20) &&
           process_now_ms() < end)
        process_sleep_ms(20);
    if (OURS)
        ck_assert_uint_le(resident(p.pid), before + (8 << 20));
    peer_ask(&p, WIRE_EVAL, "('1 + 1', {})", "v == 2");
    peer_stop(&p);
}
END_TEST

static unsigned long
wakeups(pid_t pid)
{
    char name[64], line[256];
    unsigned long n = 0;
    snprintf(name, sizeof name, "/proc/%d/status", (int)pid);
    FILE *f = fopen(name, "r");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
            break;
    fclose(f);
    return n;
}

/* And then it sleeps: nothing wakes it to look again. */
START_TEST(an_idle_helper_sleeps)
{
    enum { LONG_MS = 1500 }; /* longer than anything it waits for */
    struct peer p;
    peer_start(&p);
    peer_ask(&p, WIRE_CALL,
             "('builtins', 'bytes', [b'\\xff' * (24 << 20)], {})",
             "len(v) == 24 << 20");
    unsigned long before;
    long end = process_now_ms() + PATIENCE_MS;
    do {
        before = wakeups(p.pid);
        process_sleep_ms(LONG_MS);
    } while (wakeups(p.pid) != before && process_now_ms() < end);
    ck_assert_uint_eq(wakeups(p.pid), before);
    peer_ask(&p, WIRE_EVAL, "('1 + 1', {})", "v == 2");
    peer_stop(&p);
}
END_TEST

Suite *
make_warm_suite(void)
{
    const TTest *const tests[] = {
        kept_and_given_back, given_back_around_what_stays,
        an_idle_helper_is_small, an_idle_helper_sleeps, NULL};
    return peer_suite("warm", tests, 60);
}
