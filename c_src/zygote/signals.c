/* SPDX-License-Identifier: Apache-2.0 */
#include "signals.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "err.h"

/* A preloaded module may have started threads, which do not block what we read:
 * the kernel gives it to them.  The main thread blocks it, so there it waits to
 * be read.  (SIGCHLD ignored would even reap children for us, and take the
 * reports of their deaths with it.) */
static void
hand_on(int number)
{
    int e = errno;
    pid_t main_thread = getpid();
    syscall(SYS_tgkill, main_thread, main_thread, number);
    errno = e;
}

static const struct {
    int number;
    int is_read; /* through the signalfd; else ignored */
} taken[SIGNALS_TAKEN] = {
    {SIGCHLD, 1}, {SIGTERM, 1}, {SIGNALS_BUDGET_NUMBER, 1},
    {SIGINT, 0},  {SIGPIPE, 0},
};

void
signals_reset(void)
{
    struct sigaction now;
    sigset_t none;
    for (int i = 1; i <= SIGRTMAX; i++) {
        if (sigaction(i, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            signal(i, SIG_DFL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int
signals_take(struct signals *s)
{
    sigset_t read_set;
    sigemptyset(&read_set);
    for (int i = 0; i < SIGNALS_TAKEN; i++)
        if (taken[i].is_read)
            sigaddset(&read_set, taken[i].number);
    /* Before the handlers: here they would hand on for ever. */
    if (sigprocmask(SIG_SETMASK, &read_set, NULL) != 0)
        return E_SYS;
    for (int i = 0; i < SIGNALS_TAKEN; i++) {
        struct sigaction mine;
        memset(&mine, 0, sizeof mine);
        mine.sa_handler = taken[i].is_read ? hand_on : SIG_IGN;
        mine.sa_flags = SA_RESTART;
        if (taken[i].number == SIGCHLD)
            mine.sa_flags |= SA_NOCLDSTOP;
        if (sigaction(taken[i].number, &mine, &s->saved[i]) != 0)
            return E_SYS;
    }
    s->fd = signalfd(-1, &read_set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->fd < 0 ? E_SYS : 0;
}

void
signals_give_back(const struct signals *s)
{
    sigset_t none;
    for (int i = 0; i < SIGNALS_TAKEN; i++)
        sigaction(taken[i].number, &s->saved[i], NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int
signals_read(const struct signals *s)
{
    struct signalfd_siginfo info;
    int seen = 0;
    while (read(s->fd, &info, sizeof info) == (ssize_t)sizeof info)
        seen |= info.ssi_signo == SIGCHLD                 ? SIGNALS_CHILD
                : info.ssi_signo == SIGNALS_BUDGET_NUMBER ? SIGNALS_BUDGET
                                                          : SIGNALS_END;
    return seen;
}
