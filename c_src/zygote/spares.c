/* SPDX-License-Identifier: Apache-2.0 */
#include "spares.h"

#include "spawn.h"

/* A spare that dies within YOUNG_MS of its fork makes the next pause twice as
 * long; one that dies later, or was killed by someone, costs a short pause. */
enum { YOUNG_MS = 1000, PAUSE_MS = 20, MAX_PAUSE_MS = 5000, MAX_STREAK = 8 };

struct child *
spares_oldest(const struct zygote *z)
{
    struct child *oldest = NULL; /* children are in order of age */
    for (struct child *c = z->children; c != NULL; c = c->next) {
        if (c->state == CHILD_SPARE)
            oldest = c;
    }
    return oldest;
}

void
spares_used(struct zygote *z, struct child *c)
{
    z->spares--;
    c->state = CHILD_IN_USE;
    z->throttle.streak = 0;
}

static int64_t
pause_after_failure(struct zygote *z)
{
    int64_t pause = (int64_t)PAUSE_MS << z->throttle.streak;
    if (z->throttle.streak < MAX_STREAK)
        z->throttle.streak++;
    if (pause > MAX_PAUSE_MS)
        pause = MAX_PAUSE_MS;
    z->throttle.not_before_ms = now_ms() + pause;
    return pause;
}

void
spares_died(struct zygote *z, const struct child *c)
{
    if (now_ms() - c->born_ms >= YOUNG_MS)
        z->throttle.streak = 0;
    int64_t pause = pause_after_failure(z);
    state_log(z, "warning",
              "spare helper %d died unused; the next one in %d ms", (int)c->pid,
              (int)pause);
}

static void
fork_one(struct zygote *z)
{
    char why[128];
    struct child *c;
    if (spawn_fork(z, &c, why, sizeof why) == 0)
        return;
    int64_t pause = pause_after_failure(z);
    state_log(z, "warning", "no spare helper (%s); the next try in %d ms", why,
              (int)pause);
}

void
spares_keep(struct zygote *z)
{
    while (z->spares > z->options.spares)
        spawn_doom(z, spares_oldest(z));
    if (z->spares < z->options.spares && spares_timeout(z) == 0)
        fork_one(z);
}

int
spares_timeout(const struct zygote *z)
{
    if (z->spares >= z->options.spares)
        return -1;
    int64_t wait = z->throttle.not_before_ms - now_ms();
    return wait > 0 ? (int)wait : 0;
}
