/* SPDX-License-Identifier: Apache-2.0 */
/* zygote.c - a zygote's life: start Python once, then fork, reap and report
 * until the VM is gone.
 *
 * One loop over three descriptors: the control socket, the signals, and the
 * VM's process.  Nothing in it waits for anything but poll; a slow reader at
 * the other end stops it from taking requests, never from ending.
 * Knows: everything in this folder.   Does not know: frames, ETF, requests to
 * Python; between two forks it runs no Python code, but for imports of our own
 * modules (lockup.h).
 * Errors: none of a helper's or of the VM's doing ends it, but end-of-file. */
#include "py.h"

#include "zygote.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "budget.h"
#include "err.h"
#include "greeting.h"
#include "groups.h"
#include "handoff.h"
#include "host.h"
#include "interp.h"
#include "io.h"
#include "mem.h"
#include "reap.h"
#include "requests.h"
#include "spares.h"
#include "state.h"
#include "tasks.h"
#include "wire.h"

/* Requests taken in one turn of the loop. */
enum { REQUESTS_A_TURN = 16, RETRY_MS = 20 };

/* ---- start -------------------------------------------------------------- */

static int
is_control_socket(int fd)
{
    int type = 0;
    socklen_t len = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
           type == SOCK_SEQPACKET;
}

/* Standard input from /dev/null, 1 and 2 open whatever they are, and nothing
 * above them but the control socket: what our parent forgot to close would
 * stay open in every helper. */
static int
take_descriptors(int control)
{
    int fd = open("/dev/null", O_RDWR);
    if (fd < 0 || dup2(fd, STDIN_FILENO) < 0)
        return E_SYS;
    while (fd <= STDERR_FILENO) {
        fd = dup(STDIN_FILENO);
        if (fd < 0)
            return E_SYS;
    }
    close(fd);
    if (control > STDERR_FILENO + 1)
        close_range(STDERR_FILENO + 1, (unsigned)control - 1, 0);
    close_range((unsigned)control + 1, UINT_MAX, 0);
    return io_set_cloexec(control, 1) != 0 || io_set_nonblock(control, 1) != 0
               ? E_SYS
               : 0;
}

/* Where this program is, also when it was replaced since it was started. */
static char *
own_path(void)
{
    static const char deleted[] = " (deleted)";
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return NULL;
    path[n] = 0;
    size_t len = (size_t)n, tail = sizeof deleted - 1;
    if (len > tail && strcmp(path + len - tail, deleted) == 0)
        path[len - tail] = 0;
    char *copy = mem_alloc(strlen(path) + 1);
    return copy != NULL ? strcpy(copy, path) : NULL;
}

/* Helpers get the limit as it was; we hold a black box for each of them. */
static void
raise_file_limit(struct zygote *z)
{
    if (getrlimit(RLIMIT_NOFILE, &z->files) != 0)
        return;
    struct rlimit most = {z->files.rlim_max, z->files.rlim_max};
    setrlimit(RLIMIT_NOFILE, &most);
}

static int
start_python(struct zygote *z, char *why, size_t n)
{
    struct interp_options o = {.executable = z->options.executable,
                               .paths = z->options.paths.v,
                               .path_count = z->options.paths.count,
                               .preload = z->options.preload.v,
                               .preload_count = z->options.preload.count};
    return interp_init(&o, why, n);
}

/* What can only be done after Python's own set-up. */
static int
prepare(struct zygote *z)
{
    z->pid = getpid();
    z->program = own_path();
    z->program_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    z->in = mem_alloc(WIRE_LIMIT_MAX_CONTROL);
    z->threads = tasks_count();
    oom_init(&z->oom, "");
    cgroup_host_init(&z->cgroups, "");
    z->host.cgroups = &z->cgroups;
    raise_file_limit(z);
    z->plain.wanted = z->options.spares;
    z->plain.lanes = 1;
    z->plain.profile.landlock = z->plain.profile.proc = -1;
    cell_init(&z->plain.profile.cell);
    nest_init(&z->plain.nest);
    /* From here on it is end-of-file that counts: a VM may detach itself. */
    prctl(PR_SET_PDEATHSIG, 0);
    if (z->program == NULL || z->in == NULL || host_find(&z->host) != 0)
        return E_NOMEM;
    return signals_take(&z->signals);
}

/* ---- the loop ----------------------------------------------------------- */

static void
receive(struct zygote *z)
{
    for (int i = 0; i < REQUESTS_A_TURN; i++) {
        int fds[IO_MAX_FDS], count = 0;
        int64_t user = IO_NO_USER;
        if (z->end != ZYGOTE_GO_ON || !outbox_has_room(&z->out))
            return;
        int e = io_recv_vouched(z->control, z->in, WIRE_LIMIT_MAX_CONTROL,
                                &z->in_size, fds, &count, &user);
        while (e == 0 && count > 0) /* nobody has a reason to send us any */
            close(fds[--count]);
        if (e == E_AGAIN)
            return;
        int serves = e == 0 && greeting_serves(z, user);
        if (serves)
            requests_handle(z, z->in, z->in_size);
        else if (e == E_LIMIT)
            state_log(z, "warning", "control message too large: ignored");
        else if (e != 0)
            z->end = HANDOFF_EXIT_OK;
        mem_wipe(z->in, e == 0 ? z->in_size : WIRE_LIMIT_MAX_CONTROL);
        if (e == 0 && !serves)
            return;
    }
}

/* A socket that says it is writable and then takes nothing (too many
 * descriptors are on their way to a VM that does not fetch them) must not
 * spin us. */
static void
flush(struct zygote *z, int writable)
{
    size_t before = z->out.count;
    int e = outbox_flush(&z->out);
    if (e == E_AGAIN && writable && z->out.count == before)
        poll(NULL, 0, RETRY_MS);
    else if (e != 0 && e != E_AGAIN && z->end == ZYGOTE_GO_ON)
        z->end = HANDOFF_EXIT_OK;
}

static int
wait_for_work(struct zygote *z, struct pollfd p[3])
{
    short in = outbox_has_room(&z->out) ? POLLIN : 0;
    short out = z->out.count > 0 ? POLLOUT : 0;
    int timeout = groups_timeout(z, spares_timeout(z));
    p[0] = (struct pollfd){.fd = z->control, .events = in | out};
    p[1] = (struct pollfd){.fd = z->signals.fd, .events = POLLIN};
    p[2] = (struct pollfd){.fd = z->vm, .events = POLLIN};
    if (z->reap_again && outbox_has_room(&z->out))
        timeout = 0;
    return poll(p, 3, timeout);
}

static void
turn(struct zygote *z)
{
    struct pollfd p[3];
    if (wait_for_work(z, p) < 0)
        return;
    int seen = p[1].revents != 0 ? signals_read(&z->signals) : 0;
    if (p[2].revents != 0 || (seen & SIGNALS_END) != 0 ||
        (p[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
        z->end = HANDOFF_EXIT_OK;
        return;
    }
    if (p[0].revents & POLLIN)
        receive(z);
    if ((seen & SIGNALS_BUDGET) != 0)
        budget_check(z);
    if ((seen & SIGNALS_CHILD) != 0 || z->reap_again)
        reap_all(z);
    groups_again(z);
    flush(z, (p[0].revents & POLLOUT) != 0);
    if (z->end == ZYGOTE_GO_ON)
        spares_keep(z); /* after the answers have left */
}

/* Helpers first: whatever happens after it, they are gone. */
static _Noreturn void
finish(struct zygote *z)
{
    (void)outbox_flush(&z->out);
    reap_at_end(z);
    fflush(NULL);
    _exit(z->end);
}

/* ---- main --------------------------------------------------------------- */

static int
fail(struct zygote *z, const char *why, int status)
{
    if (is_control_socket(z->options.control))
        greeting_failed(z->options.control, why);
    else
        fprintf(stderr, "terrarium_py zygote: %s\n", why);
    zygote_options_free(&z->options);
    mem_free(z->program);
    mem_free(z->in);
    mem_free(z);
    return status;
}

static int
serve(struct zygote *z)
{
    z->control = z->options.control;
    z->vm = -1;
    z->end = ZYGOTE_GO_ON;
    if (prepare(z) != 0)
        return fail(z, "cannot prepare: out of memory or descriptors",
                    HANDOFF_EXIT_SYSTEM);
    outbox_init(&z->out, z->control);
    greeting_ready(z);
    while (z->end == ZYGOTE_GO_ON)
        turn(z);
    finish(z);
}

int
zygote_main(int argc, char **argv)
{
    char why[4096] = "";
    struct zygote *z = mem_alloc(sizeof *z);
    if (z == NULL)
        return HANDOFF_EXIT_SYSTEM;
    memset(z, 0, sizeof *z);
    z->argc = argc;
    z->argv = argv;
    z->options.name = "?";
    z->options.control = HANDOFF_CONTROL_FD;
    if (zygote_options_parse(&z->options, argc, argv, why, sizeof why) != 0)
        return fail(z, why, HANDOFF_EXIT_USAGE);
    if (!is_control_socket(z->options.control))
        return fail(z, "--control: not a sequenced-packet socket",
                    HANDOFF_EXIT_USAGE);
    setsid();
    signals_reset();
    /* While modules are imported nobody reads the control socket. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (take_descriptors(z->options.control) != 0)
        return fail(z, "cannot take descriptors", HANDOFF_EXIT_SYSTEM);
    if (start_python(z, why, sizeof why) != 0)
        return fail(z, why, HANDOFF_EXIT_INIT);
    return serve(z);
}
