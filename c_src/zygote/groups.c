/* SPDX-License-Identifier: Apache-2.0 */
#include "groups.h"

#include "err.h"
#include "spawn.h"

/* A process that was killed is soon gone. */
enum { AGAIN_MS = 20 };

int
groups_begin(struct zygote *z, struct child *c)
{
    struct breed *b = c->breed;
    if (!(b->profile.layers & LAYER_CGROUP))
        return 0;
    if (b->kept_count > 0) {
        c->group = b->kept[--b->kept_count];
        return 0;
    }
    return cgroup_make(&z->cgroups, &c->breed->profile.policy, &c->group);
}

/* Where the group's counter includes those below it, this death is in it. */
int
groups_was_memory(struct zygote *z, struct child *c)
{
    struct cgroup_end end;
    if (c->group.number == 0)
        return oom_was_it(&z->oom);
    cgroup_look(&z->cgroups, &c->group, &end);
    if (end.was_killed)
        (void)oom_was_it(&z->oom);
    if (end.was_killed && end.was_full)
        c->limit = "memory";
    return end.was_killed;
}

/* Its limits are those of its breed's next helper.  Who wants none ahead will
 * hardly want many. */
static int
is_kept(struct zygote *z, struct child *c)
{
    struct breed *b = c->breed;
    if (c->group.number == 0 || c->limit != NULL || b->wanted == 0 ||
        b->kept_count >= BREED_KEPT_GROUPS ||
        !cgroup_is_spotless(&z->cgroups, &c->group))
        return 0;
    b->kept[b->kept_count++] = c->group;
    c->group.number = 0;
    return 1;
}

void
groups_forget(struct zygote *z, struct breed *b)
{
    while (b->kept_count > 0 &&
           cgroup_remove(&z->cgroups, &b->kept[b->kept_count - 1]) == 0)
        b->kept_count--;
}

static int
is_removed(struct zygote *z, struct child *c)
{
    return c->group.number == 0 || cgroup_remove(&z->cgroups, &c->group) == 0;
}

void
groups_end(struct zygote *z, struct child *c)
{
    if (is_kept(z, c) || is_removed(z, c)) {
        spawn_free(c);
        return;
    }
    spawn_release(c);
    c->breed = NULL;
    c->next = z->lingering;
    z->lingering = c;
}

void
groups_again(struct zygote *z)
{
    struct child **at = &z->lingering;
    while (*at != NULL) {
        struct child *c = *at;
        if (is_removed(z, c)) {
            *at = c->next;
            spawn_free(c);
        } else {
            at = &c->next;
        }
    }
}

int
groups_timeout(const struct zygote *z, int timeout)
{
    if (z->lingering == NULL || (timeout >= 0 && timeout < AGAIN_MS))
        return timeout;
    return AGAIN_MS;
}
