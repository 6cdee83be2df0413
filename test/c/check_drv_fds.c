/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_fds.c - copies of descriptors, and their ends. */
#include <check.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drv.h"
#include "fake_erts.h"
#include "wire.h"

static ErlDrvData fds;
static unsigned char reply[64];
static long size;

static void
open_port(void)
{
    char command[] = "py_drv fds";
    fake_begin();
    fds = driver_init()->start(NULL, command);
    ck_assert(fds != ERL_DRV_ERROR_ERRNO);
}

static void
close_port(void)
{
    driver_init()->stop(fds);
    ck_assert_int_eq(fake_end(), 0);
}

static int
op(unsigned what, int32_t fd)
{
    memset(reply, 0, sizeof reply);
    size = fake_control(fds, what, &fd, sizeof fd, reply, sizeof reply);
    return reply[0];
}

static int
copy_of(int fd)
{
    int32_t copy;
    ck_assert_int_eq(op(DRV_OP_DUP_FD, fd), DRV_REPLY_OK);
    ck_assert_int_eq(size, 1 + sizeof copy);
    memcpy(&copy, reply + 1, sizeof copy);
    return copy;
}

static const char *
why(void)
{
    return (const char *)reply + 1;
}

static int
is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

START_TEST(copied_and_closed)
{
    struct stat a, b;
    int p[2];
    ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
    int copy = copy_of(p[0]);
    ck_assert_int_ge(copy, 3);
    ck_assert_int_ne(copy, p[0]);
    ck_assert_int_ne(fcntl(copy, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_eq(fstat(p[0], &a), 0);
    ck_assert_int_eq(fstat(copy, &b), 0);
    ck_assert_uint_eq(a.st_ino, b.st_ino);
    ck_assert_int_eq(op(DRV_OP_CLOSE_FD, copy), DRV_REPLY_OK);
    ck_assert(!is_open(copy) && is_open(p[0]));
    close(p[0]);
    close(p[1]);
}
END_TEST

START_TEST(not_open)
{
    int none = dup(0);
    close(none);
    const int32_t bad[] = {none, -1, INT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(op(DRV_OP_DUP_FD, bad[i]), DRV_REPLY_REFUSED);
        ck_assert_str_eq(why(), "ebadf");
        ck_assert_int_eq(op(DRV_OP_CLOSE_FD, bad[i]), DRV_REPLY_REFUSED);
        ck_assert_str_eq(why(), "ebadf");
    }
}
END_TEST

/* They may be copied, but are nobody's to close. */
START_TEST(standard_descriptors)
{
    int copy = copy_of(2);
    ck_assert_int_eq(op(DRV_OP_CLOSE_FD, copy), DRV_REPLY_OK);
    for (int32_t fd = 0; fd < 3; fd++) {
        ck_assert_int_eq(op(DRV_OP_CLOSE_FD, fd), DRV_REPLY_REFUSED);
        ck_assert(is_open(fd));
    }
}
END_TEST

START_TEST(nonsense)
{
    fake_control(fds, DRV_OP_DUP_FD, "123", 3, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
    ck_assert_int_eq(op(DRV_OP_KILL, 0), DRV_REPLY_REFUSED);
    ck_assert_str_eq(why(), "einval");
}
END_TEST

Suite *make_drv_fds_suite(void);
Suite *
make_drv_fds_suite(void)
{
    Suite *s = suite_create("drv_fds");
    TCase *c = tcase_create("drv_fds");
    tcase_add_checked_fixture(c, open_port, close_port);
    tcase_add_test(c, copied_and_closed);
    tcase_add_test(c, not_open);
    tcase_add_test(c, standard_descriptors);
    tcase_add_test(c, nonsense);
    suite_add_tcase(s, c);
    return s;
}
