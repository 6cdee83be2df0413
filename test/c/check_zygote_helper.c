/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_helper.c - what a zygote does for a helper: its birth, what it
 * holds, its spare, its death and the report. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lane.h"
#include "support_process.h"
#include "support_zygote.h"
#include "wire.h"

static struct zyg z;

static void
open_zygote(void)
{
    zyg_open(&z, NULL);
}

static void
close_zygote(void)
{
    zyg_close(&z);
}

/* ---- birth -------------------------------------------------------------- */

static char
link_kind(pid_t pid, int fd)
{
    char path[64], target[256] = "";
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
    ck_assert_int_gt(readlink(path, target, sizeof target - 1), 0);
    return target[0]; /* '/', 'p'ipe, 's'ocket */
}

START_TEST(holds_its_own_and_nothing_else)
{
    struct zyg_helper a, b;
    zyg_spawn(&z, 1, &a);
    zyg_spawn(&z, 2, &b); /* with a sibling and spares around */
    ck_assert_int_eq(link_kind(b.pid, 0), '/');
    ck_assert_int_eq(link_kind(b.pid, 1), 'p');
    ck_assert_int_eq(link_kind(b.pid, 2), 'p');
    ck_assert_int_eq(process_count_fds(b.pid, "/dev/null"), 1);
    ck_assert_int_eq(process_count_fds(b.pid, "pipe:"), 3);   /* 2 and a copy */
    ck_assert_int_eq(process_count_fds(b.pid, "socket:"), 2); /* and a hatch */
    ck_assert_int_eq(process_count_fds(b.pid, "anon_inode:"), 0);
    ck_assert_int_eq(process_count_fds(b.pid, "/memfd:terrarium-blackbox"), 1);
    ck_assert_int_eq(process_count_fds(b.pid, "/memfd:terrarium-backtrace"), 1);
    ck_assert_int_eq(process_count_fds(b.pid, ""), 8);
    for (int fd = 3; fd < 256; fd++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)b.pid, fd);
        if (access(path, F_OK) == 0)
            ck_assert(process_is_cloexec(b.pid, fd));
    }
    zyg_helper_close(&a);
    zyg_helper_close(&b);
}
END_TEST

START_TEST(is_a_process_of_its_own)
{
    struct zyg_helper h;
    zyg_spawn(&z, 1, &h);
    ck_assert_int_eq(getsid(h.pid), h.pid);
    ck_assert_int_eq(getpgid(h.pid), h.pid);
    ck_assert_uint_eq(process_status(h.pid, "PPid", 10),
                      (unsigned long long)z.pid);
    ck_assert_uint_eq(process_status(h.pid, "SigBlk", 16), 0);
    unsigned long long ignored = process_status(h.pid, "SigIgn", 16);
    unsigned long long caught = process_status(h.pid, "SigCgt", 16);
    ck_assert_uint_eq(ignored & (1ull << (SIGINT - 1)), 0);
    ck_assert_uint_ne(caught & (1ull << (SIGINT - 1)), 0); /* Python's own */
    ck_assert_uint_eq(ignored & (1ull << (SIGCHLD - 1)), 0);
    ck_assert_uint_eq(ignored & (1ull << (SIGTERM - 1)), 0);
    zyg_helper_close(&h);
}
END_TEST

START_TEST(hears_of_its_vm_ending)
{
    struct zyg_helper a, b;
    struct zyg_message m;
    zyg_spawn(&z, 1, &a);
    zyg_spawn(&z, 2, &b);
    io_close(&a.socket); /* nobody else has a copy: it reads end-of-file */
    zyg_expect(&z, CTL_exited, &m);
    ck_assert_uint_eq(zyg_uint(&m, "id"), 1);
    ck_assert_uint_eq(zyg_uint(&m, "status"), 0);
    zyg_message_free(&m);
    ck_assert(process_alive(b.pid));
    zyg_helper_close(&a);
    zyg_helper_close(&b);
}
END_TEST

START_TEST(takes_a_spare_and_replaces_it)
{
    struct zyg_helper h[6];
    pid_t before[8];
    zyg_wait_children(&z, 2);
    ck_assert_uint_eq(process_children(z.pid, before, 8), 2);
    zyg_spawn(&z, 1, &h[0]);
    ck_assert(h[0].spare);
    ck_assert(h[0].pid == before[0] || h[0].pid == before[1]);
    zyg_wait_children(&z, 3);
    for (int i = 1; i < 6; i++) /* faster than they are replaced */
        zyg_spawn(&z, (uint64_t)i + 1, &h[i]);
    zyg_wait_children(&z, 8);
    for (int i = 0; i < 6; i++)
        zyg_helper_close(&h[i]);
}
END_TEST

static void
set_spares(uint64_t n)
{
    struct ctl_out m;
    ctl_begin(&m);
    ctl_put_type(&m, CTL_settings);
    ctl_put_uint(&m, "spares", n);
    ck_assert_int_eq(zyg_send(&z, &m), 0);
}

START_TEST(keeps_as_many_spares_as_it_is_told)
{
    struct zyg_helper h;
    set_spares(5);
    zyg_wait_children(&z, 5);
    set_spares(0);
    zyg_wait_children(&z, 0);
    zyg_spawn(&z, 1, &h);
    ck_assert(!h.spare);
    zyg_wait_children(&z, 1);
    zyg_helper_close(&h);
}
END_TEST

START_TEST(boots_with_the_largest_message)
{
    struct zyg_message m;
    struct zyg_helper h;
    zyg_send_spawn(&z, 9, WIRE_LIMIT_MAX_CONTROL - 200);
    zyg_expect(&z, CTL_spawned, &m);
    zyg_take_helper(&m, &h);
    ck_assert_int_eq(zyg_frame(&h, NULL), WIRE_HELLO);
    zyg_helper_close(&h);
}
END_TEST

/* A pidfd is readable once its process is dead. */
START_TEST(hands_over_the_right_descriptors)
{
    struct zyg_helper h;
    char text[16] = "";
    zyg_spawn(&z, 1, &h);
    ck_assert_int_ne(fcntl(h.socket, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(lane_segment_check(h.lane), 0);
    zyg_exec(&h, 1,
             "import os\nos.write(1, b'out'); os.write(2, b'err')\n"
             "os._exit(0)");
    ck_assert_int_eq(zyg_frame(&h, NULL), 0);
    ck_assert_int_eq(read(h.out, text, sizeof text), 3);
    ck_assert_str_eq(text, "out");
    ck_assert_int_eq(read(h.err, text, sizeof text), 3);
    ck_assert_str_eq(text, "err");
    snprintf(text, sizeof text, "%d", h.pidfd);
    ck_assert_int_eq(process_count_fds(getpid(), "anon_inode:[pidfd]"), 1);
    zyg_helper_close(&h);
}
END_TEST

/* ---- death -------------------------------------------------------------- */

static const struct {
    const char *code;
    int signal; /* or 0 */
    int status;
    const char *name;
} deaths[] = {
    {"import os; os._exit(7)", 0, 7, NULL},
    {"import os; os.kill(os.getpid(), 9)", SIGKILL, 0, "SIGKILL"},
    {"import os; os.kill(os.getpid(), 11)", SIGSEGV, 0, "SIGSEGV"},
    {"import os; os.abort()", SIGABRT, 0, "SIGABRT"},
    {"import ctypes; ctypes.string_at(0)", SIGSEGV, 0, "SIGSEGV"},
    {"import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 9)", 43, 0,
     "SIG43"},
};

START_TEST(reports_how_it_ended)
{
    static const uint64_t request = 0x1122334455667788;
    struct zyg_helper h;
    struct zyg_message m;
    struct ctl_map sub;
    uint64_t number;
    const char *p;
    size_t n;
    zyg_spawn(&z, 42, &h);
    zyg_exec(&h, request, deaths[_i].code);
    zyg_expect(&z, CTL_exited, &m);
    ck_assert_uint_eq(zyg_uint(&m, "id"), 42);
    ck_assert_uint_eq(zyg_uint(&m, "pid"), (uint64_t)h.pid);
    if (deaths[_i].signal == 0) {
        ck_assert_uint_eq(zyg_uint(&m, "status"), (uint64_t)deaths[_i].status);
    } else {
        ck_assert_uint_eq(zyg_uint(&m, "signal"), (uint64_t)deaths[_i].signal);
        ck_assert(zyg_has(&m, "signal_name", deaths[_i].name));
    }
    ck_assert(ctl_get_map(&m.map, "rusage", &sub));
    ck_assert(ctl_get_uint(&sub, "maxrss_kb", &number) && number > 1000);
    ck_assert(ctl_get_map(&m.map, "request", &sub));
    ck_assert(ctl_get_uint(&sub, "opcode", &number) && number == WIRE_EXEC);
    ck_assert(ctl_get_bytes(&sub, "id", &p, &n) && n == 8);
    ck_assert_int_eq(memcmp(p, "\x88\x77\x66\x55\x44\x33\x22\x11", 8), 0);
    ck_assert(ctl_get_bytes(&sub, "what", &p, &n));
    ck_assert_int_eq(memcmp(p, "import", 6), 0);
    if (deaths[_i].signal == SIGSEGV || deaths[_i].signal == SIGABRT)
        ck_assert(zyg_has(&m, "traceback", "most recent call first"));
    zyg_message_free(&m);
    zyg_helper_close(&h);
}
END_TEST

/* What the helper wrote there is not believed: junk in every field. */
START_TEST(distrusts_the_black_box)
{
    static const char code[] =
        "import os\n"
        "for fd in os.listdir('/proc/self/fd'):\n"
        "    try: name = os.readlink('/proc/self/fd/' + fd)\n"
        "    except OSError: continue\n"
        "    if 'blackbox' in name:\n"
        "        os.pwrite(int(fd), b'\\xff' * 32768, 0)\n"
        "        try: os.ftruncate(int(fd), 1 << 40); os._exit(3)\n"
        "        except OSError: os.kill(os.getpid(), 9)\n";
    struct zyg_helper h;
    struct zyg_message m;
    const char *p;
    size_t n;
    zyg_spawn(&z, 1, &h);
    zyg_exec(&h, 1, code);
    zyg_expect(&z, CTL_exited, &m);
    ck_assert_uint_eq(zyg_uint(&m, "signal"), SIGKILL);
    ck_assert(ctl_get_bytes(&m.map, "traceback", &p, &n));
    ck_assert(n > 1000 && n <= 16384);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(p[i], '?');
    zyg_message_free(&m);
    zyg_helper_close(&h);
}
END_TEST

START_TEST(leaves_no_grandchild)
{
    struct zyg_helper h;
    struct zyg_message m;
    pid_t pids[4];
    zyg_spawn(&z, 1, &h);
    zyg_exec(&h, 1,
             "import subprocess\n"
             "subprocess.Popen(['sleep', '100'])");
    ck_assert_int_eq(zyg_frame(&h, NULL), WIRE_RESULT);
    ck_assert_uint_eq(process_children(h.pid, pids, 4), 1);
    kill(h.pid, SIGKILL);
    zyg_expect(&z, CTL_exited, &m);
    zyg_message_free(&m);
    ck_assert(process_wait_gone(pids[0], 1000));
    zyg_helper_close(&h);
}
END_TEST

/* A spare that dies is replaced, but not in a loop. */
START_TEST(forks_slower_when_spares_die)
{
    struct zyg_helper h;
    pid_t pids[8];
    int killed = 0;
    for (long end = process_now_ms() + 1500; process_now_ms() < end;) {
        size_t n = process_children(z.pid, pids, 8);
        for (size_t i = 0; i < n; i++)
            killed += kill(pids[i], SIGKILL) == 0;
        process_sleep_ms(1);
    }
    ck_assert_int_ge(killed, 2);
    ck_assert_msg(killed < 100, "%d spares in 1.5 seconds", killed);
    zyg_spawn(&z, 1, &h); /* a request does not wait for that */
    zyg_wait_children(&z, 3);
    zyg_helper_close(&h);
}
END_TEST

START_TEST(leaks_nothing)
{
    struct zyg_helper h;
    struct zyg_message m;
    int fds = -1;
    for (uint64_t id = 1; id <= 60; id++) {
        zyg_spawn(&z, id, &h);
        kill(h.pid, id % 2 == 0 ? SIGKILL : SIGTERM);
        zyg_helper_close(&h);
        zyg_expect(&z, CTL_exited, &m);
        ck_assert_uint_eq(zyg_uint(&m, "id"), id);
        zyg_message_free(&m);
        zyg_wait_children(&z, 2);
        if (id == 10)
            fds = process_count_fds(z.pid, "");
    }
    process_sleep_ms(50);
    ck_assert_int_eq(process_count_fds(z.pid, ""), fds);
}
END_TEST

Suite *make_zygote_helper_suite(void);

Suite *
make_zygote_helper_suite(void)
{
    Suite *s = suite_create("zygote_helper");
    TCase *birth = tcase_create("birth");
    tcase_add_checked_fixture(birth, open_zygote, close_zygote);
    tcase_add_test(birth, holds_its_own_and_nothing_else);
    tcase_add_test(birth, is_a_process_of_its_own);
    tcase_add_test(birth, hears_of_its_vm_ending);
    tcase_add_test(birth, takes_a_spare_and_replaces_it);
    tcase_add_test(birth, keeps_as_many_spares_as_it_is_told);
    tcase_add_test(birth, boots_with_the_largest_message);
    tcase_add_test(birth, hands_over_the_right_descriptors);
    suite_add_tcase(s, birth);
    TCase *death = tcase_create("death");
    tcase_add_checked_fixture(death, open_zygote, close_zygote);
    tcase_add_loop_test(death, reports_how_it_ended, 0,
                        sizeof deaths / sizeof deaths[0]);
    tcase_add_test(death, distrusts_the_black_box);
    tcase_add_test(death, leaves_no_grandchild);
    tcase_add_test(death, forks_slower_when_spares_die);
    tcase_add_test(death, leaks_nothing);
    suite_add_tcase(s, death);
    return s;
}
