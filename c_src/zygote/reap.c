/* SPDX-License-Identifier: Apache-2.0 */
#include "reap.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>

#include "breeds.h"
#include "groups.h"
#include "report.h"
#include "spares.h"
#include "spawn.h"

/* A process that SIGKILL does not end is stuck in the kernel; the VM does not
 * wait for it. */
enum { LAST_WAIT_MS = 500, LAST_POLL_MS = 20 };

static struct child *
take_child(struct zygote *z, pid_t pid)
{
    for (struct child **at = &z->children; *at != NULL; at = &(*at)->next) {
        struct child *c = *at;
        if (c->pid == pid) {
            *at = c->next;
            return c;
        }
    }
    return NULL;
}

/* c was in `state`; it is dead, reaped and in no list. */
static void
bury(struct zygote *z, struct child *c, const siginfo_t *how,
     const struct rusage *usage)
{
    struct ctl_out m;
    int killed = how->si_code != CLD_EXITED && how->si_status == SIGKILL;
    int oom = killed && c->limit == NULL && c->state != CHILD_DOOMED &&
              groups_was_memory(z, c);
    if (c->state == CHILD_SPARE) {
        c->breed->spares--;
        spares_died(z, c);
    }
    if (c->state == CHILD_IN_USE && z->end == ZYGOTE_GO_ON) {
        report_exited(&m, c, how, usage, oom);
        state_send(z, &m, NULL, 0);
    }
    c->breed->children--;
    groups_end(z, c);
}

/* The dead process is still a zombie: its pid, and so its group, cannot be
 * anybody else's.  A child that is not ours (of a preloaded module) is reaped
 * as well. */
static void
reap_one(struct zygote *z, const siginfo_t *how)
{
    struct rusage usage;
    struct child *c = take_child(z, how->si_pid);
    memset(&usage, 0, sizeof usage);
    if (c != NULL)
        kill(-c->pid, SIGKILL);
    while (wait4(how->si_pid, NULL, 0, &usage) < 0 && errno == EINTR)
        continue;
    if (c != NULL)
        bury(z, c, how, &usage);
    else
        breeds_lost(z, how->si_pid);
}

/* 1 if one was reaped. */
static int
reap_next(struct zygote *z)
{
    siginfo_t how;
    memset(&how, 0, sizeof how);
    if (waitid(P_ALL, 0, &how, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        how.si_pid == 0)
        return 0;
    reap_one(z, &how);
    return 1;
}

void
reap_all(struct zygote *z)
{
    z->reap_again = 1;
    while (outbox_has_room(&z->out)) {
        if (!reap_next(z)) {
            z->reap_again = 0;
            return;
        }
    }
}

void
reap_at_end(struct zygote *z)
{
    int64_t deadline = now_ms() + LAST_WAIT_MS;
    struct pollfd p = {.fd = z->signals.fd, .events = POLLIN};
    for (struct child *c = z->children; c != NULL; c = c->next)
        spawn_kill(c);
    for (struct breed *b = &z->plain; b != NULL; b = b->next) {
        b->wanted = 0; /* nor will it keep what it gets from now on */
        groups_forget(z, b);
    }
    while ((z->children != NULL || z->lingering != NULL) &&
           now_ms() < deadline) {
        (void)signals_read(&z->signals);
        groups_again(z);
        if (!reap_next(z))
            poll(&p, 1, LAST_POLL_MS);
    }
}
