/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_zygote.c - a zygote's port: adoption, messages, descriptors. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl.h"
#include "fake_erts.h"
#include "io.h"
#include "wire.h"

static ErlDrvData port;
static int ours, theirs; /* ends of the control socket */
static uint8_t reply[256];

static int
open_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void
setup(void)
{
    int sv[2];
    char command[] = "py_drv zygote";
    fake_begin();
    port = driver_init()->start(NULL, command);
    ck_assert(port != ERL_DRV_ERROR_ERRNO);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
    ours = sv[0];
    theirs = sv[1];
    fake_control(port, DRV_OP_ADOPT, &ours, 4, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
}

static void
teardown(void)
{
    driver_init()->stop(port);
    close(theirs);
    ck_assert_int_eq(fake_end(), 0);
}

static void
pump(void)
{
    driver_init()->ready_input(port, (ErlDrvEvent)(intptr_t)ours);
}

static void
send_map(const char *type, const int *fds, int count)
{
    struct ctl_out o;
    ctl_begin(&o);
    ctl_put_type(&o, type);
    ck_assert_int_eq(ctl_end(&o), 0);
    ck_assert_int_eq(
        io_send_packet(theirs, o.bytes.data, o.bytes.len, fds, count), 0);
    ctl_free(&o);
}

START_TEST(test_adopted_descriptor_is_close_on_exec)
{
    ck_assert_int_eq(fcntl(ours, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    fake_control(port, DRV_OP_ADOPT, &ours, 4, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
}
END_TEST

START_TEST(test_adopt_refuses_other_descriptors)
{
    char command[] = "py_drv zygote";
    ErlDrvData other = driver_init()->start(NULL, command);
    int fds[] = {1, 999, -1};
    for (int i = 0; i < 3; i++) {
        fake_control(other, DRV_OP_ADOPT, &fds[i], 4, reply, sizeof reply);
        ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
    }
    driver_init()->stop(other);
}
END_TEST

START_TEST(test_message_up)
{
    send_map("ready", NULL, 0);
    pump();
    ck_assert_ptr_nonnull(strstr(fake_message(0), "{Port,{control,<<131,116"));
}
END_TEST

START_TEST(test_descriptors_are_held_until_dropped)
{
    int before = open_fds();
    int fds[2] = {1, 2};
    send_map("spawned", fds, 2);
    pump();
    ck_assert_ptr_nonnull(strstr(fake_message(0), ",1,["));
    ck_assert_int_eq(open_fds(), before + 2);
    uint32_t token = 1;
    fake_control(port, DRV_OP_DROP_FDS, &token, 4, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
    ck_assert_int_eq(open_fds(), before);
    fake_control(port, DRV_OP_DROP_FDS, &token, 4, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_GONE);
}
END_TEST

enum { SENT = 6 };

/* A helper's, as a zygote sends them: no lane, and no process behind it. */
static void
send_helper(int *socket)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    int null = open("/dev/null", O_RDWR);
    int fds[SENT] = {pair[0], null, null, null, null, null};
    send_map("spawned", fds, SENT);
    close(pair[0]);
    close(null);
    *socket = pair[1];
    pump();
}

static int
take(uint32_t token, ErlDrvTermData owner)
{
    uint32_t v[3] = {token, 3, 0};
    fake_set_caller(owner);
    fake_control(port, DRV_OP_TAKE, v, sizeof v, reply, sizeof reply);
    return reply[0];
}

START_TEST(test_a_helper_is_taken)
{
    int before = open_fds(), socket;
    send_helper(&socket);
    ck_assert_int_eq(open_fds(), before + 1 + SENT);
    ck_assert_int_eq(take(1, 7), DRV_REPLY_OK);
    ck_assert_ptr_nonnull(strstr(fake_message(1), "helper"));
    /* All but the lane are the new port's, and go with it. */
    ck_assert_int_eq(open_fds(), before + SENT);
    ck_assert_int_eq(take(1, 7), DRV_REPLY_GONE);
    driver_init()->stop(fake_created());
    ck_assert_int_eq(open_fds(), before + 1);
    close(socket);
}
END_TEST

static void
write_hello(int socket)
{
    uint8_t head[WIRE_LIMIT_HEADER_SIZE];
    struct ctl_out o;
    ctl_begin(&o);
    ctl_put_uint(&o, "version", WIRE_LIMIT_VERSION);
    ctl_put_uint(&o, "fingerprint", WIRE_FINGERPRINT);
    ck_assert_int_eq(ctl_end(&o), 0);
    struct wire_header h = {.length = (uint32_t)o.bytes.len,
                            .opcode = WIRE_HELLO};
    wire_put_header(head, &h);
    ck_assert_int_eq(io_write_all(socket, head, sizeof head), 0);
    ck_assert_int_eq(io_write_all(socket, o.bytes.data, o.bytes.len), 0);
    ctl_free(&o);
}

static ErlDrvData
take_and_set(void)
{
    const uint32_t settings[9] = {1000, 30000, 1 << 20, 100, 0};
    ck_assert_int_eq(take(1, 7), DRV_REPLY_OK);
    fake_forget_messages();
    fake_control(fake_created(), DRV_OP_SETTINGS, settings, sizeof settings,
                 reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
    return fake_created();
}

START_TEST(test_a_hello_that_waits_needs_no_poll)
{
    int socket;
    send_helper(&socket);
    write_hello(socket);
    ErlDrvData helper = take_and_set();
    ck_assert_int_eq(fake_messages(), 1);
    ck_assert_ptr_nonnull(strstr(fake_message(0), "{Port,{hello,"));
    driver_init()->stop(helper);
    close(socket);
}
END_TEST

/* Its port has nothing left to watch. */
START_TEST(test_a_helper_that_has_hung_up_is_heard_of_at_once)
{
    int before = open_fds(), socket;
    send_helper(&socket);
    close(socket);
    ErlDrvData helper = take_and_set();
    ck_assert_int_eq(fake_messages(), 1);
    ck_assert_str_eq(fake_message(0), "{Port,{closed,eof}}");
    driver_init()->stop(helper);
    ck_assert_int_eq(open_fds(), before);
}
END_TEST

START_TEST(test_a_helper_that_can_not_be_taken_is_dropped)
{
    int before = open_fds(), socket;
    send_helper(&socket);
    ck_assert_int_eq(take(1, 0), DRV_REPLY_REFUSED); /* the caller has died */
    ck_assert_int_eq(open_fds(), before + 1);
    ck_assert_int_eq(take(1, 7), DRV_REPLY_GONE);
    close(socket);
    int two[2] = {1, 2}; /* no helper has so few */
    send_map("spawned", two, 2);
    pump();
    ck_assert_int_eq(take(2, 7), DRV_REPLY_REFUSED);
    ck_assert_int_eq(open_fds(), before);
}
END_TEST

START_TEST(test_no_memory_for_a_helper)
{
    int before = open_fds(), socket;
    for (uint32_t n = 1; n < 4; n++) {
        send_helper(&socket);
        fake_fail_at(n);
        int r = take(n, 7);
        fake_fail_at(0);
        if (r == DRV_REPLY_OK)
            driver_init()->stop(fake_created());
        else
            ck_assert_int_eq(r, DRV_REPLY_REFUSED);
        close(socket);
        ck_assert_int_eq(open_fds(), before);
    }
}
END_TEST

START_TEST(test_descriptors_die_with_the_port)
{
    int before = open_fds();
    int fds[2] = {1, 2};
    char command[] = "py_drv zygote";
    send_map("spawned", fds, 2);
    pump();
    driver_init()->stop(port);
    ck_assert_int_eq(open_fds(), before - 1);
    port = driver_init()->start(NULL, command);
}
END_TEST

START_TEST(test_junk_closes_and_leaks_nothing)
{
    int before = open_fds();
    int fds[2] = {1, 2};
    ck_assert_int_eq(io_send_packet(theirs, "\xc1junk", 5, fds, 2), 0);
    pump();
    ck_assert_ptr_nonnull(strstr(fake_message(0), "{closed,{protocol,"));
    ck_assert_int_eq(open_fds(), before - 1);
}
END_TEST

START_TEST(test_too_many_descriptors_held)
{
    int fd = 1;
    for (int i = 0; i < 257; i++) {
        send_map("spawned", &fd, 1);
        pump();
    }
    ck_assert_ptr_nonnull(
        strstr(fake_message(fake_messages() - 1), "{closed,{protocol,"));
}
END_TEST

START_TEST(test_message_down)
{
    /* #{<<"type">> => <<"shutdown">>} */
    static const uint8_t etf[] =
        "\x83t\0\0\0\1m\0\0\0\4typem\0\0\0\x08shutdown";
    uint8_t packet[128];
    struct ctl_in in;
    struct ctl_map map;
    fake_control(port, DRV_OP_SEND, etf, sizeof etf - 1, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
    ssize_t n = recv(theirs, packet, sizeof packet, 0);
    ck_assert_int_eq(ctl_open(&in, packet, (size_t)n, &map), 0);
    ck_assert(ctl_is(&map, CTL_shutdown));
    ctl_close(&in);
    fake_control(port, DRV_OP_SEND, "junk", 4, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
}
END_TEST

START_TEST(test_full_socket_is_busy)
{
    static const uint8_t etf[] =
        "\x83t\0\0\0\1m\0\0\0\4typem\0\0\0\x08shutdown";
    for (int i = 0; i < 100000; i++) {
        fake_control(port, DRV_OP_SEND, etf, sizeof etf - 1, reply, 64);
        if (reply[0] != DRV_REPLY_OK)
            break;
    }
    ck_assert_int_eq(reply[0], DRV_REPLY_BUSY);
}
END_TEST

START_TEST(test_eof)
{
    close(theirs);
    pump();
    ck_assert_str_eq(fake_message(0), "{Port,{closed,eof}}");
    fake_control(port, DRV_OP_SEND, "x", 1, reply, sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_DOWN);
    theirs = -1;
}
END_TEST

/* argv, then environment: "sh -c 'printf %s "$X" >&3; exit 7'" with X=ok. */
static const char spawn_strings[] =
    "\3\0\0\0/bin/sh\0-c\0printf %s \"$X\" >&3; exit 7\0X=ok";

START_TEST(test_spawn)
{
    char command[] = "py_drv zygote";
    ErlDrvData z = driver_init()->start(NULL, command);
    fake_control(z, DRV_OP_SPAWN, spawn_strings, sizeof spawn_strings, reply,
                 sizeof reply);
    ck_assert_int_eq(reply[0], DRV_REPLY_OK);
    /* Its message is no map, so the connection ends; then it is reaped. */
    for (int i = 0; i < 500; i++) {
        for (int fd = 3; fd < 64; fd++)
            if (fake_watched(fd) & ERL_DRV_READ && fd != ours)
                driver_init()->ready_input(z, (ErlDrvEvent)(intptr_t)fd);
        usleep(10000);
        if (fake_messages() == 2)
            break;
    }
    ck_assert_ptr_nonnull(strstr(fake_message(0), "{closed,{protocol,"));
    ck_assert_str_eq(fake_message(1), "{Port,{zygote_exit,{exit_status,7}}}");
    driver_init()->stop(z);
}
END_TEST

START_TEST(test_spawn_errors)
{
    static const struct {
        const char *body;
        size_t n;
    } bad[] = {{"\1\0\0\0/no/such/program", 21},
               {"\1\0\0\0/bin/sh", 11},
               {"\5\0\0\0/bin/sh", 12},
               {"\0\0\0\0", 4},
               {"", 0},
               {"\1\0\0", 3}};
    char command[] = "py_drv zygote";
    ErlDrvData z = driver_init()->start(NULL, command);
    int before = open_fds();
    for (int i = 0; i < 6; i++) {
        fake_control(z, DRV_OP_SPAWN, bad[i].body, bad[i].n, reply, 64);
        ck_assert_int_eq(reply[0], DRV_REPLY_REFUSED);
    }
    ck_assert_int_eq(open_fds(), before);
    driver_init()->stop(z);
}
END_TEST

Suite *make_drv_zygote_suite(void);
Suite *
make_drv_zygote_suite(void)
{
    Suite *s = suite_create("drv_zygote");
    TCase *tc = tcase_create("zygote port");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_adopted_descriptor_is_close_on_exec);
    tcase_add_test(tc, test_adopt_refuses_other_descriptors);
    tcase_add_test(tc, test_message_up);
    tcase_add_test(tc, test_descriptors_are_held_until_dropped);
    tcase_add_test(tc, test_a_helper_is_taken);
    tcase_add_test(tc, test_a_hello_that_waits_needs_no_poll);
    tcase_add_test(tc, test_a_helper_that_has_hung_up_is_heard_of_at_once);
    tcase_add_test(tc, test_a_helper_that_can_not_be_taken_is_dropped);
    tcase_add_test(tc, test_no_memory_for_a_helper);
    tcase_add_test(tc, test_descriptors_die_with_the_port);
    tcase_add_test(tc, test_junk_closes_and_leaks_nothing);
    tcase_add_test(tc, test_too_many_descriptors_held);
    tcase_add_test(tc, test_message_down);
    tcase_add_test(tc, test_full_socket_is_busy);
    tcase_add_test(tc, test_eof);
    tcase_add_test(tc, test_spawn);
    tcase_add_test(tc, test_spawn_errors);
    suite_add_tcase(s, tc);
    return s;
}
