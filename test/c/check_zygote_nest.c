/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_nest.c - what the zygote hears of a fork by a nest: here the
 * nest is a process of the test's own, and has all the time in the world. */
#include "pysupport_helper.h"

#include <check.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "nest.h"
#include "state.h"
#include "support_check.h"

enum { PID = 4242 };

/* What the nest does with an order that brought `count' descriptors. */
typedef void deed(int orders, int *fds, int count);

static void
close_all(int *fds, int count)
{
    while (count > 0)
        io_close(&fds[--count]);
}

static void
say(int orders, int32_t pid)
{
    if (io_send_packet(orders, &pid, sizeof pid, NULL, 0) != 0)
        _exit(1);
}

/* The helper was killed before its first word; the nest knows nothing. */
static void
helper_dies_at_birth(int orders, int *fds, int count)
{
    (void)orders;
    close_all(fds, count);
}

static void
helper_dies_after_its_word(int orders, int *fds, int count)
{
    say(orders, PID);
    close_all(fds, count);
}

static void
helper_lives(int orders, int *fds, int count)
{
    (void)fds, (void)count;
    say(orders, PID);
}

static void
no_helper(int orders, int *fds, int count)
{
    say(orders, -1);
    close_all(fds, count);
}

static void
nest_dies(int orders, int *fds, int count)
{
    (void)orders, (void)fds, (void)count;
    _exit(0);
}

/* Until it is killed. */
static _Noreturn void
be_nest(int orders, deed *does)
{
    int fds[IO_MAX_FDS], count = 0;
    char order = 0;
    size_t n = 0;
    if (io_recv_packet(orders, &order, 1, &n, fds, &count) == 0)
        does(orders, fds, count);
    for (;;)
        pause();
}

static void
start(struct breed *b, deed *does)
{
    int pair[2];
    memset(b, 0, sizeof *b);
    nest_init(&b->nest);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(pair[0]);
        be_nest(pair[1], does);
    }
    close(pair[1]);
    b->nest.socket = pair[0];
    b->nest.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    ck_assert_int_ge(b->nest.pidfd, 0);
    b->nest.state = NEST_READY;
    b->nest.patience_ms = -1; /* it would wait for ever */
}

/* What comes of an order to such a nest. */
static pid_t
order(deed *does, enum nest_state *state)
{
    struct breed b;
    int ends[2], pipes[2];
    int fds[NEST_MOST_FDS];
    start(&b, does); /* before there is what only an order gives it */
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ck_assert_int_eq(pipe(pipes), 0);
    for (int i = 0; i < NEST_GROUPS; i++)
        fds[i] = i == NEST_SOCKET ? ends[1] : pipes[1];
    pid_t pid = nest_fork(&b, fds, NEST_GROUPS, ends[0]);
    ck_assert_int_eq(fds[NEST_SOCKET], -1);
    *state = b.nest.state;
    nest_end(&b.nest);
    close(ends[0]);
    close(pipes[0]);
    close(pipes[1]);
    return pid;
}

START_TEST(who_dies_is_not_waited_for)
{
    static const struct {
        deed *does;
        pid_t pid;
        enum nest_state state;
    } all[] = {{helper_lives, PID, NEST_READY},
               {helper_dies_after_its_word, PID, NEST_READY},
               {helper_dies_at_birth, 0, NEST_FAILED},
               {no_helper, 0, NEST_FAILED},
               {nest_dies, 0, NEST_FAILED}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        enum nest_state state;
        ck_assert_int_eq(order(all[i].does, &state), all[i].pid);
        ck_assert_int_eq(state, all[i].state);
    }
}
END_TEST

Suite *
make_zygote_nest_suite(void)
{
    const TTest *const tests[] = {who_dies_is_not_waited_for, NULL};
    return suite_of("zygote_nest", tests, 30);
}
