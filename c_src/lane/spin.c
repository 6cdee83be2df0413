/* SPDX-License-Identifier: Apache-2.0 */
#include "spin.h"

#include <time.h>

enum { LOOKS_PER_CLOCK = 32, AVERAGE_OVER = 8 };

int
spin_is_due(struct spin *s)
{
    if (s->rest == 0)
        return 1;
    s->rest--;
    return 0;
}

uint32_t
spin_budget(const struct spin *s, uint32_t max_ns)
{
    uint64_t ns = (uint64_t)s->typical_ns * SPIN_FACTOR + SPIN_SLACK_NS;
    return ns < max_ns ? (uint32_t)ns : max_ns;
}

void
spin_won(struct spin *s)
{
    s->penalty = 0;
}

void
spin_took(struct spin *s, uint64_t ns)
{
    int64_t off = (int64_t)ns - (int64_t)s->typical_ns;
    s->typical_ns = (uint32_t)((int64_t)s->typical_ns + off / AVERAGE_OVER);
}

/* The budget may have been too small: the next one is larger. */
void
spin_lost(struct spin *s, uint32_t max_ns)
{
    uint64_t ns = (uint64_t)s->typical_ns * 2 + SPIN_SLACK_NS / 4;
    s->typical_ns = ns < max_ns ? (uint32_t)ns : max_ns;
    s->penalty = s->penalty == 0 ? 1 : s->penalty * 2;
    if (s->penalty > SPIN_REST_MAX)
        s->penalty = SPIN_REST_MAX;
    s->rest = s->penalty / 2;
}

uint64_t
spin_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

int
spin_for_data(const struct lane *l, uint64_t from, uint32_t budget_ns)
{
    for (;;) {
        for (int i = 0; i < LOOKS_PER_CLOCK; i++) {
            if (lane_has_data(l))
                return 1;
            lane_expect(l);
            relax();
        }
        if (spin_now() - from >= budget_ns)
            return lane_has_data(l);
    }
}
