/* SPDX-License-Identifier: Apache-2.0 */
/* check_lane.c - a lane between two honest sides, one dishonest, and two
 * processes under stress. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lane.h"
#include "lane_layout.h"
#include "support_check.h"

static struct lane vm, helper;
static int spare; /* the segment's descriptor */
static uint8_t *big;

enum { BIG = 4 << 20 };

static uint8_t
pattern(uint64_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7);
}

static void
setup(void)
{
    int s[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
    ck_ok(lane_segment_create(&spare));
    ck_ok(lane_open(&vm, LANE_VM, spare, s[0]));
    ck_ok(lane_open(&helper, LANE_HELPER, spare, s[1]));
    big = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        big[i] = pattern(i);
}

static void
teardown(void)
{
    lane_close(&vm);
    lane_close(&helper);
    close(spare);
    free(big);
}

static int
readable(const struct lane *l)
{
    struct pollfd p = {.fd = l->sock, .events = POLLIN};
    return poll(&p, 1, 0);
}

static int
write_one(struct lane *l, const void *p, size_t n, size_t *done)
{
    struct iovec v = {(void *)p, n};
    return lane_writev(l, &v, 1, done);
}

START_TEST(records_keep_their_order_around_the_end)
{
    uint64_t written = 0, seen = 0;
    for (uint32_t step = 1; written < 3 * (uint64_t)LANE_RING; step += 61) {
        size_t n = step % 4099 + 1, done = 0, got = 0;
        uint8_t out[4100], in[4100];
        for (size_t i = 0; i < n; i++)
            out[i] = pattern(written + i);
        ck_ok(write_one(&vm, out, n, &done));
        ck_assert_uint_eq(done, n);
        written += n;
        while (seen < written) {
            ck_ok(lane_read(&helper, in, step % 7 ? sizeof in : 5, &got));
            for (size_t i = 0; i < got; i++)
                ck_assert_uint_eq(in[i], pattern(seen + i));
            seen += got;
        }
    }
}
END_TEST

/* As a frame without a body is written (the sanitizer looks at NULL). */
START_TEST(a_piece_may_be_empty)
{
    struct iovec v[3] = {{"ab", 2}, {NULL, 0}, {"c", 1}};
    size_t n = 0;
    ck_ok(lane_writev(&vm, v, 3, &n));
    ck_assert_uint_eq(n, 3);
    ck_ok(lane_read(&helper, big, 10, &n));
    ck_assert_uint_eq(n, 3);
    ck_assert_mem_eq(big, "abc", 3);
}
END_TEST

/* _i 0: the reader takes so much that it looks for a writer; 1: it takes less,
 * and looks before it sleeps. */
START_TEST(a_full_ring_takes_nothing_and_says_so)
{
    size_t done = 12345, got, total = 0, take = _i == 0 ? LANE_RING / 4 : 8192;
    short events;
    while (write_one(&vm, big, 5000, &done) == 0)
        total += done;
    done = 12345;
    ck_err(write_one(&vm, big, 5000, &done), E_AGAIN);
    ck_assert_uint_eq(done, 12345); /* nothing was written, nothing claimed */
    ck_assert_int_eq(lane_arm(&vm, LANE_SPACE, &events), 0);
    ck_assert_int_eq(readable(&vm), 0);
    ck_ok(lane_read(&helper, big, take, &got));
    ck_assert_int_eq(readable(&vm), _i == 0);
    ck_assert_int_eq(lane_arm(&helper, LANE_DATA, &events), 1);
    ck_assert_int_eq(readable(&vm), 1); /* there is room: a bell */
    ck_assert_int_eq(lane_arm(&vm, LANE_SPACE, &events), 1);
    ck_ok(write_one(&vm, big, 5000, &done));
    ck_assert_uint_gt(total, LANE_RING / 2);
}
END_TEST

START_TEST(a_held_bell_is_rung_in_the_end)
{
    size_t n;
    short events;
    lane_hold(&vm);
    ck_ok(write_one(&vm, "a", 1, &n)); /* to a sleeper */
    ck_assert_uint_eq(vm.count.bells, 0);
    lane_release(&vm);
    ck_assert_uint_eq(vm.count.bells, 1);
    lane_hold(&vm);
    ck_ok(write_one(&vm, "b", 1, &n));
    ck_ok(lane_read(&helper, big, 10, &n));
    ck_assert_uint_eq(n, 2);
    lane_release(&vm); /* awake: none */
    ck_assert_uint_eq(vm.count.bells, 1);
    ck_assert_int_eq(lane_arm(&helper, LANE_DATA, &events), 0);
    lane_hold(&vm);
    ck_ok(write_one(&vm, "c", 1, &n));
    ck_assert_int_eq(lane_arm(&vm, LANE_DATA, &events), 0);
    ck_assert_uint_eq(vm.count.bells, 2); /* nobody sleeps on a held bell */
}
END_TEST

/* A side that expects nothing is not armed: only ringing reaches it. */
START_TEST(ringing_reaches_one_that_has_not_armed)
{
    size_t n;
    lane_disarm(&vm);
    ck_ok(write_one(&helper, "a", 1, &n));
    ck_assert_int_eq(readable(&vm), 0);
    lane_ring(&helper);
    ck_assert_int_eq(readable(&vm), 1);
    lane_polled(&vm);
    ck_ok(lane_read(&vm, big, 10, &n));
    ck_err(lane_read(&vm, big, 10, &n), E_AGAIN);
    lane_hold(&helper);
    ck_ok(write_one(&helper, "b", 1, &n));
    lane_ring(&helper); /* ends the holding back */
    ck_ok(write_one(&helper, "c", 1, &n));
    ck_assert_int_eq(helper.held, 0);
    ck_assert_uint_eq(helper.count.bells, 2);
    while (helper.bulk_out == 0)
        ck_ok(write_one(&helper, big, BIG, &n));
    lane_ring(&helper); /* no place for a bell */
    ck_assert_uint_eq(helper.count.bells, 2);
}
END_TEST

START_TEST(one_bell_for_one_sleep)
{
    char c;
    size_t n;
    short events;
    ck_assert_int_eq(recv(helper.sock, &c, 1, MSG_DONTWAIT), -1);
    ck_ok(write_one(&vm, "a", 1, &n)); /* a new lane is asleep */
    ck_ok(write_one(&vm, "b", 1, &n));
    ck_assert_uint_eq(vm.count.bells, 1);
    ck_assert_int_eq(lane_arm(&helper, LANE_DATA, &events), 1);
    lane_disarm(&helper);
    lane_polled(&helper);
    ck_ok(lane_read(&helper, big, 10, &n));
    ck_assert_uint_eq(n, 2);
    ck_err(lane_read(&helper, big, 10, &n), E_AGAIN);
    ck_assert_int_eq(readable(&helper), 0); /* the bell was taken */
    ck_ok(write_one(&vm, "c", 1, &n));
    ck_assert_uint_eq(vm.count.bells, 1); /* awake: none */
    ck_ok(lane_read(&helper, big, 10, &n));
    ck_assert_int_eq(lane_arm(&helper, LANE_DATA, &events), 0);
    ck_ok(write_one(&vm, "d", 1, &n));
    ck_assert_uint_eq(vm.count.bells, 2);
}
END_TEST

/* Write all of p through l while the other side reads it into q. */
static void
carry(struct lane *from, const uint8_t *p, struct lane *to, uint8_t *q,
      size_t n)
{
    size_t out = 0, in = 0, k = 0;
    while (in < n) {
        int e = out < n ? write_one(from, p + out, n - out, &k) : E_AGAIN;
        if (e == 0)
            out += k;
        else
            ck_err(e, E_AGAIN);
        e = lane_read(to, q + in, n - in, &k);
        if (e == 0)
            in += k;
        else
            ck_err(e, E_AGAIN);
    }
}

START_TEST(what_is_large_comes_in_its_place)
{
    static const size_t sizes[] = {LANE_INLINE, LANE_INLINE + 1, 1 << 20, BIG};
    uint8_t *in = malloc(BIG);
    for (size_t i = 0; i < 4; i++) {
        uint8_t before[3], after[3];
        size_t n;
        ck_ok(write_one(&vm, "abc", 3, &n));
        ck_ok(lane_read(&helper, before, 3, &n));
        carry(&vm, big, &helper, in, sizes[i]);
        ck_assert_mem_eq(in, big, sizes[i]);
        ck_ok(write_one(&vm, "def", 3, &n));
        ck_ok(lane_read(&helper, after, 3, &n));
        ck_assert_mem_eq(after, "def", 3);
        ck_assert_int_eq(vm.bulk_out == 0 && helper.bulk_in == 0, 1);
    }
    ck_assert_uint_gt(vm.count.bulk, 0);
    free(in);
}
END_TEST

START_TEST(bytes_written_before_the_end_come_first)
{
    size_t n;
    ck_ok(write_one(&helper, big, 3000, &n));
    lane_close(&helper);
    lane_polled(&vm);
    ck_ok(lane_read(&vm, big, 2000, &n));
    ck_ok(lane_read(&vm, big, 2000, &n));
    ck_assert_uint_eq(n, 1000);
    for (int e = 0; e != E_EOF;) { /* a bell may lie before it */
        lane_polled(&vm);
        e = lane_read(&vm, big, 10, &n);
        ck_assert(e == E_EOF || e == E_AGAIN);
    }
}
END_TEST

/* ---- the segment --------------------------------------------------------- */

START_TEST(only_a_sealed_segment_is_mapped)
{
    int s[2];
    struct lane l;
    int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
    ck_assert_int_eq(ftruncate(fd, sizeof(struct lane_shared)), 0);
    ck_err(lane_open(&l, LANE_VM, fd, s[0]), E_FORMAT);
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    ck_err(lane_open(&l, LANE_VM, fd, s[0]), E_FORMAT); /* its size */
    ck_err(lane_open(&l, LANE_VM, -1, s[0]), E_SYS);
    ck_assert_int_eq(ftruncate(spare, 0), -1);
    ck_assert_int_eq(fcntl(spare, F_ADD_SEALS, F_SEAL_WRITE), -1);
    close(fd);
    close(s[0]);
    close(s[1]);
}
END_TEST

/* ---- an enemy ------------------------------------------------------------ */

static void
set_header(uint32_t length, uint32_t kind)
{
    uint64_t h = (uint64_t)kind << 32 | length;
    memcpy(vm.shared->up, &h, sizeof h);
}

START_TEST(numbers_that_cannot_be_are_refused)
{
    struct lane_words *enemy = &vm.shared->helper;
    size_t n = 0;
    switch (_i) {
    case 0: /* more than fits */
        atomic_store(&enemy->head, LANE_RING + 8);
        break;
    case 1: /* half a record */
        atomic_store(&enemy->head, 12);
        break;
    case 2: /* a record without bytes */
        atomic_store(&enemy->head, 8);
        break;
    case 3: /* longer than what is there */
        set_header(100, 0);
        atomic_store(&enemy->head, 16);
        break;
    case 4: /* of no kind */
        set_header(8, 7);
        atomic_store(&enemy->head, 16);
        break;
    case 5: /* an item that is none */
        ck_assert_int_eq(write(helper.sock, "x", 1), 1);
        lane_polled(&vm);
        break;
    case 6: /* BULK that nothing announced */
        ck_assert_int_eq(write(helper.sock, "\2", 1), 1);
        lane_polled(&vm);
        break;
    case 7: /* a marker, and then no BULK */
        set_header(100, RING_MARKER);
        atomic_store(&enemy->head, 8);
        ck_assert_int_eq(write(helper.sock, "x", 1), 1);
        break;
    default: /* taken what was never written */
        atomic_store(&enemy->tail, 1 << 20);
        for (int i = 0; i < 3; i++)
            if (write_one(&vm, big, LANE_INLINE, &n) == E_FORMAT)
                return;
        ck_abort_msg("a tail beyond the head was believed");
    }
    ck_err(lane_read(&vm, big, 4096, &n), E_FORMAT);
}
END_TEST

START_TEST(a_flood_of_bells_does_not_hold_us)
{
    char bells[4096];
    size_t n;
    memset(bells, LANE_BELL, sizeof bells);
    set_header(100, RING_MARKER);
    atomic_store(&vm.shared->helper.head, 8);
    ck_assert_int_gt(send(helper.sock, bells, sizeof bells, MSG_DONTWAIT), 0);
    ck_err(lane_read(&vm, big, 4096, &n), E_AGAIN); /* though more is there */
    ck_assert_int_eq(readable(&vm), 1);
}
END_TEST

/* Another process writes whatever it likes wherever it likes. */
static _Noreturn void
scribble(uint32_t seed)
{
    volatile uint8_t *p = (volatile uint8_t *)helper.shared;
    for (;;) {
        uint32_t r = next_random(&seed);
        size_t at = (r >> 8) % sizeof(struct lane_shared);
        if (r & 3) /* mostly where it hurts */
            at %= sizeof(struct lane_words) * 2;
        p[at] = (uint8_t)next_random(&seed);
        if ((r & 0xfff) == 0)
            (void)!send(helper.sock, "\1\2x" + r % 3, 1, MSG_DONTWAIT);
    }
}

START_TEST(a_scribbler_can_only_say_wrong_things)
{
    size_t n;
    short events;
    uint32_t seed = 7 + (uint32_t)_i;
    int s[2], refused = 0;
    /* The mapping of `helper` is not inherited: map it again in the child. */
    pid_t pid = fork();
    if (pid == 0) {
        int nowhere = dup(helper.sock);
        if (lane_open(&helper, LANE_HELPER, spare, nowhere) == 0)
            scribble(seed);
        _exit(1);
    }
    /* Until it has had its turn, on a busy machine as well. */
    time_t end = time(NULL) + 60;
    for (int round = 0; round < 20000 || (refused == 0 && time(NULL) < end);
         round++) {
        int e = write_one(&vm, big, next_random(&seed) % 3000 + 1, &n);
        lane_polled(&vm);
        int r = lane_read(&vm, big, 65536, &n);
        lane_arm(&vm, LANE_DATA | LANE_SPACE, &events);
        if (e != E_FORMAT && r != E_FORMAT)
            continue;
        refused++; /* the driver would kill it; we begin anew and go on */
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
        lane_close(&vm);
        ck_ok(lane_open(&vm, LANE_VM, spare, s[0]));
        close(s[1]);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert_int_gt(refused, 0);
}
END_TEST

/* ---- two processes ------------------------------------------------------- */

enum { STRESS = 24 << 20, STRESS_MAX = 200000 };

/* Sleep as the protocol says; a sleep of 10 s is a wake-up that was lost. */
static void
sleep_for(struct lane *l, int want)
{
    struct pollfd p = {.fd = l->sock};
    if (lane_arm(l, want, &p.events)) {
        lane_disarm(l);
        return;
    }
    int k = poll(&p, 1, 10000);
    lane_disarm(l);
    if (k <= 0)
        abort();
    lane_polled(l);
}

/* Send `out` bytes and receive `in`, in pieces of random sizes. */
static void
exchange(struct lane *l, uint64_t out, uint64_t in, uint32_t seed)
{
    uint64_t sent = 0, seen = 0;
    uint8_t *p = malloc(STRESS_MAX), *q = malloc(STRESS_MAX);
    size_t piece = 0, at = 0, n;
    while (sent < out || seen < in) {
        int moved = 0;
        if (sent < out && at == piece) {
            uint32_t r = next_random(&seed);
            piece = r >> 16 & 31 ? r % 900 + 1 : r % STRESS_MAX + 1;
            piece = piece < out - sent ? piece : (size_t)(out - sent);
            at = 0;
            for (size_t i = 0; i < piece; i++)
                p[i] = pattern(sent + i);
        }
        if (at < piece && write_one(l, p + at, piece - at, &n) == 0) {
            at += n;
            sent += n;
            moved = 1;
        }
        if (lane_read(l, q, next_random(&seed) % STRESS_MAX + 1, &n) == 0) {
            for (size_t i = 0; i < n; i++)
                if (q[i] != pattern(seen + i))
                    abort();
            seen += n;
            moved = 1;
        }
        if (!moved)
            sleep_for(l, LANE_DATA | (at < piece ? LANE_SPACE : 0));
    }
    free(p);
    free(q);
}

START_TEST(two_processes_lose_nothing)
{
    int status;
    int s = dup(helper.sock);
    pid_t pid = fork();
    if (pid == 0) {
        lane_open(&helper, LANE_HELPER, spare, s);
        exchange(&helper, STRESS, STRESS, 99 + (uint32_t)_i);
        _exit(0);
    }
    exchange(&vm, STRESS, STRESS, 5 + (uint32_t)_i);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    close(s);
}
END_TEST

Suite *make_lane_suite(void);
Suite *
make_lane_suite(void)
{
    Suite *suite = suite_create("lane");
    TCase *t = tcase_create("lane");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, records_keep_their_order_around_the_end);
    tcase_add_test(t, a_piece_may_be_empty);
    tcase_add_loop_test(t, a_full_ring_takes_nothing_and_says_so, 0, 2);
    tcase_add_test(t, a_held_bell_is_rung_in_the_end);
    tcase_add_test(t, ringing_reaches_one_that_has_not_armed);
    tcase_add_test(t, one_bell_for_one_sleep);
    tcase_add_test(t, what_is_large_comes_in_its_place);
    tcase_add_test(t, bytes_written_before_the_end_come_first);
    tcase_add_test(t, only_a_sealed_segment_is_mapped);
    tcase_add_loop_test(t, numbers_that_cannot_be_are_refused, 0, 9);
    tcase_add_test(t, a_flood_of_bells_does_not_hold_us);
    tcase_add_loop_test(t, a_scribbler_can_only_say_wrong_things, 0, 3);
    tcase_add_loop_test(t, two_processes_lose_nothing, 0, 3);
    suite_add_tcase(suite, t);
    return suite;
}
