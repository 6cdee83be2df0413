/* SPDX-License-Identifier: Apache-2.0 */
#include "spares.h"

#include "breeds.h"
#include "groups.h"
#include "nest.h"
#include "spawn.h"

/* A spare that dies within YOUNG_MS of its fork makes the next pause twice as
 * long; one that dies later, or was killed by someone, costs a short pause. */
enum { YOUNG_MS = 1000, PAUSE_MS = 20, MAX_PAUSE_MS = 5000, MAX_STREAK = 8 };

struct child *
spares_oldest(const struct zygote *z, const struct breed *b)
{
    struct child *oldest = NULL; /* children are in order of age */
    for (struct child *c = z->children; c != NULL; c = c->next) {
        if (c->breed == b && c->state == CHILD_SPARE)
            oldest = c;
    }
    return oldest;
}

void
spares_used(struct child *c)
{
    c->breed->spares--;
    c->state = CHILD_IN_USE;
    c->breed->throttle.streak = 0;
}

static int64_t
pause_after_failure(struct throttle *t)
{
    int64_t pause = (int64_t)PAUSE_MS << t->streak;
    if (t->streak < MAX_STREAK)
        t->streak++;
    if (pause > MAX_PAUSE_MS)
        pause = MAX_PAUSE_MS;
    t->not_before_ms = now_ms() + pause;
    return pause;
}

void
spares_died(struct zygote *z, const struct child *c)
{
    struct throttle *t = &c->breed->throttle;
    if (now_ms() - c->born_ms >= YOUNG_MS)
        t->streak = 0;
    if (c->nested)
        nest_give_up(&c->breed->nest);
    int64_t pause = pause_after_failure(t);
    state_log(z, "warning",
              "spare helper %d died unused; the next one in %d ms", (int)c->pid,
              (int)pause);
}

static void
fork_one(struct zygote *z, struct breed *b)
{
    char why[128];
    struct child *c;
    if (spawn_fork(z, b, &c, why, sizeof why) == 0)
        return;
    int64_t pause = pause_after_failure(&b->throttle);
    state_log(z, "warning", "no spare helper (%s); the next try in %d ms", why,
              (int)pause);
}

/* One that nobody asks for any more keeps no spares. */
static int
rests(const struct zygote *z, const struct breed *b)
{
    return b != &z->plain && now_ms() - b->used_ms > BREEDS_REST_MS;
}

/* Who wants none ahead will hardly want many. */
static void
keep_for_many(struct zygote *z, struct breed *b)
{
    if (b->wanted > 0) {
        nest_begin(z, b);
        return;
    }
    nest_end(&b->nest);
    groups_forget(z, b);
}

/* How long until this breed may have its next one, or gives its spares up; -1:
 * it needs none. */
static int
breed_timeout(const struct zygote *z, const struct breed *b)
{
    if (b != &z->plain && b->spares > 0 && b->spares >= b->wanted) {
        int64_t left = b->used_ms + BREEDS_REST_MS + 1 - now_ms();
        return left > 0 ? (int)left : 0;
    }
    if (b->spares >= b->wanted)
        return -1;
    int64_t wait = b->throttle.not_before_ms - now_ms();
    return wait > 0 ? (int)wait : 0;
}

void
spares_keep(struct zygote *z)
{
    for (struct breed *b = &z->plain; b != NULL; b = b->next) {
        if (rests(z, b))
            b->wanted = 0;
        if (b != &z->plain)
            keep_for_many(z, b);
        while (b->spares > b->wanted)
            spawn_doom(spares_oldest(z, b));
        if (b->spares < b->wanted && breed_timeout(z, b) == 0)
            fork_one(z, b);
    }
}

int
spares_timeout(const struct zygote *z)
{
    int least = -1;
    for (const struct breed *b = &z->plain; b != NULL; b = b->next) {
        int wait = breed_timeout(z, b);
        if (wait >= 0 && (least < 0 || wait < least))
            least = wait;
    }
    return least;
}
