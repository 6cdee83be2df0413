/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_load.c - a VM that does not read, talks nonsense, or asks for
 * a great deal. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "err.h"
#include "support_process.h"
#include "support_zygote.h"
#include "wire.h"

enum { FLOOD = 100000 };

/* ---- a full socket ------------------------------------------------------ */

/* Send requests that are each answered by a refusal, reading nothing, until
 * nothing is taken any more; returns how many were. */
static uint64_t
flood(struct zyg *z)
{
    uint64_t sent = 0;
    ck_assert_int_eq(io_set_nonblock(z->control, 1), 0);
    for (int quiet = 0; quiet < 100 && sent < FLOOD;) {
        struct ctl_out m;
        ctl_begin(&m);
        ctl_put_type(&m, CTL_spawn);
        ctl_put_uint(&m, "id", sent + 1);
        int e = zyg_send(z, &m);
        ck_assert(e == 0 || e == E_AGAIN);
        if (e == 0) {
            sent++;
            quiet = 0;
        } else {
            quiet++;
            process_sleep_ms(2);
        }
    }
    return sent;
}

static void
start_without_hello(struct zyg *z)
{
    struct zyg_message m;
    zyg_start(z, NULL, NULL);
    zyg_expect(z, CTL_ready, &m);
    zyg_message_free(&m);
}

START_TEST(answers_all_once_it_is_read)
{
    struct zyg z;
    start_without_hello(&z);
    uint64_t sent = flood(&z);
    ck_assert_uint_gt(sent, 100);
    ck_assert_msg(sent < FLOOD, "the zygote queues without a bound");
    for (uint64_t id = 1; id <= sent; id++) {
        struct zyg_message m;
        zyg_expect(&z, CTL_spawn_failed, &m);
        ck_assert_uint_eq(zyg_uint(&m, "id"), id);
        zyg_message_free(&m);
    }
    zyg_close(&z);
}
END_TEST

START_TEST(ends_while_nobody_reads)
{
    struct zyg z;
    start_without_hello(&z);
    flood(&z);
    zyg_close(&z);
}
END_TEST

/* Deaths that happen meanwhile are reported later, each exactly once. */
START_TEST(forgets_no_death_meanwhile)
{
    enum { HELPERS = 12 };
    struct zyg z;
    struct zyg_helper h[HELPERS];
    struct zyg_message m;
    unsigned seen = 0;
    zyg_open(&z, NULL);
    for (uint64_t i = 0; i < HELPERS; i++)
        zyg_spawn(&z, i, &h[i]);
    ck_assert_int_eq(io_set_nonblock(z.control, 1), 0);
    for (int quiet = 0; quiet < 50;) { /* hellos, each answered */
        struct ctl_out hello;
        ctl_begin(&hello);
        ctl_put_type(&hello, CTL_hello);
        ctl_put_uint(&hello, "version", WIRE_LIMIT_VERSION);
        ctl_put_uint(&hello, "fingerprint", WIRE_FINGERPRINT);
        quiet = zyg_send(&z, &hello) == 0 ? 0 : quiet + 1;
        if (quiet > 0)
            process_sleep_ms(2);
    }
    for (int i = 0; i < HELPERS; i++) {
        kill(h[i].pid, SIGKILL);
        zyg_helper_close(&h[i]);
    }
    process_sleep_ms(100);
    while (seen != (1u << HELPERS) - 1) {
        ck_assert(zyg_receive(&z, &m));
        if (ctl_is(&m.map, CTL_exited)) {
            unsigned bit = 1u << zyg_uint(&m, "id");
            ck_assert_uint_eq(seen & bit, 0);
            seen |= bit;
        }
        zyg_message_free(&m);
    }
    zyg_close(&z);
}
END_TEST

/* ---- many --------------------------------------------------------------- */

START_TEST(spawns_many_at_once)
{
    enum { HELPERS = 24 };
    struct zyg z;
    struct zyg_helper h[HELPERS];
    struct zyg_message m;
    zyg_open(&z, NULL);
    for (uint64_t i = 0; i < HELPERS; i++)
        zyg_send_spawn(&z, i, 0);
    for (int i = 0; i < HELPERS; i++) {
        zyg_expect(&z, CTL_spawned, &m);
        zyg_take_helper(&m, &h[i]);
        ck_assert_uint_eq(h[i].id, (uint64_t)i);
    }
    for (int i = 0; i < HELPERS; i++)
        ck_assert_int_eq(zyg_frame(&h[i], NULL), WIRE_HELLO);
    for (int i = 0; i < HELPERS; i++) /* all hear their own end-of-file */
        zyg_helper_close(&h[i]);
    zyg_wait_children(&z, 2);
    zyg_close(&z);
}
END_TEST

/* ---- nonsense ----------------------------------------------------------- */

static void
send_bytes(struct zyg *z, const void *p, size_t n)
{
    ck_assert_int_eq(io_send_packet(z->control, p, n, NULL, 0), 0);
}

static void
expect_warning(struct zyg *z)
{
    struct zyg_message m;
    zyg_expect(z, CTL_log, &m);
    ck_assert(zyg_has(&m, "level", "warning"));
    ck_assert(zyg_has(&m, "text", "ignored"));
    zyg_message_free(&m);
}

START_TEST(ignores_junk)
{
    static const char *const junk[] = {
        "\xc1",     "\x93\x01\x02\x03",     "\x81\xa4type",
        "\x80\x80", "\xdf\xff\xff\xff\xff", "\x81\x01\x02",
        "hello",
    };
    struct zyg z;
    struct zyg_helper h;
    zyg_open(&z, NULL);
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++) {
        send_bytes(&z, junk[i], strlen(junk[i]));
        expect_warning(&z);
    }
    zyg_send_type(&z, "dance");
    expect_warning(&z);
    zyg_send_type(&z, CTL_exited); /* of the other direction */
    expect_warning(&z);
    zyg_send_type(&z, CTL_spawn); /* without an id */
    expect_warning(&z);
    send_bytes(&z, "\x80", 1); /* a map without a type */
    expect_warning(&z);
    char *large = calloc(1, WIRE_LIMIT_MAX_CONTROL + 1);
    ck_assert_ptr_nonnull(large);
    send_bytes(&z, large, WIRE_LIMIT_MAX_CONTROL + 1);
    free(large);
    expect_warning(&z);
    zyg_spawn(&z, 1, &h); /* and serves as before */
    zyg_helper_close(&h);
    zyg_close(&z);
}
END_TEST

START_TEST(keeps_no_descriptor_sent_to_it)
{
    struct zyg z;
    struct zyg_helper h;
    int fds[IO_MAX_FDS];
    zyg_open(&z, NULL);
    zyg_spawn(&z, 1, &h);
    zyg_wait_children(&z, 3);
    /* Once it answers it has closed what it gave the last child. */
    send_bytes(&z, "\x80", 1);
    expect_warning(&z);
    int before = process_count_fds(z.pid, "");
    for (int i = 0; i < IO_MAX_FDS; i++)
        fds[i] = h.socket;
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(io_send_packet(z.control, "\x80", 1, fds, IO_MAX_FDS),
                         0);
        expect_warning(&z);
    }
    ck_assert_int_eq(process_count_fds(z.pid, ""), before);
    zyg_helper_close(&h);
    zyg_close(&z);
}
END_TEST

Suite *make_zygote_load_suite(void);

Suite *
make_zygote_load_suite(void)
{
    Suite *s = suite_create("zygote_load");
    TCase *t = tcase_create("load");
    tcase_add_test(t, answers_all_once_it_is_read);
    tcase_add_test(t, ends_while_nobody_reads);
    tcase_add_test(t, forgets_no_death_meanwhile);
    tcase_add_test(t, spawns_many_at_once);
    tcase_add_test(t, ignores_junk);
    tcase_add_test(t, keeps_no_descriptor_sent_to_it);
    suite_add_tcase(s, t);
    return s;
}
