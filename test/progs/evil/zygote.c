/* SPDX-License-Identifier: Apache-2.0 */
/* zygote.c - a fork server that speaks the control protocol as the real one
 * does, and whose helpers are evil.  It is honest itself: nobody but a helper
 * is an enemy.
 *
 * Started with the real one's command line; the control socket is descriptor
 * 3.  Ends with the VM, and its helpers with it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"
#include "err.h"
#include "evil.h"
#include "handoff.h"
#include "io.h"
#include "lane.h"

enum { CONTROL = HANDOFF_CONTROL_FD, CHILDREN = 256 };
enum { SOCKET, OUT, ERR, PIDFD, LANE, HATCH, FDS };

static struct child {
    pid_t pid;
    uint64_t id;
} children[CHILDREN];
static char **command;
static int command_len;

static void
send_map(struct ctl_out *m, const int *fds, int n)
{
    if (ctl_end(m) != 0)
        evil_broken("a control message");
    while (io_send_packet(CONTROL, m->bytes.data, m->bytes.len, fds, n) ==
           E_AGAIN)
        evil_sleep_ms(5);
    ctl_free(m);
}

static void
send_greeting(const char *type)
{
    struct ctl_out m;
    ctl_begin(&m);
    ctl_put_type(&m, type);
    ctl_put_uint(&m, "version", WIRE_LIMIT_VERSION);
    ctl_put_uint(&m, "fingerprint", WIRE_FINGERPRINT);
    ctl_put_int(&m, "pid", getpid());
    ctl_put_str(&m, "name", "evil");
    ctl_put_str(&m, "python", "3.11.0");
    ctl_put_str(&m, "executable", command[0]);
    ctl_put_strs(&m, "argv", command, (size_t)command_len);
    ctl_put_uint(&m, "threads", 1);
    send_map(&m, NULL, 0);
}

/* ---- a helper ------------------------------------------------------------ */

static void
make_pairs(int vm[FDS], int helper[FDS])
{
    int pair[2], size = 8 * WIRE_LIMIT_MAX_CONTROL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        evil_broken("socketpair");
    vm[SOCKET] = pair[0];
    helper[SOCKET] = pair[1];
    for (int i = 0; i < 2; i++)
        setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0 ||
        shutdown(pair[0], SHUT_RD) != 0)
        evil_broken("hatch");
    vm[HATCH] = pair[0];
    helper[HATCH] = pair[1];
    for (int i = OUT; i <= ERR; i++) {
        if (pipe2(pair, O_CLOEXEC) != 0)
            evil_broken("pipe");
        vm[i] = pair[0];
        helper[i] = pair[1];
    }
    if (lane_segment_create(&vm[LANE]) != 0)
        evil_broken("lane");
    helper[LANE] = vm[LANE];
}

static void
be_helper(int vm[FDS], int helper[FDS])
{
    sigset_t none;
    sigemptyset(&none);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(WIRE_SIGNAL_INTERRUPT, SIG_IGN);
    signal(WIRE_SIGNAL_BACKTRACE, SIG_IGN);
    dup2(helper[OUT], STDOUT_FILENO);
    dup2(helper[ERR], STDERR_FILENO);
    for (int i = OUT; i <= ERR; i++)
        close(helper[i]);
    for (int i = 0; i < FDS; i++)
        if (i != PIDFD && i != LANE)
            close(vm[i]);
    close(CONTROL);
    evil_main(helper[SOCKET], helper[HATCH], helper[LANE]);
}

/* BOOT, into the VM's end. */
static void
write_boot(int fd, const struct ctl_map *m)
{
    struct buf b;
    uint8_t head[WIRE_LIMIT_HEADER_SIZE] = {0};
    buf_init(&b, WIRE_LIMIT_MAX_CONTROL + sizeof head);
    if (buf_put(&b, head, sizeof head) != 0 ||
        ctl_get_packed(m, "boot", &b) != 0)
        evil_broken("boot");
    struct wire_header h = {.length = (uint32_t)(b.len - sizeof head),
                            .opcode = WIRE_BOOT};
    wire_put_header(b.data, &h);
    if (io_write_all(fd, b.data, b.len) != 0)
        evil_broken("boot");
    io_set_nonblock(fd, 1);
    buf_fini(&b);
}

static void
start_helper(const struct ctl_map *request)
{
    int vm[FDS], helper[FDS];
    uint64_t id = 0;
    struct child *c = children;
    struct ctl_out m;
    ctl_get_uint(request, "id", &id);
    while (c < children + CHILDREN - 1 && c->pid != 0)
        c++;
    make_pairs(vm, helper);
    c->id = id;
    c->pid = fork();
    if (c->pid == 0)
        be_helper(vm, helper);
    vm[PIDFD] = (int)syscall(SYS_pidfd_open, c->pid, 0);
    if (c->pid < 0 || vm[PIDFD] < 0)
        evil_broken("fork");
    for (int i = 0; i < FDS; i++)
        if (i != PIDFD && i != LANE)
            close(helper[i]);
    write_boot(vm[SOCKET], request);
    ctl_begin(&m);
    ctl_put_type(&m, CTL_spawned);
    ctl_put_uint(&m, "id", id);
    ctl_put_int(&m, "pid", c->pid);
    ctl_put_bool(&m, "spare", 0);
    send_map(&m, vm, FDS);
    for (int i = 0; i < FDS; i++)
        close(vm[i]);
}

static void
report(const struct child *c, int status)
{
    struct ctl_out m;
    ctl_begin(&m);
    ctl_put_type(&m, CTL_exited);
    ctl_put_uint(&m, "id", c->id);
    ctl_put_int(&m, "pid", c->pid);
    if (WIFEXITED(status))
        ctl_put_int(&m, "status", WEXITSTATUS(status));
    else
        ctl_put_int(&m, "signal", WTERMSIG(status));
    send_map(&m, NULL, 0);
}

static void
reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < CHILDREN; i++)
            if (children[i].pid == pid) {
                kill(-pid, SIGKILL);
                report(&children[i], status);
                children[i].pid = 0;
            }
}

/* ---- the loop ------------------------------------------------------------ */

static _Noreturn void
end(void)
{
    for (int i = 0; i < CHILDREN; i++)
        if (children[i].pid > 0)
            kill(-children[i].pid, SIGKILL);
    _exit(0);
}

static void
receive(void)
{
    static uint8_t bytes[WIRE_LIMIT_MAX_CONTROL];
    int fds[IO_MAX_FDS], count = 0;
    size_t n;
    struct ctl_in in;
    struct ctl_map m;
    int e = io_recv_packet(CONTROL, bytes, sizeof bytes, &n, fds, &count);
    if (e == E_AGAIN)
        return;
    if (e != 0 || ctl_open(&in, bytes, n, &m) != 0)
        end();
    if (ctl_is(&m, CTL_hello))
        send_greeting(CTL_hello);
    else if (ctl_is(&m, CTL_spawn))
        start_helper(&m);
    else if (ctl_is(&m, CTL_shutdown))
        end();
    ctl_close(&in);
}

int
main(int argc, char **argv)
{
    sigset_t chld;
    command = argv;
    command_len = argc;
    setsid();
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    int signals = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0 || io_set_cloexec(CONTROL, 1) != 0)
        return EVIL_BROKEN;
    send_greeting(CTL_ready);
    for (;;) {
        struct signalfd_siginfo s;
        struct pollfd p[2] = {{CONTROL, POLLIN, 0}, {signals, POLLIN, 0}};
        if (poll(p, 2, -1) < 0)
            continue;
        if (p[1].revents != 0 && read(signals, &s, sizeof s) > 0)
            reap();
        if (p[0].revents & POLLIN)
            receive();
        else if (p[0].revents != 0)
            end();
    }
}
