/* SPDX-License-Identifier: Apache-2.0 */
/* check_io.c - descriptors: interrupted and partial transfers, dead peers,
 * passed descriptors, and that none is ever left open. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "io.h"
#include "support_check.h"

static void
make_pair(int type, int s[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, s), 0);
}

static void
close_pair(int s[2])
{
    io_close(&s[0]);
    io_close(&s[1]);
}

START_TEST(read_tells_data_empty_and_end_apart)
{
    int s[2];
    char p[8];
    size_t n = 99;
    make_pair(SOCK_STREAM, s);
    ck_ok(io_set_nonblock(s[0], 1));
    ck_err(io_read(s[0], p, sizeof p, &n), E_AGAIN);
    ck_assert_uint_eq(n, 99);
    ck_ok(io_write_all(s[1], "abc", 3));
    ck_ok(io_read(s[0], p, sizeof p, &n));
    ck_assert_uint_eq(n, 3);
    ck_assert_mem_eq(p, "abc", 3);
    io_close(&s[1]);
    ck_err(io_read(s[0], p, sizeof p, &n), E_EOF);
    ck_assert_uint_eq(n, 3);
    ck_err(io_read(-1, p, sizeof p, &n), E_SYS);
    ck_assert_int_eq(errno, EBADF);
    close_pair(s);
}
END_TEST

START_TEST(writing_to_a_dead_peer_is_an_error_and_no_signal)
{
    int s[2];
    size_t n = 99;
    struct iovec v[2] = {{"abc", 3}, {"de", 2}};
    char p[8];
    make_pair(SOCK_STREAM, s);
    ck_ok(io_writev(s[0], v, 2, &n));
    ck_assert_uint_eq(n, 5);
    ck_ok(io_read(s[1], p, sizeof p, &n));
    ck_assert_mem_eq(p, "abcde", 5);
    io_close(&s[1]);
    n = 99;
    ck_err(io_writev(s[0], v, 2, &n), E_EOF);
    ck_err(io_send_packet(s[0], "x", 1, NULL, 0), E_EOF);
    ck_assert_uint_eq(n, 99);
    close_pair(s);
}
END_TEST

START_TEST(a_full_socket_takes_a_part_then_says_again)
{
    static char big[1 << 20];
    int s[2], e;
    size_t n = 0, total = 0;
    struct iovec v = {big, sizeof big};
    make_pair(SOCK_STREAM, s);
    ck_ok(io_set_nonblock(s[0], 1));
    while ((e = io_writev(s[0], &v, 1, &n)) == 0) {
        ck_assert_uint_gt(n, 0);
        total += n;
    }
    ck_err(e, E_AGAIN);
    ck_assert_uint_gt(total, 0);
    ck_ok(io_set_nonblock(s[0], 0));
    ck_ok(io_set_nonblock(s[1], 1));
    while (io_read(s[1], big, sizeof big, &n) == 0)
        total -= n;
    ck_assert_uint_eq(total, 0);
    close_pair(s);
}
END_TEST

static void
on_alarm(int signal)
{
    (void)signal;
}

static void
interrupt_often(int on)
{
    struct sigaction act = {.sa_handler = on_alarm}; /* no SA_RESTART */
    struct timeval every = {0, on ? 500 : 0};
    struct itimerval timer = {every, every};
    sigaction(SIGALRM, &act, NULL);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

enum { PUMPED = 1 << 22 };

static void *
read_slowly(void *arg)
{
    static char p[4096];
    int fd = *(int *)arg;
    size_t n, total = 0;
    while (total < PUMPED && io_read(fd, p, sizeof p, &n) == 0) {
        for (size_t i = 0; i < n; i++)
            if (p[i] != (char)((total + i) / 1000))
                return NULL;
        total += n;
        if (total % (1 << 18) < 4096)
            usleep(1000);
    }
    return total == PUMPED ? arg : NULL;
}

START_TEST(signals_interrupt_neither_reading_nor_writing_all)
{
    static char p[PUMPED];
    int s[2];
    pthread_t reader;
    void *result = NULL;
    for (size_t i = 0; i < sizeof p; i++)
        p[i] = (char)(i / 1000);
    make_pair(SOCK_STREAM, s);
    interrupt_often(1);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_slowly, &s[1]), 0);
    ck_ok(io_write_all(s[0], p, sizeof p));
    pthread_join(reader, &result);
    interrupt_often(0);
    ck_assert_ptr_nonnull(result);
    close_pair(s);
}
END_TEST

START_TEST(flags_go_on_and_off)
{
    int s[2];
    make_pair(SOCK_STREAM, s);
    ck_ok(io_set_cloexec(s[0], 0));
    ck_assert_int_eq(fcntl(s[0], F_GETFD) & FD_CLOEXEC, 0);
    ck_ok(io_set_cloexec(s[0], 1));
    ck_assert_int_ne(fcntl(s[0], F_GETFD) & FD_CLOEXEC, 0);
    ck_ok(io_set_nonblock(s[0], 1));
    ck_assert_int_ne(fcntl(s[0], F_GETFL) & O_NONBLOCK, 0);
    ck_ok(io_set_nonblock(s[0], 0));
    ck_assert_int_eq(fcntl(s[0], F_GETFL) & O_NONBLOCK, 0);
    ck_err(io_set_nonblock(-1, 1), E_SYS);
    ck_err(io_set_cloexec(-1, 1), E_SYS);
    int fd = s[0];
    io_close(&s[0]);
    ck_assert_int_eq(s[0], -1);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    io_close(&s[0]);
    close_pair(s);
}
END_TEST

/* ---- packets ------------------------------------------------------------ */

/* A raw message with more descriptors than io_send_packet would send. */
static void
send_many(int fd, int passed, int count)
{
    char control[CMSG_SPACE(sizeof(int) * 64)] = {0};
    struct iovec v = {"m", 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control};
    m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    for (int i = 0; i < count; i++)
        memcpy(CMSG_DATA(c) + sizeof(int) * (size_t)i, &passed, sizeof passed);
    ck_assert_int_eq(sendmsg(fd, &m, 0), 1);
}

/* Room for the sender's name is no room for descriptors. */
START_TEST(packets_name_their_sender)
{
    int s[2], fds[IO_MAX_FDS + 1], count;
    char p[16];
    size_t n;
    int64_t user = 7;
    int before = open_descriptors();
    ck_ok(io_vouched_pair(s));
    ck_ok(io_send_packet(s[0], "hello", 5, (int[]){0, 0}, 2));
    ck_ok(io_recv_vouched(s[1], p, sizeof p, &n, fds, &count, &user));
    ck_assert_uint_eq(n, 5);
    ck_assert_int_eq(user, (int64_t)getuid());
    ck_assert_int_eq(count, 2);
    while (count > 0)
        io_close(&fds[--count]);
    send_many(s[0], 0, IO_MAX_FDS + 4);
    ck_err(io_recv_vouched(s[1], p, sizeof p, &n, fds, &count, &user), E_LIMIT);
    ck_ok(io_send_packet(s[1], "hi", 2, NULL, 0)); /* the other way: nobody */
    ck_ok(io_recv_vouched(s[0], p, sizeof p, &n, fds, &count, &user));
    ck_assert_int_eq(user, IO_NO_USER);
    fds[IO_MAX_FDS] = -7;
    send_many(s[1], 0, IO_MAX_FDS + 4);
    ck_err(io_recv_vouched(s[0], p, sizeof p, &n, fds, &count, &user), E_LIMIT);
    ck_assert_int_eq(fds[IO_MAX_FDS], -7);
    io_close(&s[0]);
    ck_err(io_recv_vouched(s[1], p, sizeof p, &n, fds, &count, &user), E_EOF);
    close_pair(s);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

START_TEST(packets_keep_their_bounds)
{
    int s[2], fds[IO_MAX_FDS], count = -1;
    char p[100];
    size_t n;
    make_pair(SOCK_SEQPACKET, s);
    ck_ok(io_set_nonblock(s[1], 1));
    ck_err(io_recv_packet(s[1], p, sizeof p, &n, fds, &count), E_AGAIN);
    ck_ok(io_send_packet(s[0], "first", 5, NULL, 0));
    ck_ok(io_send_packet(s[0], "second", 6, NULL, 0));
    ck_ok(io_recv_packet(s[1], p, sizeof p, &n, fds, &count));
    ck_assert_uint_eq(n, 5);
    ck_assert_int_eq(count, 0);
    ck_ok(io_recv_packet(s[1], p, 6, &n, fds, &count));
    ck_assert_mem_eq(p, "second", 6);
    io_close(&s[0]);
    ck_err(io_recv_packet(s[1], p, sizeof p, &n, fds, &count), E_EOF);
    close_pair(s);
    ck_err(io_recv_packet(-1, p, sizeof p, &n, fds, &count), E_SYS);
}
END_TEST

START_TEST(descriptors_pass_and_are_close_on_exec)
{
    int s[2], pipe_fds[2], got[IO_MAX_FDS], count = 0;
    int before = open_descriptors();
    char p[10];
    size_t n;
    make_pair(SOCK_SEQPACKET, s);
    ck_assert_int_eq(pipe(pipe_fds), 0);
    for (int k = 1; k <= IO_MAX_FDS; k++) {
        int sent[IO_MAX_FDS];
        for (int i = 0; i < k; i++)
            sent[i] = pipe_fds[1];
        ck_ok(io_send_packet(s[0], "fds", 3, sent, k));
        ck_ok(io_recv_packet(s[1], p, sizeof p, &n, got, &count));
        ck_assert_int_eq(count, k);
        for (int i = 0; i < k; i++) {
            ck_assert_int_ne(fcntl(got[i], F_GETFD) & FD_CLOEXEC, 0);
            ck_ok(io_write_all(got[i], "!", 1));
            ck_ok(io_read(pipe_fds[0], p, 1, &n));
            io_close(&got[i]);
        }
    }
    close_pair(pipe_fds);
    close_pair(s);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

START_TEST(surplus_descriptors_are_closed)
{
    int s[2], got[IO_MAX_FDS], count = 0;
    char p[10];
    size_t n = 99;
    make_pair(SOCK_SEQPACKET, s);
    int before = open_descriptors();
    for (int k = IO_MAX_FDS + 1; k <= 64; k += 5) {
        send_many(s[0], 0, k);
        ck_err(io_recv_packet(s[1], p, sizeof p, &n, got, &count), E_LIMIT);
        ck_assert_int_eq(open_descriptors(), before);
    }
    int sent[IO_MAX_FDS + 1] = {0};
    ck_err(io_send_packet(s[0], "x", 1, sent, IO_MAX_FDS + 1), E_LIMIT);
    ck_assert_uint_eq(n, 99);
    ck_assert_int_eq(count, 0);
    close_pair(s);
}
END_TEST

START_TEST(a_message_too_long_is_refused_with_its_descriptors)
{
    int s[2], got[IO_MAX_FDS], count = 0;
    char p[4];
    size_t n;
    make_pair(SOCK_SEQPACKET, s);
    int before = open_descriptors();
    int sent[2] = {s[0], s[1]};
    ck_ok(io_send_packet(s[0], "12345", 5, sent, 2));
    ck_err(io_recv_packet(s[1], p, sizeof p, &n, got, &count), E_LIMIT);
    ck_assert_int_eq(open_descriptors(), before);
    ck_ok(io_send_packet(s[0], "1234", 4, sent, 1));
    ck_ok(io_recv_packet(s[1], p, sizeof p, &n, got, &count));
    ck_assert_int_eq(count, 1);
    io_close(&got[0]);
    close_pair(s);
}
END_TEST

START_TEST(descriptors_without_bytes_are_no_end_of_file)
{
    int s[2], got[IO_MAX_FDS], count = 0;
    char p[4];
    size_t n = 99;
    make_pair(SOCK_SEQPACKET, s);
    ck_ok(io_send_packet(s[0], "", 0, &s[0], 1));
    ck_ok(io_recv_packet(s[1], p, sizeof p, &n, got, &count));
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(count, 1);
    io_close(&got[0]);
    close_pair(s);
}
END_TEST

/* The kernel tells of the unread packet first (ECONNRESET), once. */
START_TEST(last_words_are_heard_though_ours_were_not)
{
    int s[2], fds[IO_MAX_FDS], count = 0;
    char p[16];
    size_t n;
    make_pair(SOCK_SEQPACKET, s);
    ck_ok(io_send_packet(s[0], "unread", 6, NULL, 0));
    ck_ok(io_send_packet(s[1], "failed", 6, NULL, 0));
    io_close(&s[1]);
    ck_ok(io_recv_packet(s[0], p, sizeof p, &n, fds, &count));
    ck_assert_uint_eq(n, 6);
    ck_assert_mem_eq(p, "failed", 6);
    ck_err(io_recv_packet(s[0], p, sizeof p, &n, fds, &count), E_EOF);
    close_pair(s);
}
END_TEST

/* A stream's reader that never asks for descriptors gets none: the kernel
 * drops them.  The driver relies on it for helpers' sockets. */
START_TEST(a_plain_read_receives_no_descriptors)
{
    int s[2];
    char p[4];
    size_t n;
    make_pair(SOCK_STREAM, s);
    int before = open_descriptors();
    send_many(s[0], 0, 10);
    ck_ok(io_read(s[1], p, sizeof p, &n));
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(open_descriptors(), before);
    close_pair(s);
}
END_TEST

Suite *
make_io_suite(void)
{
    const TTest *const tests[] = {
        read_tells_data_empty_and_end_apart,
        writing_to_a_dead_peer_is_an_error_and_no_signal,
        a_full_socket_takes_a_part_then_says_again,
        signals_interrupt_neither_reading_nor_writing_all,
        flags_go_on_and_off,
        packets_name_their_sender,
        packets_keep_their_bounds,
        descriptors_pass_and_are_close_on_exec,
        surplus_descriptors_are_closed,
        a_message_too_long_is_refused_with_its_descriptors,
        descriptors_without_bytes_are_no_end_of_file,
        last_words_are_heard_though_ours_were_not,
        a_plain_read_receives_no_descriptors,
        NULL};
    return suite_of("io", tests, 20);
}
