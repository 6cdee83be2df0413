/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_parts.c - the zygote's parts that need no Python: text of
 * distrusted bytes, and the queue of outgoing messages. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "err.h"
#include "io.h"
#include "mem.h"
#include "oom.h"
#include "outbox.h"
#include "support_process.h"
#include "text.h"
#include "utf8.h"

/* ---- text --------------------------------------------------------------- */

static const struct {
    const char *in;
    const char *out;
} texts[] = {
    {"plain\n\ttext", "plain\n\ttext"},
    {"na\xc3\xafve \xe2\x82\xac \xf0\x9f\x90\x8d",
     "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x90\x8d"},
    {"\x1b[31m\r\x7f", "?[31m??"},
    {"\xc2\x80\xc2\x9f\xc2\xa0", "????\xc2\xa0"}, /* C1 controls */
    {"\xff\xfe", "??"},
    {"\xc0\x80\xe0\x80\x80", "?????"}, /* overlong */
    {"\xed\xa0\x80", "???"},           /* a surrogate */
    {"\xf4\x90\x80\x80", "????"},      /* above U+10FFFF */
    {"cut \xe2\x82", "cut ??"},
};

START_TEST(cleans_text)
{
    char out[64];
    const char *in = texts[_i].in;
    size_t n = text_clean(out, sizeof out, in, strlen(in));
    ck_assert_str_eq(out, texts[_i].out);
    ck_assert_uint_eq(n, strlen(out));
}
END_TEST

START_TEST(stops_at_the_first_nul_and_at_a_boundary)
{
    char out[8];
    ck_assert_uint_eq(text_clean(out, sizeof out, "ab\0cd", 5), 2);
    ck_assert_uint_eq(text_clean(out, sizeof out, "12345\xe2\x82\xac", 8), 5);
    ck_assert_str_eq(out, "12345");
    ck_assert_uint_eq(text_clean(out, 1, "abc", 3), 0);
    ck_assert_str_eq(out, "");
}
END_TEST

/* Whatever goes in, UTF-8 that fits comes out. */
START_TEST(makes_text_of_any_bytes)
{
    char in[64], out[48];
    unsigned seed = 1;
    for (int round = 0; round < 20000; round++) {
        size_t n = (size_t)rand_r(&seed) % sizeof in;
        for (size_t i = 0; i < n; i++)
            in[i] = (char)rand_r(&seed);
        size_t len = text_clean(out, sizeof out, in, n);
        ck_assert_uint_lt(len, sizeof out);
        ck_assert_uint_eq(out[len], 0);
        ck_assert_int_ge(utf8_length((const uint8_t *)out, len), 0);
    }
}
END_TEST

/* ---- the out-of-memory killer ------------------------------------------- */

static const struct {
    const char *cgroup; /* /proc/self/cgroup */
    const char *file;
} layouts[] = {
    {"0::/a/b\n", "sys/fs/cgroup/a/b/memory.events.local"},
    {"0::/\n", "sys/fs/cgroup/memory.events"},
    {"4:memory:/x/y\n3:cpuset:/\n0::/\n",
     "sys/fs/cgroup/memory/x/y/memory.oom_control"},
};

START_TEST(counts_kills_for_memory)
{
    struct process_folder root;
    struct oom oom;
    process_make_folder(&root);
    process_write_file(&root, "proc/self/cgroup", layouts[_i].cgroup);
    process_write_file(
        &root, "proc/self/mountinfo",
        "30 1 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
        "31 30 0:4 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    process_write_file(&root, layouts[_i].file, "max 9\noom_kill 3\n");
    oom_init(&oom, root.path);
    ck_assert_int_eq(oom_was_it(&oom), 0);
    process_write_file(&root, layouts[_i].file, "oom 9\noom_kill 5\n");
    ck_assert_int_eq(oom_was_it(&oom), 1);
    ck_assert_int_eq(oom_was_it(&oom), 1);
    ck_assert_int_eq(oom_was_it(&oom), 0);
    process_remove_folder(&root);
    ck_assert_int_eq(oom_was_it(&oom), 0);
}
END_TEST

/* As all are that were in the group when a zygote left it for a leaf. */
START_TEST(follows_to_another_group)
{
    struct process_folder root;
    struct oom oom;
    process_make_folder(&root);
    process_write_file(&root, "proc/self/cgroup", "0::/a\n");
    process_write_file(&root, "proc/self/mountinfo",
                       "30 1 0:3 / /c rw - cgroup2 cgroup2 rw\n");
    process_write_file(&root, "c/a/memory.events.local", "oom_kill 3\n");
    process_write_file(&root, "c/a/leaf/memory.events.local", "oom_kill 0\n");
    oom_init(&oom, root.path);
    process_write_file(&root, "proc/self/cgroup", "0::/a/leaf\n");
    ck_assert_int_eq(oom_was_it(&oom), 0);
    process_write_file(&root, "c/a/leaf/memory.events.local", "oom_kill 1\n");
    ck_assert_int_eq(oom_was_it(&oom), 1);
    ck_assert_int_eq(oom_was_it(&oom), 0);
    process_remove_folder(&root);
}
END_TEST

START_TEST(says_nothing_without_a_counter)
{
    struct process_folder root;
    struct oom oom;
    process_make_folder(&root);
    oom_init(&oom, root.path);
    ck_assert_int_eq(oom_was_it(&oom), 0);
    process_write_file(&root, "proc/self/cgroup", "0::/gone\nnonsense\n");
    oom_init(&oom, root.path);
    ck_assert_int_eq(oom_was_it(&oom), 0);
    process_remove_folder(&root);
}
END_TEST

/* ---- outbox ------------------------------------------------------------- */

static struct outbox box;
static int peer;

static void
open_box(void)
{
    int pair[2];
    ck_assert_int_eq(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    outbox_init(&box, pair[0]);
    peer = pair[1];
}

static void
close_box(void)
{
    outbox_fini(&box);
    close(box.fd);
    close(peer);
}

static int
put(uint64_t number, int fd)
{
    struct ctl_out m;
    ctl_begin(&m);
    ctl_put_uint(&m, "n", number);
    return outbox_put(&box, &m, &fd, fd >= 0 ? 1 : 0);
}

/* The number of the next message at the other end; 0: none. */
static uint64_t
take(int *count)
{
    uint8_t bytes[256];
    int fds[IO_MAX_FDS];
    size_t n;
    struct ctl_in in;
    struct ctl_map m;
    uint64_t number = 0;
    *count = 0;
    if (io_recv_packet(peer, bytes, sizeof bytes, &n, fds, count) != 0)
        return 0;
    for (int i = 0; i < *count; i++)
        close(fds[i]);
    ck_assert_int_eq(ctl_open(&in, bytes, n, &m), 0);
    ck_assert(ctl_get_uint(&m, "n", &number));
    ctl_close(&in);
    return number;
}

START_TEST(keeps_the_order_over_a_full_socket)
{
    uint64_t put_last = 0, taken = 0, number;
    int count, waited = 0;
    while (taken < 5000) {
        while (outbox_has_room(&box) && put_last < 5000)
            ck_assert_int_eq(put(++put_last, dup(peer)), 0);
        int e = outbox_flush(&box);
        ck_assert(e == 0 || e == E_AGAIN);
        waited += e == E_AGAIN;
        ck_assert_uint_eq(box.count == 0, e == 0);
        for (int i = 0; i < 100 && (number = take(&count)) != 0; i++) {
            ck_assert_uint_eq(number, ++taken);
            ck_assert_int_eq(count, 1);
        }
    }
    ck_assert_int_gt(waited, 0);
}
END_TEST

START_TEST(is_bounded_and_closes_what_it_drops)
{
    int before = process_count_fds(getpid(), "");
    for (uint64_t i = 0; i < OUTBOX_SIZE; i++)
        ck_assert_int_eq(put(i, dup(peer)), 0);
    ck_assert(!outbox_has_room(&box));
    ck_assert_int_eq(put(1, dup(peer)), E_LIMIT);
    ck_assert_uint_eq(box.count, OUTBOX_SIZE);
    ck_assert_int_eq(process_count_fds(getpid(), ""), before + OUTBOX_SIZE);
    outbox_fini(&box);
    ck_assert_int_eq(process_count_fds(getpid(), ""), before);
}
END_TEST

START_TEST(closes_in_a_child_without_forgetting)
{
    int before = process_count_fds(getpid(), "");
    ck_assert_int_eq(put(1, dup(peer)), 0);
    outbox_close_fds(&box);
    ck_assert_int_eq(process_count_fds(getpid(), ""), before);
    ck_assert_uint_eq(box.count, 1);
}
END_TEST

START_TEST(survives_lack_of_memory)
{
    int e = E_NOMEM, before = process_count_fds(getpid(), "");
    for (long n = 1; e != 0; n++) {
        mem_fail_at(n);
        e = put(1, dup(peer));
        ck_assert(e == 0 || (e == E_NOMEM && mem_failed() == 1));
        mem_fail_at(0);
        if (e != 0)
            ck_assert_int_eq(process_count_fds(getpid(), ""), before);
        ck_assert_int_lt(n, 100);
    }
}
END_TEST

START_TEST(tells_that_the_peer_is_gone)
{
    close(peer);
    ck_assert_int_eq(put(1, -1), 0);
    ck_assert_int_eq(outbox_flush(&box), E_EOF);
    peer = dup(box.fd);
}
END_TEST

Suite *make_zygote_parts_suite(void);

Suite *
make_zygote_parts_suite(void)
{
    Suite *s = suite_create("zygote_parts");
    TCase *text = tcase_create("text");
    tcase_add_loop_test(text, cleans_text, 0, sizeof texts / sizeof texts[0]);
    tcase_add_test(text, stops_at_the_first_nul_and_at_a_boundary);
    tcase_add_test(text, makes_text_of_any_bytes);
    suite_add_tcase(s, text);
    TCase *memory = tcase_create("oom");
    tcase_add_loop_test(memory, counts_kills_for_memory, 0,
                        sizeof layouts / sizeof layouts[0]);
    tcase_add_test(memory, follows_to_another_group);
    tcase_add_test(memory, says_nothing_without_a_counter);
    suite_add_tcase(s, memory);
    TCase *queue = tcase_create("outbox");
    tcase_add_checked_fixture(queue, open_box, close_box);
    tcase_add_test(queue, keeps_the_order_over_a_full_socket);
    tcase_add_test(queue, is_bounded_and_closes_what_it_drops);
    tcase_add_test(queue, closes_in_a_child_without_forgetting);
    tcase_add_test(queue, survives_lack_of_memory);
    tcase_add_test(queue, tells_that_the_peer_is_gone);
    suite_add_tcase(s, queue);
    return s;
}
