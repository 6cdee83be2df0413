/* SPDX-License-Identifier: Apache-2.0 */
/* deeds_fds.c - descriptors that nobody asked for, and ends that are closed. */
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "evil.h"

enum { EACH = 200 };

/* One byte or packet with many copies of our standard output. */
static ssize_t
send_fds(int sock, const void *p, size_t n)
{
    static union {
        char bytes[CMSG_SPACE(EACH * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec v = {(void *)p, n};
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(EACH * sizeof(int));
    for (size_t i = 0; i < EACH; i++)
        memcpy(CMSG_DATA(c) + i * sizeof(int), &(int){STDOUT_FILENO},
               sizeof(int));
    return sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* With a lane the byte is a bell; without one it begins the answer. */
static void
fds_with_answer(struct evil *e)
{
    uint8_t frame[WIRE_LIMIT_HEADER_SIZE + 3];
    struct wire_header h = {3, WIRE_RESULT, 0, 0, e->id};
    static const uint8_t bell = LANE_BELL;
    if (channel_has_lane(&e->channel)) {
        for (int i = 0; i < 20; i++)
            (void)send_fds(e->sock, &bell, 1);
        evil_answer(e, e->id);
        evil_serve(e);
    }
    wire_put_header(frame, &h);
    memcpy(frame + WIRE_LIMIT_HEADER_SIZE, (uint8_t[]){131, 97, 42}, 3);
    for (size_t i = 0; i < sizeof frame; i++)
        if (send_fds(e->sock, frame + i, 1) != 1)
            evil_broken("cannot send descriptors");
    evil_serve(e);
}

/* The VM never reads there: the kernel must refuse. */
static void
fds_up_the_hatch(struct evil *e)
{
    if (send_fds(e->hatch, "evil", 4) >= 0)
        _exit(EVIL_SUCCEEDED);
    evil_answer(e, e->id);
    evil_serve(e);
}

static void
shut_write(struct evil *e)
{
    shutdown(e->sock, SHUT_WR);
}

static void
shut_read(struct evil *e)
{
    shutdown(e->sock, SHUT_RD);
    evil_answer(e, e->id);
}

static void
shut_both(struct evil *e)
{
    shutdown(e->sock, SHUT_RDWR);
}

static void
close_socket(struct evil *e)
{
    close(e->sock);
}

static void
close_everything(struct evil *e)
{
    (void)e;
    close_range(0, ~0u, 0);
}

static void
exit_zero(struct evil *e)
{
    (void)e;
    _exit(0);
}

static void
abort_now(struct evil *e)
{
    (void)e;
    raise(SIGKILL);
}

/* A child in its own process group goes on with all that it inherited. */
static void
leave_a_child(struct evil *e)
{
    (void)e;
    if (fork() == 0)
        evil_wait();
    _exit(5);
}

const struct deed deeds_fds[] = {
    {"fds_with_answer", fds_with_answer},
    {"fds_up_the_hatch", fds_up_the_hatch},
    {"shut_write", shut_write},
    {"shut_read", shut_read},
    {"shut_both", shut_both},
    {"close_socket", close_socket},
    {"close_everything", close_everything},
    {"exit_zero", exit_zero},
    {"abort_now", abort_now},
    {"leave_a_child", leave_a_child},
    {NULL, NULL},
};
