/* SPDX-License-Identifier: Apache-2.0 */
#include "budget.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "err.h"
#include "spawn.h"
#include "wire.h"

static int
arm(struct child *c)
{
    struct itimerspec t = {
        .it_value = {.tv_sec = (time_t)(c->budget_ms / 1000),
                     .tv_nsec = (long)(c->budget_ms % 1000) * 1000000}};
    return timer_settime(c->budget, 0, &t, NULL) == 0 ? 0 : E_SYS;
}

int
budget_begin(struct child *c, uint64_t ms)
{
    clockid_t clock;
    struct sigevent e;
    memset(&e, 0, sizeof e);
    e.sigev_notify = SIGEV_SIGNAL;
    e.sigev_signo = SIGNALS_BUDGET_NUMBER;
    if (clock_getcpuclockid(c->pid, &clock) != 0 ||
        timer_create(clock, &e, &c->budget) != 0)
        return E_SYS;
    c->has_budget = 1;
    c->budget_ms = ms;
    c->spent = 0;
    return arm(c);
}

void
budget_end(struct child *c)
{
    if (c->has_budget)
        timer_delete(c->budget);
    c->has_budget = 0;
}

static void
over(struct child *c)
{
    c->limit = "cpu_ms";
    budget_end(c);
    spawn_kill(c);
}

/* Armed again before the VM is asked: it need not answer. */
static void
expired(struct zygote *z, struct child *c)
{
    struct ctl_out m;
    if (c->spent || arm(c) != 0) {
        over(c);
        return;
    }
    c->spent = 1;
    ctl_begin(&m);
    ctl_put_type(&m, CTL_spent);
    ctl_put_uint(&m, "id", c->id);
    state_send(z, &m, NULL, 0);
}

/* One that has expired is no longer armed. */
void
budget_check(struct zygote *z)
{
    for (struct child *c = z->children; c != NULL; c = c->next) {
        struct itimerspec left;
        if (c->has_budget && timer_gettime(c->budget, &left) == 0 &&
            left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0)
            expired(z, c);
    }
}

void
budget_answered(struct zygote *z, uint64_t id, int renew)
{
    for (struct child *c = z->children; c != NULL; c = c->next) {
        if (c->state != CHILD_IN_USE || c->id != id || !c->spent ||
            !c->has_budget)
            continue;
        c->spent = 0;
        if (!renew)
            over(c);
    }
}
