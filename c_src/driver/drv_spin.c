/* SPDX-License-Identifier: Apache-2.0 */
#include "drv_spin.h"

#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

enum { SLOTS_MAX = 64 };
#define TENURE_NS 2000000u /* a slot that others want is held so long */

/* A slot is free when `until` has passed.  Its holder is whoever wrote the
 * value that is there: values only grow, so it is nobody else's. */
static struct {
    _Alignas(64) _Atomic uint64_t until;
    _Atomic uint32_t wanted; /* somebody else found no slot */
} slots[SLOTS_MAX];

static _Atomic unsigned slot_count; /* 0: not counted yet; else count + 1 */

void
drv_spin_set_slots(unsigned count)
{
    if (count > SLOTS_MAX)
        count = SLOTS_MAX;
    atomic_store(&slot_count, count == 0 ? 0 : count + 1);
}

/* The cores that this VM may use, but one.  Asked of the process: the calling
 * thread may be bound to one of them. */
static unsigned
count_slots(void)
{
    unsigned known = atomic_load_explicit(&slot_count, memory_order_relaxed);
    cpu_set_t cpus;
    if (known == 0) {
        int n = sched_getaffinity(getpid(), sizeof cpus, &cpus) == 0
                    ? CPU_COUNT(&cpus)
                    : 1;
        known = n > SLOTS_MAX ? SLOTS_MAX + 1 : n > 1 ? (unsigned)n : 1;
        atomic_store_explicit(&slot_count, known, memory_order_relaxed);
    }
    return known - 1;
}

static int
take(struct drv_lease *l, int slot, uint64_t expected, uint64_t until)
{
    if (!atomic_compare_exchange_strong_explicit(&slots[slot].until, &expected,
                                                 until, memory_order_relaxed,
                                                 memory_order_relaxed))
        return 0;
    l->slot = slot;
    l->until = until;
    return 1;
}

void
drv_lease_end(struct drv_lease *l)
{
    if (l->slot >= 0)
        take(l, l->slot, l->until, 0);
    l->slot = -1;
}

/* Renewed only in its second half: it saves an atomic operation per call. */
static int
keep(struct drv_lease *l, uint64_t now, uint64_t ns)
{
    if (now - l->since > TENURE_NS &&
        atomic_exchange_explicit(&slots[l->slot].wanted, 0,
                                 memory_order_relaxed)) {
        drv_lease_end(l);
        l->not_until = now + TENURE_NS;
        return 0;
    }
    if (l->until > now + ns / 2)
        return 1;
    if (take(l, l->slot, l->until, now + ns))
        return 1;
    l->slot = -1;
    return 0;
}

int
drv_lease_take(struct drv_lease *l, uint64_t now, uint64_t ns)
{
    if (now < l->not_until)
        return 0;
    if (l->slot >= 0 && keep(l, now, ns))
        return 1;
    int count = (int)count_slots();
    for (int i = 0; i < count; i++) {
        uint64_t until =
            atomic_load_explicit(&slots[i].until, memory_order_relaxed);
        if (until > now || !take(l, i, until, now + ns))
            continue;
        l->since = now;
        atomic_store_explicit(&slots[i].wanted, 0, memory_order_relaxed);
        return 1;
    }
    for (int i = 0; i < count; i++)
        atomic_store_explicit(&slots[i].wanted, 1, memory_order_relaxed);
    return 0;
}
