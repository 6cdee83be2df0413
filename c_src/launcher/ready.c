/* SPDX-License-Identifier: Apache-2.0 */
/* ready.c - runtime_wait_all: all zygotes start in parallel, and the first
 * that fails ends the wait.   Declared in runtime.h. */
#include "runtime.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "err.h"
#include "io.h"
#include "wire.h"

enum { END_MS = 500, END_STEP_MS = 5 };

static long
now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000L + t.tv_nsec / 1000000;
}

/* Its socket is closed and nothing was said: how did it end?  It may not have
 * ended at all, when an imported module closed what it found open. */
static int
explain_end(struct runtime *r, char *why, size_t n)
{
    const struct timespec step = {.tv_nsec = END_STEP_MS * 1000000};
    int status = 0;
    pid_t pid = 0;
    for (int ms = 0; pid == 0 && ms < END_MS; ms += END_STEP_MS) {
        pid = waitpid(r->pid, &status, WNOHANG);
        if (pid == 0)
            nanosleep(&step, NULL);
    }
    if (pid != 0)
        r->pid = 0;
    if (pid <= 0)
        snprintf(why, n, "closed its control socket before it was ready");
    else if (WIFSIGNALED(status))
        snprintf(why, n, "ended by signal %d (%s) before it was ready",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(why, n, "ended with status %d before it was ready",
                 WEXITSTATUS(status));
    return E_EOF;
}

static void
copy_text(const struct ctl_map *m, const char *key, char *out, size_t n)
{
    const char *p = "no reason given";
    size_t len = strlen(p);
    (void)ctl_get_bytes(m, key, &p, &len);
    snprintf(out, n, "%.*s", (int)(len < n ? len : n), p);
}

static int
take_message(struct runtime *r, const struct ctl_map *m, int quiet, char *why,
             size_t n)
{
    char text[1024];
    if (ctl_is(m, CTL_ready)) {
        r->ready = 1;
    } else if (ctl_is(m, CTL_failed)) {
        copy_text(m, "reason", why, n);
        return E_REFUSED;
    } else if (ctl_is(m, CTL_log) && !quiet) {
        copy_text(m, "text", text, sizeof text);
        fprintf(stderr, "terrarium: runtime %s: %s\n", r->options->name, text);
    }
    return 0;
}

/* One message, and no more than up to `ready`: the rest is for the VM. */
static int
receive(struct runtime *r, int quiet, char *why, size_t n)
{
    static char bytes[WIRE_LIMIT_MAX_CONTROL];
    int fds[IO_MAX_FDS], count = 0;
    size_t len = 0;
    struct ctl_in in;
    struct ctl_map m;
    int e = io_recv_packet(r->control, bytes, sizeof bytes, &len, fds, &count);
    while (e == 0 && count > 0)
        close(fds[--count]);
    if (e == E_EOF)
        return explain_end(r, why, n);
    if (e == 0)
        e = ctl_open(&in, bytes, len, &m);
    if (e != 0) {
        snprintf(why, n, "cannot understand it: %s", err_str(e));
        return e;
    }
    e = take_message(r, &m, quiet, why, n);
    ctl_close(&in);
    return e;
}

/* Not yet ready ones into p; returns how many. */
static size_t
collect(struct runtime *r, size_t count, struct pollfd *p,
        struct runtime **whose)
{
    size_t waiting = 0;
    for (size_t i = 0; i < count; i++) {
        if (r[i].ready)
            continue;
        p[waiting] = (struct pollfd){.fd = r[i].control, .events = POLLIN};
        whose[waiting++] = &r[i];
    }
    return waiting;
}

static int
name_it(const struct runtime *r, int e, const char *what, char *why, size_t n)
{
    snprintf(why, n, "runtime %s: %s", r->options->name, what);
    return e;
}

int
runtime_wait_all(struct runtime *r, size_t count, unsigned timeout_ms,
                 int quiet, char *why, size_t n)
{
    struct pollfd p[LAUNCHER_MAX_RUNTIMES];
    struct runtime *whose[LAUNCHER_MAX_RUNTIMES];
    char what[4096];
    long deadline = now_ms() + (long)timeout_ms;
    for (size_t waiting; (waiting = collect(r, count, p, whose)) > 0;) {
        long left = deadline - now_ms();
        int seen = left > 0 ? poll(p, waiting, (int)left) : 0;
        if (seen < 0 && errno == EINTR)
            continue;
        if (seen <= 0) {
            snprintf(what, sizeof what, "not ready within %u seconds",
                     timeout_ms / 1000);
            return name_it(whose[0], E_AGAIN, what, why, n);
        }
        for (size_t i = 0; i < waiting; i++) {
            int e = p[i].revents != 0
                        ? receive(whose[i], quiet, what, sizeof what)
                        : 0;
            if (e != 0)
                return name_it(whose[i], e, what, why, n);
        }
    }
    return 0;
}
