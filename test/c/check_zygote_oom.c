/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_oom.c - a helper that the kernel ends for want of memory, in a
 * control group of the test's own.  Skipped, with a word, where none can be
 * made. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support_process.h"
#include "support_zygote.h"
#include "wire.h"

static char group[96];

static int
write_value(const char *file, const char *value)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", group, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, value, strlen(value));
    close(fd);
    return n > 0 ? 0 : -1;
}

/* 1 if there is a group of ours with a limit on memory. */
static int
make_group(void)
{
    static const char *const kinds[][2] = {
        {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
        {"/sys/fs/cgroup", "memory.max"},
    };
    for (int i = 0; i < 2; i++) {
        snprintf(group, sizeof group, "%s/terrarium-test-%d", kinds[i][0],
                 (int)getpid());
        if (access(kinds[i][0], W_OK) != 0 || mkdir(group, 0755) != 0)
            continue;
        if (write_value(kinds[i][1], "201326592") == 0)
            return 1;
        rmdir(group);
    }
    return 0;
}

static void
enter_group(void)
{
    if (write_value("cgroup.procs", "0") != 0)
        _exit(98);
}

static int
was_oom(struct zyg *z)
{
    struct zyg_message m;
    int oom = 0;
    zyg_expect(z, CTL_exited, &m);
    ck_assert_uint_eq(zyg_uint(&m, "signal"), SIGKILL);
    (void)ctl_get_bool(&m.map, "oom", &oom);
    zyg_message_free(&m);
    return oom;
}

START_TEST(names_the_out_of_memory_killer)
{
    struct zyg z;
    struct zyg_helper h;
    struct zyg_message m;
    if (!make_group()) {
        puts("skipped: no control group with a memory limit can be made here");
        return;
    }
    zyg_start(&z, NULL, enter_group);
    zyg_expect(&z, CTL_ready, &m);
    zyg_message_free(&m);
    zyg_send_hello(&z, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT, 0);
    zyg_expect(&z, CTL_hello, &m);
    zyg_message_free(&m);
    zyg_spawn(&z, 1, &h);
    kill(h.pid, SIGKILL); /* by somebody */
    ck_assert_int_eq(was_oom(&z), 0);
    zyg_helper_close(&h);
    zyg_spawn(&z, 2, &h);
    zyg_exec(&h, 1, "x = b'1' * (1 << 30)");
    ck_assert_int_eq(was_oom(&z), 1);
    zyg_helper_close(&h);
    zyg_spawn(&z, 3, &h);
    kill(h.pid, SIGKILL);
    ck_assert_int_eq(was_oom(&z), 0);
    zyg_helper_close(&h);
    zyg_close(&z);
    for (int i = 0; i < 200 && rmdir(group) != 0 && errno == EBUSY; i++)
        process_sleep_ms(10);
}
END_TEST

Suite *make_zygote_oom_suite(void);

Suite *
make_zygote_oom_suite(void)
{
    Suite *s = suite_create("zygote_oom");
    TCase *t = tcase_create("oom");
    tcase_add_test(t, names_the_out_of_memory_killer);
    suite_add_tcase(s, t);
    return s;
}
