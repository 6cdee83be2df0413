/* SPDX-License-Identifier: Apache-2.0 */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "err.h"

static int
io_error(void)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return E_AGAIN;
    if (errno == EPIPE || errno == ECONNRESET)
        return E_EOF;
    return E_SYS;
}

int
io_read(int fd, void *p, size_t cap, size_t *n)
{
    ssize_t k;
    do
        k = read(fd, p, cap);
    while (k < 0 && errno == EINTR);
    if (k < 0)
        return io_error();
    if (k == 0)
        return E_EOF;
    *n = (size_t)k;
    return 0;
}

/* sendmsg rather than writev: MSG_NOSIGNAL, for the peer may be dead. */
int
io_writev(int fd, const struct iovec *v, int count, size_t *n)
{
    struct msghdr m = {.msg_iov = (struct iovec *)v,
                       .msg_iovlen = (size_t)count};
    ssize_t k;
    do
        k = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (k < 0 && errno == EINTR);
    if (k < 0)
        return io_error();
    *n = (size_t)k;
    return 0;
}

int
io_write_all(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        ssize_t k = write(fd, at, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return io_error();
        at += k;
        n -= (size_t)k;
    }
    return 0;
}

static int
set_flag(int fd, int get, int set, int flag, int on)
{
    int flags = fcntl(fd, get);
    if (flags < 0)
        return E_SYS;
    int wanted = on ? flags | flag : flags & ~flag;
    return wanted != flags && fcntl(fd, set, wanted) < 0 ? E_SYS : 0;
}

int
io_set_nonblock(int fd, int on)
{
    return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int
io_set_cloexec(int fd, int on)
{
    return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int
io_dup(const int *from, int *to, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = -1;
    for (int i = 0; i < n; i++) {
        if (from[i] >= 0 && (to[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3)) < 0)
            return E_SYS;
    }
    return 0;
}

void
io_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int
io_send_packet(int fd, const void *p, size_t n, const int *fds, int count)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * IO_MAX_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec v = {.iov_base = (void *)p, .iov_len = n};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    if (count > IO_MAX_FDS)
        return E_LIMIT;
    if (count > 0) {
        memset(&control, 0, sizeof control);
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)count);
    }
    ssize_t k;
    do
        k = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (k < 0 && errno == EINTR);
    return k < 0 ? io_error() : 0;
}

/* Take the descriptors out of a received message, at most IO_MAX_FDS: where the
 * control buffer had room for more, it is as if it had not had it. */
static int
take_fds(struct msghdr *m, int *fds)
{
    int count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < k; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (count < IO_MAX_FDS) {
                fds[count++] = fd;
                continue;
            }
            close(fd);
            m->msg_flags |= MSG_CTRUNC;
        }
    }
    return count;
}

/* A peer that closed without reading all that we sent is reported once as
 * ECONNRESET, before what it had sent itself: its last words are next. */
static ssize_t
receive(int fd, struct msghdr *m)
{
    int resets = 0;
    ssize_t k;
    do
        k = recvmsg(fd, m, MSG_CMSG_CLOEXEC);
    while (k < 0 && (errno == EINTR || (errno == ECONNRESET && !resets++)));
    return k;
}

/* The real user of the sender, as the kernel says. */
static int64_t
sender(struct msghdr *m)
{
    struct ucred who;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
            c->cmsg_len < CMSG_LEN(sizeof who))
            continue;
        memcpy(&who, CMSG_DATA(c), sizeof who);
        return (int64_t)who.uid;
    }
    return IO_NO_USER;
}

int
io_recv_vouched(int fd, void *p, size_t cap, size_t *n, int *fds, int *count,
                int64_t *user)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * IO_MAX_FDS) +
                   CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    size_t room = sizeof control.bytes;
    if (user == NULL)
        room -= CMSG_SPACE(sizeof(struct ucred));
    struct iovec v = {.iov_base = p, .iov_len = cap};
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = room};
    ssize_t k = receive(fd, &m);
    if (k < 0)
        return io_error();
    int got = take_fds(&m, fds);
    if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        while (got > 0)
            close(fds[--got]);
        return E_LIMIT;
    }
    if (k == 0 && got == 0)
        return E_EOF;
    *n = (size_t)k;
    *count = got;
    if (user != NULL)
        *user = sender(&m);
    return 0;
}

int
io_recv_packet(int fd, void *p, size_t cap, size_t *n, int *fds, int *count)
{
    return io_recv_vouched(fd, p, cap, n, fds, count, NULL);
}

int
io_vouched_pair(int pair[2])
{
    int on = 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return E_SYS;
    if (setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0)
        return 0;
    int saved = errno;
    io_close(&pair[0]);
    io_close(&pair[1]);
    errno = saved;
    return E_SYS;
}
