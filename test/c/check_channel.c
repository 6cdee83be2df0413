/* SPDX-License-Identifier: Apache-2.0 */
/* check_channel.c - what every channel must do, tried on each kind there is.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "channel.h"
#include "io.h"
#include "support_check.h"
#include "support_lane.h"

enum kind { SOCKET, LANE, KINDS }; /* each test runs with each */

static void
open_pair(struct channel *a, struct channel *b, int kind)
{
    int s[2];
    if (kind == LANE) {
        lane_pair(a, b);
        return;
    }
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
    ck_ok(channel_socket_init(a, s[0]));
    ck_ok(channel_socket_init(b, s[1]));
}

/* Read all there is, bells too; what ended it. */
static int
drain(struct channel *c)
{
    char p[4096];
    size_t n;
    int e;
    do {
        channel_polled(c);
        e = channel_read(c, p, sizeof p, &n);
    } while (e == 0);
    return e;
}

START_TEST(bytes_go_both_ways_and_never_block)
{
    struct channel a, b;
    struct iovec v[2] = {{"ab", 2}, {"cde", 3}};
    char p[8];
    size_t n = 0;
    open_pair(&a, &b, _i);
    ck_err(channel_read(&a, p, sizeof p, &n), E_AGAIN);
    ck_ok(channel_writev(&a, v, 2, &n));
    ck_assert_uint_eq(n, 5);
    ck_ok(channel_writev(&b, v, 1, &n));
    ck_ok(channel_read(&b, p, 3, &n));
    ck_assert_mem_eq(p, "abc", 3);
    ck_ok(channel_read(&b, p, sizeof p, &n));
    ck_assert_uint_eq(n, 2);
    ck_ok(channel_read(&a, p, sizeof p, &n));
    ck_assert_mem_eq(p, "ab", 2);
    ck_err(drain(&b), E_AGAIN);
    channel_close(&a);
    ck_err(drain(&b), E_EOF);
    if (_i == SOCKET) /* a ring is there whether anybody reads it or not */
        ck_err(channel_writev(&b, v, 1, &n), E_EOF);
    channel_close(&b);
    channel_close(&b);
}
END_TEST

START_TEST(waiting_sees_readiness_and_its_time)
{
    struct channel a, b;
    struct iovec v = {"x", 1};
    size_t n;
    open_pair(&a, &b, _i);
    ck_assert_int_eq(channel_wait(&a, CHANNEL_READ, 0), 0);
    ck_assert_int_eq(channel_wait(&a, CHANNEL_READ, 20), 0);
    ck_assert_int_eq(channel_wait(&a, CHANNEL_WRITE, 0), 1);
    ck_ok(channel_writev(&b, &v, 1, &n));
    ck_assert_int_eq(channel_wait(&a, CHANNEL_READ, -1), 1);
    ck_err(drain(&a), E_AGAIN);
    ck_assert_int_eq(channel_wait(&a, CHANNEL_READ, 0), 0);
    while (channel_writev(&a, &v, 1, &n) == 0)
        continue;
    ck_assert_int_eq(channel_wait(&a, CHANNEL_WRITE, 0), 0);
    channel_close(&b);
    ck_assert_int_eq(channel_wait(&a, CHANNEL_READ, -1), 1);
    channel_close(&a);
}
END_TEST

static void
on_alarm(int signal)
{
    (void)signal;
}

START_TEST(a_signal_ends_the_wait)
{
    struct channel a, b;
    struct sigaction act = {.sa_handler = on_alarm};
    struct itimerval soon = {.it_value = {0, 20000}};
    open_pair(&a, &b, _i);
    sigaction(SIGALRM, &act, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    ck_err(channel_wait(&a, CHANNEL_READ, 5000), E_AGAIN);
    channel_close(&a);
    channel_close(&b);
}
END_TEST

START_TEST(no_descriptor_is_left)
{
    struct channel a, b;
    int before = open_descriptors();
    open_pair(&a, &b, _i);
    ck_assert_int_eq(open_descriptors(), before + 2);
    channel_close(&a);
    channel_close(&b);
    ck_assert_int_eq(open_descriptors(), before);
    ck_err(channel_socket_init(&a, -1), E_SYS);
}
END_TEST

Suite *
make_channel_suite(void)
{
    const TTest *const tests[] = {
        bytes_go_both_ways_and_never_block, waiting_sees_readiness_and_its_time,
        a_signal_ends_the_wait, no_descriptor_is_left, NULL};
    Suite *suite = suite_create("channel");
    TCase *t = tcase_create("channel");
    tcase_set_timeout(t, 20);
    for (const TTest *const *test = tests; *test != NULL; test++)
        tcase_add_loop_test(t, *test, 0, KINDS);
    suite_add_tcase(suite, t);
    return suite;
}
