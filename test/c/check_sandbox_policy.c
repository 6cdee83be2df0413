/* SPDX-License-Identifier: Apache-2.0 */
/* check_sandbox_policy.c - a policy as read from a spawn message. */
#include <check.h>
#include <string.h>

#include "policy.h"
#include "support_check.h"

static struct ctl_out out;
static struct policy policy;
static char why[200];

static void
begin(const char *level)
{
    why[0] = 0;
    ctl_begin(&out);
    if (level != NULL)
        ctl_put_str(&out, "level", level);
}

/* Read what has been put since begin. */
static int
finish(void)
{
    struct ctl_in in;
    struct ctl_map m;
    ck_ok(ctl_end(&out));
    ck_ok(ctl_open(&in, out.bytes.data, out.bytes.len, &m));
    int e = policy_read(&policy, &m, why, sizeof why);
    ctl_close(&in);
    ctl_free(&out);
    return e;
}

static void
refused(const char *key)
{
    ck_err(finish(), E_FORMAT);
    ck_assert_msg(strstr(why, key) != NULL, "'%s' does not name %s", why, key);
}

static void
put_list(const char *key, const char *const *v, size_t count)
{
    ctl_put_strs(&out, key, (char *const *)v, count);
}

START_TEST(reads_all_keys)
{
    const char *const layers[] = {"seccomp", "own_uid"};
    const char *const paths[] = {"/a", "/b c"};
    const char *const ports[] = {"1", "65535"};
    const char *const modules[] = {"json"};
    begin("strict");
    put_list("require", layers, 2);
    put_list("without", layers + 1, 1);
    put_list("read", paths, 2);
    put_list("write", paths, 1);
    put_list("import", paths + 1, 1);
    put_list("preload", modules, 1);
    put_list("connect", ports, 2);
    ctl_put_bool(&out, "threads", 1);
    ctl_put_bool(&out, "exec_memory", 1);
    ctl_put_bool(&out, "diagnose", 1);
    ctl_put_uint(&out, "tmp", 1);
    ctl_put_uint(&out, "memory", 2);
    ctl_put_uint(&out, "open_files", 3);
    ctl_put_uint(&out, "file_bytes", 4);
    ctl_put_uint(&out, "thread_count", 5);
    ctl_put_uint(&out, "cpu_ms", 6);
    ctl_put_uint(&out, "address_space", 7);
    ctl_put_uint(&out, "procs", 8);
    ctl_put_str(&out, "spawn", "exec");
    ck_ok(finish());
    ck_assert_int_eq(policy.level, LEVEL_STRICT);
    ck_assert_uint_eq(policy.require, LAYER_SECCOMP | LAYER_OWN_UID);
    ck_assert_uint_eq(policy.without, LAYER_OWN_UID);
    ck_assert_uint_eq(policy.read.count, 2);
    ck_assert_str_eq(policy.read.v[1], "/b c");
    ck_assert_str_eq(policy.write.v[0], "/a");
    ck_assert_str_eq(policy.import.v[0], "/b c");
    ck_assert_str_eq(policy.preload.v[0], "json");
    ck_assert_uint_eq(policy.port_count, 2);
    ck_assert_uint_eq(policy.ports[1], 65535);
    ck_assert(policy.threads && policy.exec_memory && policy.diagnose);
    ck_assert_uint_eq(policy.tmp_bytes, 1);
    ck_assert_uint_eq(policy.memory, 2);
    ck_assert_uint_eq(policy.open_files, 3);
    ck_assert_uint_eq(policy.file_bytes, 4);
    ck_assert_uint_eq(policy.thread_count, 5);
    ck_assert_uint_eq(policy.cpu_ms, 6);
    ck_assert_uint_eq(policy.address_space, 7);
    ck_assert_uint_eq(policy.procs, 8);
    ck_assert(policy.exec);
    policy_free(&policy);
}
END_TEST

START_TEST(missing_keys_grant_nothing)
{
    begin("default");
    ck_ok(finish());
    ck_assert(policy_has_files(&policy));
    ck_assert(!policy_may_write(&policy));
    ck_assert(!policy.threads && !policy.exec);
    ck_assert_uint_eq(policy.memory, POLICY_NO_LIMIT);
    policy_free(&policy);
    begin("strict");
    ck_ok(finish());
    ck_assert(!policy_has_files(&policy));
    policy_free(&policy);
}
END_TEST

START_TEST(needs_a_level)
{
    begin(NULL);
    refused("level");
    begin("paranoid");
    refused("level");
}
END_TEST

START_TEST(spawns_by_fork_or_exec)
{
    begin("default");
    ctl_put_str(&out, "spawn", "fork");
    ck_ok(finish());
    ck_assert(!policy.exec);
    policy_free(&policy);
    begin("default");
    ctl_put_str(&out, "spawn", "thread");
    refused("spawn");
    begin("default");
    ctl_put_uint(&out, "spawn", 1);
    refused("spawn");
}
END_TEST

/* A limit that is no number must never be no limit. */
START_TEST(names_the_key_of_a_wrong_type)
{
    static const char *const numbers[] = {
        "tmp",        "memory", "address_space", "open_files",
        "file_bytes", "cpu_ms", "thread_count",  "procs"};
    static const char *const flags[] = {"threads", "exec_memory", "diagnose"};
    static const char *const lists[] = {"require", "without", "read",   "write",
                                        "import",  "preload", "connect"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        begin("default");
        ctl_put_str(&out, numbers[i], "1");
        refused(numbers[i]);
        begin("default");
        ctl_put_int(&out, numbers[i], -1);
        refused(numbers[i]);
        begin("default");
        ctl_put_uint(&out, numbers[i], 0);
        refused(numbers[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        begin("default");
        ctl_put_uint(&out, flags[i], 1);
        refused(flags[i]);
    }
    for (size_t i = 0; i < 7; i++) {
        begin("default");
        ctl_put_str(&out, lists[i], "/etc");
        refused(lists[i]);
    }
}
END_TEST

START_TEST(refuses_what_cannot_be_meant)
{
    static const struct {
        const char *key, *value;
    } bad[] = {{"require", "moat"},     {"without", ""},  {"read", "etc"},
               {"write", ""},           {"import", "."},  {"preload", ""},
               {"connect", "0"},        {"connect", "x"}, {"connect", "65536"},
               {"connect", "123456789"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin("default");
        put_list(bad[i].key, &bad[i].value, 1);
        refused(bad[i].key);
    }
}
END_TEST

static int
once(void)
{
    const char *const paths[] = {"/a"};
    const char *const ports[] = {"1"};
    struct ctl_in in;
    struct ctl_map m;
    int e = E_NOMEM;
    begin("default");
    put_list("read", paths, 1);
    put_list("preload", paths, 1);
    put_list("connect", ports, 1);
    if (ctl_end(&out) == 0)
        e = ctl_open(&in, out.bytes.data, out.bytes.len, &m);
    if (e == 0) {
        e = policy_read(&policy, &m, why, sizeof why);
        ctl_close(&in);
    }
    ctl_free(&out);
    if (e == 0)
        policy_free(&policy);
    return e;
}

START_TEST(lives_without_memory)
{
    each_allocation_fails(once);
}
END_TEST

Suite *
make_sandbox_policy_suite(void)
{
    const TTest *const tests[] = {reads_all_keys,
                                  missing_keys_grant_nothing,
                                  needs_a_level,
                                  spawns_by_fork_or_exec,
                                  names_the_key_of_a_wrong_type,
                                  refuses_what_cannot_be_meant,
                                  lives_without_memory,
                                  NULL};
    return suite_of("sandbox_policy", tests, 10);
}
