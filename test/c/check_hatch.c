/* SPDX-License-Identifier: Apache-2.0 */
/* check_hatch.c - descriptors that the VM hands down, found by their tokens. */
#include "pysupport_helper.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "hatch.h"
#include "io.h"
#include "support_check.h"

static int vm; /* the other end */

static void
open_hatch(void)
{
    int pair[2];
    ck_assert_int_eq(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    ck_ok(io_set_nonblock(pair[0], 1));
    ck_ok(io_set_nonblock(pair[1], 1));
    vm = pair[0];
    hatch_init(pair[1]);
}

static void
close_hatch(void)
{
    hatch_close();
    io_close(&vm);
}

/* A descriptor of an empty file of its own; returns its inode. */
static ino_t
pass(uint64_t token)
{
    struct stat st;
    int p[2];
    ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
    ck_assert_int_eq(fstat(p[0], &st), 0);
    ck_ok(io_send_packet(vm, &token, sizeof token, &p[0], 1));
    close(p[0]);
    close(p[1]);
    return st.st_ino;
}

static ino_t
take(uint64_t token)
{
    struct stat st;
    int fd;
    ck_ok(hatch_take(token, &fd));
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    close(fd);
    return st.st_ino;
}

START_TEST(by_their_tokens)
{
    int fd;
    ino_t a = pass(1), b = pass(2), c = pass(3);
    ck_assert_uint_eq(take(2), b);
    ck_assert_uint_eq(take(1), a);
    ck_err(hatch_take(1, &fd), E_AGAIN);
    ck_err(hatch_take(4, &fd), E_AGAIN);
    ck_assert_uint_eq(take(3), c);
}
END_TEST

/* Who gave up never takes: the oldest is closed for a new one. */
START_TEST(what_nobody_takes)
{
    enum { MORE = 10 };
    int fd;
    ino_t last = 0;
    for (uint64_t token = 1; token <= HATCH_KEPT + MORE; token++) {
        last = pass(token);
        ck_err(hatch_take(0, &fd), E_AGAIN); /* receives it */
    }
    for (uint64_t token = 1; token <= MORE; token++)
        ck_err(hatch_take(token, &fd), E_AGAIN);
    ck_assert_uint_eq(take(HATCH_KEPT + MORE), last);
    take(MORE + 1);
}
END_TEST

/* What came with nonsense is closed, and what is good is still found. */
START_TEST(nonsense)
{
    uint64_t token = 7;
    int fd, next = dup(0);
    close(next);
    ck_ok(io_send_packet(vm, &token, 4, &(int){0}, 1));
    ck_err(hatch_take(7, &fd), E_FORMAT);
    ck_ok(io_send_packet(vm, &token, sizeof token, NULL, 0));
    ck_err(hatch_take(7, &fd), E_FORMAT);
    ck_ok(io_send_packet(vm, &token, sizeof token, (int[]){0, 0}, 2));
    ck_err(hatch_take(7, &fd), E_FORMAT);
    ino_t good = pass(7);
    ck_assert_uint_eq(take(7), good);
    ck_assert_int_eq(fd = dup(0), next); /* nothing is left open */
    close(fd);
}
END_TEST

START_TEST(nobody_there)
{
    int fd;
    ino_t a = pass(1);
    io_close(&vm);
    ck_assert_uint_eq(take(1), a);
    ck_err(hatch_take(2, &fd), E_EOF);
    hatch_close();
    ck_assert_int_ne(hatch_take(2, &fd), 0);
}
END_TEST

Suite *
make_hatch_suite(void)
{
    Suite *s = suite_create("hatch");
    TCase *c = tcase_create("hatch");
    tcase_add_checked_fixture(c, open_hatch, close_hatch);
    tcase_add_test(c, by_their_tokens);
    tcase_add_test(c, what_nobody_takes);
    tcase_add_test(c, nonsense);
    tcase_add_test(c, nobody_there);
    suite_add_tcase(s, c);
    return s;
}
