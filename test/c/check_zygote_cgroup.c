/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_cgroup.c - helpers in control groups of their own: made before
 * them, named when they were the reason of a death, removed after it.  Skipped,
 * with a word, where there are none. */
#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "support_check.h"
#include "support_process.h"
#include "support_zygote.h"
#include "wire.h"

/* A sanitizer's shadow is more memory than any limit that there is here. */
#ifdef __SANITIZE_ADDRESS__
enum { HAS_SHADOW = 1 };
#else
enum { HAS_SHADOW = 0 };
#endif

static struct cgroup_host host;
static struct zyg z;
static uint64_t ahead; /* helpers that are to be forked ahead */

static int
has_groups(void)
{
    char why[200];
    cgroup_host_init(&host, "");
    if (cgroup_host_probe(&host, why, sizeof why) == 0)
        return 1;
    printf("skipped: %s\n", why);
    return 0;
}

static void
set_up(void)
{
    const char *const args[] = {"--spares", "0", NULL};
    ahead = 0;
    zyg_open(&z, args);
}

/* How many groups there are of that zygote, in one place. */
static int
groups_of(pid_t zygote)
{
    char name[64];
    int n = 0;
    snprintf(name, sizeof name, "terrarium.%d.", (int)zygote);
    DIR *d = fdopendir(dup(host.places[0].fd));
    ck_assert_ptr_nonnull(d);
    rewinddir(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += strncmp(e->d_name, name, strlen(name)) == 0;
    closedir(d);
    return n;
}

static void
wait_for_groups(pid_t zygote, int n)
{
    for (int i = 0; i < 1000 && groups_of(zygote) != n; i++)
        process_sleep_ms(10);
    ck_assert_int_eq(groups_of(zygote), n);
}

/* A trusted helper under these limits (0: none), without a layer (NULL). */
static void
ask(uint64_t id, uint64_t memory, uint64_t procs, const char *without)
{
    struct ctl_out out, policy;
    char *layer = (char *)without;
    ctl_begin(&policy);
    ctl_put_str(&policy, "level", "trusted");
    if (memory > 0)
        ctl_put_uint(&policy, "memory", memory);
    if (procs > 0)
        ctl_put_uint(&policy, "procs", procs);
    if (without != NULL)
        ctl_put_strs(&policy, "without", &layer, 1);
    ck_ok(ctl_end(&policy));
    ctl_begin(&out);
    ctl_put_type(&out, CTL_spawn);
    ctl_put_uint(&out, "id", id);
    if (ahead > 0)
        ctl_put_uint(&out, "ahead", ahead);
    ctl_put_map(&out, "policy", &policy);
    ck_ok(zyg_send(&z, &out));
    ctl_free(&policy);
}

static void
get(uint64_t id, uint64_t memory, uint64_t procs, struct zyg_helper *h)
{
    struct zyg_message m;
    ask(id, memory, procs, NULL);
    zyg_expect(&z, CTL_spawned, &m);
    zyg_take_helper(&m, h);
    ck_assert_int_eq(zyg_frame(h, NULL), WIRE_HELLO);
}

/* Shared memory is no `data' to a limit of a process. */
START_TEST(names_the_limit_that_ended_it)
{
    struct zyg_helper h;
    struct zyg_message m;
    int oom = 0;
    if (!has_groups() || HAS_SHADOW)
        return;
    get(1, 64 << 20, 0, &h);
    ck_assert_int_eq(groups_of(z.pid), 1);
    zyg_exec(&h, 1,
             "import mmap\n"
             "m = mmap.mmap(-1, 1 << 28)\n"
             "for i in range(0, 1 << 28, 4096): m[i] = 1");
    zyg_expect(&z, CTL_exited, &m);
    ck_assert_uint_eq(zyg_uint(&m, "signal"), SIGKILL);
    ck_assert(zyg_has(&m, "limit", "memory"));
    ck_assert(ctl_get_bool(&m.map, "oom", &oom) && oom);
    zyg_message_free(&m);
    zyg_helper_close(&h);
    wait_for_groups(z.pid, 0);
    get(2, 64 << 20, 0, &h);
    kill(h.pid, SIGKILL); /* by somebody */
    zyg_expect(&z, CTL_exited, &m);
    ck_assert(!ctl_has(&m.map, "limit"));
    zyg_message_free(&m);
    zyg_helper_close(&h);
    wait_for_groups(z.pid, 0);
}
END_TEST

/* The number of the group that a process is in; 0: of none of ours. */
static unsigned
group_of(pid_t pid)
{
    char path[64], line[4096], *at = NULL;
    unsigned zygote = 0, number = 0;
    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && at == NULL && fgets(line, sizeof line, f) != NULL)
        at = strstr(line, "/terrarium.");
    if (f != NULL)
        fclose(f);
    if (at == NULL || sscanf(at, "/terrarium.%u.%u", &zygote, &number) != 2)
        return 0;
    return number;
}

/* End one by this code (NULL: by SIGKILL), and say whether it was told to have
 * reached its limit. */
static int
end_one(struct zyg_helper *h, const char *code)
{
    struct zyg_message m;
    if (code != NULL)
        zyg_exec(h, 1, code);
    else
        kill(h->pid, SIGKILL);
    zyg_expect(&z, CTL_exited, &m);
    int was_limit = ctl_has(&m.map, "limit");
    zyg_message_free(&m);
    zyg_helper_close(h);
    return was_limit;
}

/* Get helpers until one is in this group; 0: not within so many. */
static int
get_in(unsigned group, uint64_t first_id, struct zyg_helper *h)
{
    for (uint64_t id = first_id; id < first_id + 6; id++) {
        get(id, 64 << 20, 0, h);
        if (group_of(h->pid) == group)
            return 1;
        ck_assert_int_eq(end_one(h, NULL), 0);
    }
    return 0;
}

/* The group of one that ended in peace is the next one's, who is not told of a
 * limit that it did not reach.  That of one that reached it is nobody's. */
START_TEST(gives_a_spotless_group_to_the_next)
{
    struct zyg_helper h;
    if (!has_groups() || HAS_SHADOW)
        return;
    ahead = 1;
    get(1, 64 << 20, 0, &h);
    unsigned group = group_of(h.pid);
    ck_assert_uint_ne(group, 0);
    ck_assert_int_eq(end_one(&h, NULL), 0);
    ck_assert_int_eq(get_in(group, 2, &h), 1);
    ck_assert_int_eq(end_one(&h, NULL), 0);
    ck_assert_int_eq(get_in(group, 10, &h), 1);
    ck_assert_int_eq(end_one(&h, "import mmap\n"
                                 "m = mmap.mmap(-1, 1 << 28)\n"
                                 "for i in range(0, 1 << 28, 4096): m[i] = 1"),
                     1);
    ck_assert_int_eq(get_in(group, 20, &h), 0);
    zyg_close(&z);
    ck_assert_int_eq(groups_of(z.pid), 0);
}
END_TEST

/* A daemon in a session of its own holds a pipe until it ends. */
START_TEST(ends_what_a_helper_left)
{
    struct zyg_helper h;
    struct zyg_message m;
    char c;
    if (!has_groups())
        return;
    get(1, 0, 20, &h);
    zyg_exec(&h, 1,
             "import os, time\n"
             "if os.fork() == 0:\n"
             "    os.setsid()\n"
             "    time.sleep(1000)\n"
             "os._exit(0)");
    zyg_expect(&z, CTL_exited, &m);
    zyg_message_free(&m);
    while (read(h.out, &c, 1) > 0)
        continue;
    zyg_helper_close(&h);
    wait_for_groups(z.pid, 0);
}
END_TEST

START_TEST(stops_a_fork_bomb)
{
    struct zyg_helper h;
    struct zyg_message m;
    if (!has_groups())
        return;
    get(1, 0, 10, &h);
    zyg_exec(&h, 1,
             "import os, time\n"
             "n = 0\n"
             "try:\n"
             "    for i in range(50):\n"
             "        if os.fork() == 0:\n"
             "            time.sleep(1000)\n"
             "        n += 1\n"
             "except BlockingIOError:\n"
             "    os._exit(n)");
    zyg_expect(&z, CTL_exited, &m);
    ck_assert_uint_eq(zyg_uint(&m, "status"), 10);
    zyg_message_free(&m);
    zyg_helper_close(&h);
    wait_for_groups(z.pid, 0);
}
END_TEST

/* A limit that does not hold is none. */
START_TEST(refuses_what_it_can_not_limit)
{
    struct zyg_message m;
    ask(1, 0, 10, "cgroup");
    zyg_expect(&z, CTL_spawn_failed, &m);
    ck_assert(zyg_has(&m, "reason", "cgroup"));
    ck_assert_uint_eq(ctl_list_len(&m.map, "missing"), 1);
    zyg_message_free(&m);
    ask(2, 64 << 20, 0, "cgroup"); /* by rlimit alone */
    zyg_expect(&z, CTL_spawned, &m);
    ck_assert_uint_eq(ctl_list_len(&m.map, "layers"), 2);
    zyg_message_free(&m);
}
END_TEST

/* One that was killed removed nothing: the next one does, when it needs groups
 * itself. */
START_TEST(cleans_up_after_a_zygote_that_was_killed)
{
    struct zyg_helper h;
    pid_t dead = z.pid;
    if (!has_groups())
        return;
    get(1, 0, 20, &h);
    kill(z.pid, SIGKILL);
    (void)zyg_wait(&z);
    ck_assert_int_eq(process_wait_gone(h.pid, 10000), 1);
    zyg_helper_close(&h);
    ck_assert_int_eq(groups_of(dead), 1);
    set_up();
    get(1, 0, 20, &h);
    ck_assert_int_eq(groups_of(dead), 0);
    ck_assert_int_eq(groups_of(z.pid), 1);
    zyg_close(&z);
    ck_assert_int_eq(groups_of(z.pid), 0);
    zyg_helper_close(&h);
}
END_TEST

Suite *make_zygote_cgroup_suite(void);

Suite *
make_zygote_cgroup_suite(void)
{
    const TTest *const tests[] = {names_the_limit_that_ended_it,
                                  gives_a_spotless_group_to_the_next,
                                  ends_what_a_helper_left,
                                  stops_a_fork_bomb,
                                  refuses_what_it_can_not_limit,
                                  cleans_up_after_a_zygote_that_was_killed};
    Suite *s = suite_create("zygote_cgroup");
    TCase *c = tcase_create("zygote_cgroup");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, NULL);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(s, c);
    return s;
}
