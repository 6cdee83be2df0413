/* SPDX-License-Identifier: Apache-2.0 */
#include "budget.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "err.h"
#include "spawn.h"

int
budget_begin(struct child *c, uint64_t ms)
{
    clockid_t clock;
    struct sigevent e;
    struct itimerspec t = {
        .it_value = {.tv_sec = (time_t)(ms / 1000),
                     .tv_nsec = (long)(ms % 1000) * 1000000}};
    memset(&e, 0, sizeof e);
    e.sigev_notify = SIGEV_SIGNAL;
    e.sigev_signo = SIGNALS_BUDGET_NUMBER;
    if (clock_getcpuclockid(c->pid, &clock) != 0 ||
        timer_create(clock, &e, &c->budget) != 0)
        return E_SYS;
    c->has_budget = 1;
    return timer_settime(c->budget, 0, &t, NULL) == 0 ? 0 : E_SYS;
}

void
budget_end(struct child *c)
{
    if (c->has_budget)
        timer_delete(c->budget);
    c->has_budget = 0;
}

/* One that has expired is no longer armed. */
void
budget_check(struct zygote *z)
{
    for (struct child *c = z->children; c != NULL; c = c->next) {
        struct itimerspec left;
        if (!c->has_budget || timer_gettime(c->budget, &left) != 0 ||
            left.it_value.tv_sec != 0 || left.it_value.tv_nsec != 0)
            continue;
        c->limit = "cpu_ms";
        budget_end(c);
        spawn_kill(c);
    }
}
