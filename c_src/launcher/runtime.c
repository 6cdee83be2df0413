/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "ctl.h"
#include "err.h"
#include "handoff.h"
#include "io.h"
#include "python.h"
#include "wire.h"

enum { STOP_MS = 1000, STOP_STEP_MS = 5 };

/* ---- start -------------------------------------------------------------- */

static int
add_all(struct args_list *to, const char *option, const struct args_list *from)
{
    int e = 0;
    for (size_t i = 0; i < from->count && e == 0; i++) {
        e = args_list_add(to, option);
        if (e == 0)
            e = args_list_add(to, from->v[i]);
    }
    return e;
}

static int
add_pair(struct args_list *to, const char *option, const char *value)
{
    if (value == NULL || value[0] == 0)
        return 0;
    int e = args_list_add(to, option);
    return e != 0 ? e : args_list_add(to, value);
}

/* As handoff.h describes it. */
static int
make_command(struct args_list *argv, const struct runtime_options *o,
             const struct python *p)
{
    static const struct args_list none;
    char fd[16];
    *argv = none;
    snprintf(fd, sizeof fd, "%d", HANDOFF_CONTROL_FD);
    int e = args_list_add(argv, p->program);
    if (e == 0)
        e = args_list_add(argv, "zygote");
    if (e == 0)
        e = args_list_add(argv, "--control");
    if (e == 0)
        e = args_list_dup(argv, fd, strlen(fd));
    if (e == 0)
        e = add_pair(argv, "--name", o->name);
    if (e == 0)
        e = add_pair(argv, "--executable", p->executable);
    if (e == 0)
        e = add_all(argv, "--preload", &o->preload);
    if (e == 0)
        e = add_all(argv, "--path", &o->paths);
    if (e == 0)
        e = add_pair(argv, "--spares", o->spares);
    return e;
}

/* In the child: what cannot be executed says so as a zygote would. */
static _Noreturn void
fail_in_child(int fd, const char *program)
{
    char why[512];
    struct ctl_out m;
    snprintf(why, sizeof why, "cannot execute %.400s: %s", program,
             strerror(errno));
    ctl_begin(&m);
    ctl_put_type(&m, CTL_failed);
    ctl_put_str(&m, "reason", why);
    if (ctl_end(&m) == 0)
        (void)io_send_packet(fd, m.bytes.data, m.bytes.len, NULL, 0);
    _exit(HANDOFF_EXIT_INIT);
}

/* Every other descriptor of ours is close-on-exec. */
static _Noreturn void
exec_zygote(int socket, char **argv)
{
    unsetenv(HANDOFF_ENV);
    if (socket != HANDOFF_CONTROL_FD && dup2(socket, HANDOFF_CONTROL_FD) < 0)
        fail_in_child(socket, argv[0]);
    if (io_set_cloexec(HANDOFF_CONTROL_FD, 0) == 0)
        execv(argv[0], argv);
    fail_in_child(HANDOFF_CONTROL_FD, argv[0]);
}

static int
fork_zygote(struct runtime *r, char **argv)
{
    int pair[2];
    if (io_vouched_pair(pair) != 0)
        return E_SYS;
    r->pid = fork();
    if (r->pid == 0)
        exec_zygote(pair[1], argv);
    close(pair[1]);
    r->control = pair[0];
    if (r->pid > 0)
        return 0;
    r->pid = 0;
    io_close(&r->control);
    return E_SYS;
}

int
runtime_start(struct runtime *r, const struct runtime_options *o,
              const char *dir, char *why, size_t n)
{
    struct python python;
    struct args_list argv;
    *r = (struct runtime){.options = o, .control = -1};
    int e = python_resolve(o, dir, &python, why, n);
    if (e != 0)
        return e;
    e = make_command(&argv, o, &python);
    if (e == 0)
        e = fork_zygote(r, argv.v);
    if (e != 0)
        snprintf(why, n, "cannot start: %s",
                 e == E_SYS ? strerror(errno) : err_str(e));
    args_list_free(&argv);
    return e;
}

/* ---- hand-over ---------------------------------------------------------- */

int
runtime_hand_over(const struct runtime *r, size_t count)
{
    /* name=fd, and a comma or the NUL */
    char value[LAUNCHER_MAX_RUNTIMES * (LAUNCHER_NAME_MAX + 13) + 1];
    size_t at = 0;
    value[0] = 0;
    for (size_t i = 0; i < count; i++) {
        at += (size_t)snprintf(value + at, sizeof value - at, "%s%s=%d",
                               i > 0 ? "," : "", r[i].options->name,
                               r[i].control);
        if (io_set_cloexec(r[i].control, 0) != 0)
            return E_SYS;
    }
    return setenv(HANDOFF_ENV, value, 1) == 0 ? 0 : E_SYS;
}

/* ---- stop --------------------------------------------------------------- */

static int
count_left(struct runtime *r, size_t count)
{
    int left = 0;
    for (size_t i = 0; i < count; i++) {
        if (r[i].pid > 0 && waitpid(r[i].pid, NULL, WNOHANG) != 0)
            r[i].pid = 0;
        left += r[i].pid > 0;
    }
    return left;
}

/* A zygote that serves ends by the end-of-file and takes its helpers with it;
 * one that still imports modules ends by the signal. */
void
runtime_stop_all(struct runtime *r, size_t count)
{
    const struct timespec step = {.tv_nsec = STOP_STEP_MS * 1000000};
    for (size_t i = 0; i < count; i++) {
        io_close(&r[i].control);
        if (r[i].pid > 0)
            kill(r[i].pid, SIGTERM);
    }
    for (int ms = 0; count_left(r, count) > 0 && ms < STOP_MS;
         ms += STOP_STEP_MS)
        nanosleep(&step, NULL);
    for (size_t i = 0; i < count; i++) {
        if (r[i].pid <= 0)
            continue;
        kill(r[i].pid, SIGKILL);
        waitpid(r[i].pid, NULL, 0);
        r[i].pid = 0;
    }
}
