/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blackbox.h"
#include "filter.h"
#include "text.h"
#include "wire.h"

enum { TRACEBACK_SIZE = 16 * 1024 };

static void
put_ending(struct ctl_out *m, const siginfo_t *how)
{
    char name[16];
    if (how->si_code == CLD_EXITED) {
        ctl_put_int(m, "status", how->si_status);
        return;
    }
    const char *known = sigabbrev_np(how->si_status);
    if (known != NULL)
        snprintf(name, sizeof name, "SIG%s", known);
    else
        snprintf(name, sizeof name, "SIG%d", how->si_status);
    ctl_put_int(m, "signal", how->si_status);
    ctl_put_str(m, "signal_name", name);
    ctl_put_bool(m, "core", how->si_code == CLD_DUMPED);
}

static uint64_t
microseconds(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_usec;
}

static void
put_rusage(struct ctl_out *m, const struct rusage *u)
{
    struct ctl_out sub;
    ctl_begin(&sub);
    ctl_put_uint(&sub, "utime_us", microseconds(u->ru_utime));
    ctl_put_uint(&sub, "stime_us", microseconds(u->ru_stime));
    ctl_put_uint(&sub, "maxrss_kb", (uint64_t)u->ru_maxrss);
    ctl_put_uint(&sub, "minflt", (uint64_t)u->ru_minflt);
    ctl_put_uint(&sub, "majflt", (uint64_t)u->ru_majflt);
    ctl_put_uint(&sub, "nvcsw", (uint64_t)u->ru_nvcsw);
    ctl_put_uint(&sub, "nivcsw", (uint64_t)u->ru_nivcsw);
    if (ctl_end(&sub) == 0)
        ctl_put_map(m, "rusage", &sub);
    ctl_free(&sub);
}

/* The id is eight opaque bytes everywhere else: as they were on the wire. */
static void
put_request(struct ctl_out *m, const struct blackbox *box)
{
    char what[sizeof box->what + 1];
    uint64_t id = htole64(box->request);
    size_t n =
        box->what_len < sizeof box->what ? box->what_len : sizeof box->what;
    struct ctl_out sub;
    if (box->request == 0)
        return;
    text_clean(what, sizeof what, box->what, n);
    ctl_begin(&sub);
    ctl_put_bin(&sub, "id", &id, sizeof id);
    ctl_put_uint(&sub, "opcode", box->opcode);
    ctl_put_str(&sub, "what", what);
    if (ctl_end(&sub) == 0)
        ctl_put_map(m, "request", &sub);
    ctl_free(&sub);
}

/* Believed as far as it is a number of a system call. */
static void
put_syscall(struct ctl_out *m, const struct blackbox *box)
{
    char name[64];
    if (box->syscall == 0)
        return;
    filter_name((int)(box->syscall - 1), name, sizeof name);
    if (name[0] != 0)
        ctl_put_str(m, "syscall", name);
}

static void
put_traceback(struct ctl_out *m, int blackbox)
{
    char raw[TRACEBACK_SIZE], text[TRACEBACK_SIZE];
    ssize_t n = pread(blackbox, raw, sizeof raw, WIRE_LIMIT_BLACKBOX_TEXT);
    if (n > 0 && text_clean(text, sizeof text, raw, (size_t)n) > 0)
        ctl_put_str(m, "traceback", text);
}

void
report_exited(struct ctl_out *m, const struct child *c, const siginfo_t *how,
              const struct rusage *usage, int oom)
{
    struct blackbox box;
    ctl_begin(m);
    ctl_put_type(m, CTL_exited);
    ctl_put_uint(m, "id", c->id);
    ctl_put_int(m, "pid", c->pid);
    put_ending(m, how);
    if (oom)
        ctl_put_bool(m, "oom", 1);
    if (c->limit != NULL)
        ctl_put_str(m, "limit", c->limit);
    put_rusage(m, usage);
    if (pread(c->blackbox, &box, sizeof box, 0) == (ssize_t)sizeof box) {
        put_request(m, &box);
        if (how->si_code != CLD_EXITED && how->si_status == SIGSYS)
            put_syscall(m, &box);
    }
    put_traceback(m, c->blackbox);
}
