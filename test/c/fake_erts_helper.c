/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"
#include "err.h"
#include "fake_helper.h"
#include "io.h"

static pid_t
start_process(void)
{
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old); /* before it can be interrupted */
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    sigprocmask(SIG_SETMASK, &old, NULL);
    return pid;
}

/* A pidfd of a process that has ended: signals to it have no effect. */
static int
dead_pidfd(void)
{
    static int fd = -1;
    if (fd < 0) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        fd = (int)syscall(SYS_pidfd_open, pid, 0);
        waitpid(pid, NULL, 0);
    }
    return dup(fd);
}

/* The port duplicates what it is given: find the numbers it will use. */
static int
next_fd(int from)
{
    int fd = fcntl(from, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return fd;
}

static int
start_port(struct fake_helper *f, const int *fds, int lane)
{
    uint32_t settings[9] = {WIRE_LIMIT_GRACE_MS, WIRE_LIMIT_FRAME_DEADLINE_MS,
                            WIRE_LIMIT_MAX_FRAME, WIRE_LIMIT_MAX_DEPTH,
                            WIRE_LIMIT_SPIN_US};
    uint8_t reply[8];
    char args[128];
    snprintf(args, sizeof args, "py_drv helper %d %d %d %d %d -1 3", fds[0],
             fds[1], fds[2], fds[3], lane);
    int first = next_fd(fds[0]);
    f->port = driver_init()->start(NULL, args);
    if (f->port == ERL_DRV_ERROR_ERRNO)
        return -1;
    fake_control(f->port, DRV_OP_SETTINGS, settings, sizeof settings, reply,
                 sizeof reply);
    f->inner_socket = first;
    for (f->inner_out = first + 1; !fake_watched(f->inner_out);)
        f->inner_out++;
    for (f->inner_err = f->inner_out + 1; !fake_watched(f->inner_err);)
        f->inner_err++;
    return 0;
}

void
fake_helper_start_over(struct fake_helper *f, int with_process, int lane)
{
    int sv[2], out[2], err[2], segment = -1;
    memset(f, 0, sizeof *f);
    fake_begin();
    f->pid = with_process ? start_process() : 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) || pipe(out) || pipe(err) ||
        (lane && lane_segment_create(&segment) != 0))
        abort();
    int pidfd =
        with_process ? (int)syscall(SYS_pidfd_open, f->pid, 0) : dead_pidfd();
    int fds[4] = {sv[0], out[0], err[0], pidfd};
    if (start_port(f, fds, segment) != 0)
        abort();
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    if (lane ? channel_lane_init(&f->channel, LANE_HELPER, segment, sv[1])
             : channel_socket_init(&f->channel, sv[1]))
        abort();
    io_close(&segment);
    f->out = out[1];
    f->err = err[1];
    fake_set_caller(1);
}

void
fake_helper_start(struct fake_helper *f, int with_process)
{
    const char *way = getenv("TERRARIUM_TEST_WAY");
    int lane = way != NULL && strcmp(way, "lane") == 0;
    fake_helper_start_over(f, with_process, lane);
}

void
fake_helper_ready(struct fake_helper *f)
{
    fake_helper_start(f, 1);
    fake_helper_hello(f);
}

void
fake_helper_hello(struct fake_helper *f)
{
    struct ctl_out o;
    ctl_begin(&o);
    ctl_put_uint(&o, "version", WIRE_LIMIT_VERSION);
    ctl_put_uint(&o, "fingerprint", WIRE_FINGERPRINT);
    if (ctl_end(&o) != 0)
        abort();
    fake_helper_frame(f, WIRE_HELLO, 0, o.bytes.data, o.bytes.len);
    ctl_free(&o);
    fake_helper_pump(f);
    fake_forget_messages();
}

int
fake_helper_stop(struct fake_helper *f)
{
    driver_init()->flush(f->port);
    driver_init()->stop(f->port);
    fake_helper_hang_up(f);
    close(f->out);
    close(f->err);
    if (f->pid != 0) {
        kill(f->pid, SIGKILL);
        waitpid(f->pid, NULL, 0);
    }
    return fake_end();
}

static int
readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return (fake_watched(fd) & ERL_DRV_READ) && poll(&p, 1, 0) == 1;
}

void
fake_helper_pump(struct fake_helper *f)
{
    int fds[3] = {f->inner_socket, f->inner_out, f->inner_err};
    ErlDrvEntry *e = driver_init();
    for (int busy = 1; busy;) {
        busy = 0;
        for (int i = 0; i < 3; i++) {
            if (!readable(fds[i]))
                continue;
            e->ready_input(f->port, (ErlDrvEvent)(intptr_t)fds[i]);
            busy = 1;
        }
    }
    if (fake_watched(f->inner_socket) & ERL_DRV_WRITE)
        e->ready_output(f->port, (ErlDrvEvent)(intptr_t)f->inner_socket);
}

int
fake_helper_write(struct fake_helper *f, const void *p, size_t n)
{
    for (size_t at = 0, k; at < n;) {
        struct iovec v = {(char *)p + at, n - at};
        int e = channel_writev(&f->channel, &v, 1, &k);
        if (e == 0)
            at += k;
        else if (e == E_AGAIN && fake_watched(f->inner_socket) != 0)
            fake_helper_pump(f);
        else
            return -1; /* a full lane looks the same when nobody reads it */
    }
    return 0;
}

/* There may be a bell before what is to be read. */
size_t
fake_helper_read(struct fake_helper *f, void *p, size_t cap)
{
    size_t n = 0;
    channel_polled(&f->channel);
    return channel_read(&f->channel, p, cap, &n) == 0 ? n : 0;
}

void
fake_helper_hang_up(struct fake_helper *f)
{
    channel_close(&f->channel);
}

void
fake_helper_frame(struct fake_helper *f, uint8_t opcode, uint64_t id,
                  const void *body, size_t n)
{
    struct wire_header h = {.length = (uint32_t)n, .opcode = opcode, .id = id};
    uint8_t *frame = malloc(sizeof f->head + n);
    wire_put_header(frame, &h);
    if (n > 0)
        memcpy(frame + sizeof f->head, body, n);
    fake_helper_write(f, frame, sizeof f->head + n);
    free(frame);
}

static void
take_body(struct fake_helper *f, size_t n, uint8_t *out, size_t cap)
{
    for (size_t at = 0; at < n;) {
        uint8_t chunk[4096];
        size_t want = n - at < sizeof chunk ? n - at : sizeof chunk;
        size_t k = fake_helper_read(f, chunk, want);
        if (k == 0)
            fake_helper_pump(f);
        else if (at + k <= cap)
            memcpy(out + at, chunk, k);
        at += k;
    }
}

int
fake_helper_take(struct fake_helper *f, uint64_t *id, uint8_t *out, size_t cap,
                 size_t *n)
{
    struct wire_header h;
    f->head_len += fake_helper_read(f, f->head + f->head_len,
                                    sizeof f->head - f->head_len);
    if (f->head_len < sizeof f->head || wire_get_header(f->head, &h) != 0)
        return -1;
    f->head_len = 0;
    take_body(f, h.length, out, cap);
    *id = h.id;
    *n = h.length;
    return h.opcode;
}

uint64_t
fake_helper_submit(struct fake_helper *f, size_t bytes)
{
    uint8_t reply[64];
    uint64_t id = 0;
    uint8_t *body = calloc(1, bytes + 1); /* one is never zero bytes */
    long n = fake_control(f->port, WIRE_CALL, body, bytes, reply, sizeof reply);
    free(body);
    if (n == 9 && reply[0] == DRV_REPLY_PENDING)
        memcpy(&id, reply + 1, sizeof id);
    return id;
}

int
fake_helper_attach(struct fake_helper *f, uint64_t id, const char *ref)
{
    uint8_t body[64], reply[256];
    size_t n = strlen(ref);
    memcpy(body, &id, 8);
    memcpy(body + 8, ref, n);
    fake_control(f->port, DRV_OP_ATTACH, body, 8 + n, reply, sizeof reply);
    return reply[0];
}

int
fake_helper_cancel(struct fake_helper *f, uint64_t id)
{
    uint8_t reply[64];
    fake_control(f->port, DRV_OP_CANCEL_CALL, &id, 8, reply, sizeof reply);
    return reply[0];
}

int
fake_helper_killed(struct fake_helper *f)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)f->pid, &info, WEXITED | WNOWAIT) == 0 &&
           info.si_code == CLD_KILLED && info.si_status == SIGKILL;
}
