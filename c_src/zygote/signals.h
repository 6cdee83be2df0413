/* SPDX-License-Identifier: Apache-2.0 */
/* signals.h - the zygote's signals, and giving them back to a helper.
 *
 * The zygote reads SIGCHLD, SIGTERM and SIGVTALRM from a descriptor and ignores
 * SIGINT and SIGPIPE.  Python has set its own handlers by then; they are kept
 * and put back in each child, so that Python's view of them stays true. Used
 * by: zygote.   Errors: E_SYS.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_SIGNALS_H
#define TERRARIUM_ZYGOTE_SIGNALS_H

#include <signal.h>

enum { SIGNALS_TAKEN = 5 };

struct signals {
    int fd; /* signalfd */
    struct sigaction saved[SIGNALS_TAKEN];
};

/* Nothing ignored, nothing blocked, whatever our parent had set. */
void signals_reset(void);
int signals_take(struct signals *s);
/* In a child: the dispositions of before signals_take, an empty mask. */
void signals_give_back(const struct signals *s);

enum signals_seen { SIGNALS_CHILD = 1, SIGNALS_END = 2, SIGNALS_BUDGET = 4 };
/* What the timers of budget.h send. */
#define SIGNALS_BUDGET_NUMBER SIGVTALRM
/* What has arrived: a set of enum signals_seen. */
int signals_read(const struct signals *s);

#endif
