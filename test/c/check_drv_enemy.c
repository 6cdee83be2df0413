/* SPDX-License-Identifier: Apache-2.0 */
/* check_drv_enemy.c - the driver over a lane whose other side is an enemy: a
 * thread that writes all over the segment while the port is in use, bells that
 * nobody takes, segments that are none. */
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_helper.h"
#include "frame.h"
#include "lane_layout.h"

enum { CALLS = 300, CALLERS = 5 };

static struct fake_helper f;
static const uint8_t etf_one[] = {131, 97, 1};

static uint32_t
random_of(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* ---- the enemy ----------------------------------------------------------- */

/* A helper that answers, and strikes at random. */
static struct enemy {
    struct lane_shared *shared;
    uint32_t seed;
    uint32_t mildness; /* it strikes once in so many turns */
    _Atomic int stop;
    pthread_t thread;
} enemy;

static void
blow(struct enemy *e)
{
    volatile uint8_t *p = (volatile uint8_t *)e->shared;
    uint32_t r = random_of(&e->seed);
    size_t at = random_of(&e->seed) % sizeof *e->shared;
    switch (r % 8) {
    case 0: /* anywhere */
        p[at] = (uint8_t)(r >> 8);
        break;
    case 1: /* where it hurts */
        p[at % (2 * sizeof(struct lane_words))] = (uint8_t)(r >> 8);
        break;
    case 2: /* the beginning of a record, perhaps */
        e->shared->up[at % LANE_RING & ~7u] = (uint8_t)(r >> 8);
        break;
    case 3: /* awake, asleep, lying about it */
        atomic_store(&e->shared->helper.asleep, r >> 8 & 3);
        atomic_store(&e->shared->vm.asleep, r >> 10 & 3);
        break;
    case 4:
        atomic_fetch_add(&e->shared->helper.head, (r >> 8 & 15) * 8);
        break;
    case 5:
        atomic_store(&e->shared->helper.tail, e->shared->vm.head);
        break;
    default:
        (void)!send(f.channel.fd, "\1\1\1\2x" + (r >> 8) % 5, 1,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

/* What an honest helper would do, so that the port gets further. */
static void
serve(struct frame_reader *in)
{
    struct frame frame;
    uint8_t *p;
    size_t cap, n = 0;
    while (frame_next(in, &frame) == 0) {
        uint8_t head[WIRE_LIMIT_HEADER_SIZE];
        struct wire_header h = {
            .length = sizeof etf_one, .opcode = WIRE_RESULT, .id = frame.h.id};
        struct iovec v[2] = {{head, sizeof head},
                             {(void *)etf_one, sizeof etf_one}};
        wire_put_header(head, &h);
        if (frame.h.opcode == WIRE_CALL)
            channel_writev(&f.channel, v, 2, &n);
    }
    if (frame_reader_space(in, 1 << 16, &p, &cap) != 0)
        return;
    channel_polled(&f.channel);
    if (channel_read(&f.channel, p, cap, &n) == 0)
        frame_reader_filled(in, n);
}

static void *
fight(void *arg)
{
    struct enemy *e = arg;
    struct frame_reader in;
    frame_reader_init(&in, WIRE_DOWN, WIRE_LIMIT_MAX_FRAME);
    while (!atomic_load(&e->stop)) {
        if (random_of(&e->seed) % e->mildness == 0)
            blow(e);
        serve(&in);
    }
    frame_reader_fini(&in);
    return NULL;
}

static void
start_enemy(uint32_t seed)
{
    enemy.shared = f.channel.lane.shared;
    enemy.seed = seed;
    enemy.mildness = 1u << seed % 18;
    atomic_store(&enemy.stop, 0);
    ck_assert_int_eq(pthread_create(&enemy.thread, NULL, fight, &enemy), 0);
}

static void
stop_enemy(void)
{
    atomic_store(&enemy.stop, 1);
    ck_assert_int_eq(pthread_join(enemy.thread, NULL), 0);
}

/* ---- its victims --------------------------------------------------------- */

static struct call {
    uint64_t id;
    int caller;
    int awaits; /* a message */
} calls[CALLS];
static int messages; /* looked at so far */

/* Each message is an answer that somebody awaits, and is the only one. */
static void
look_at_messages(void)
{
    int which;
    for (; messages < fake_messages(); messages++) {
        const char *text = fake_message(messages);
        if (sscanf(text, "{py_answer,#%d,", &which) != 1)
            continue;
        ck_assert_msg(which >= 0 && which < CALLS && calls[which].awaits,
                      "nobody awaits %s", text);
        calls[which].awaits = 0;
    }
}

static void
submit(int i, uint32_t r)
{
    static const size_t sizes[] = {3, 40, 3000, 65519, 65536, 200000};
    calls[i].caller = 1 + (int)(r % CALLERS);
    fake_set_caller((ErlDrvTermData)calls[i].caller);
    calls[i].id = fake_helper_submit(&f, sizes[(r >> 4) % 6]);
    calls[i].awaits = 0;
    if (calls[i].id == 0)
        return;
    char ref[16];
    snprintf(ref, sizeof ref, "#%d", i);
    if ((r >> 8 & 7) != 0)
        calls[i].awaits =
            fake_helper_attach(&f, calls[i].id, ref) == DRV_REPLY_OK;
}

static void
cancel(struct call *c)
{
    fake_set_caller((ErlDrvTermData)c->caller);
    if (c->id != 0 && fake_helper_cancel(&f, c->id) == DRV_REPLY_DROPPED)
        c->awaits = 0;
}

static void
caller_dies(int caller)
{
    fake_exit_process(f.port, (ErlDrvTermData)caller);
    for (int i = 0; i < CALLS; i++)
        if (calls[i].caller == caller)
            calls[i].id = 0; /* it may or may not have had its answer */
}

static void
something_else(uint32_t r, int made)
{
    uint8_t notice[64] = {WIRE_RELEASE}, reply[64];
    switch (r % 8) {
    case 0:
        cancel(&calls[(r >> 4) % (uint32_t)made]);
        break;
    case 1:
        if ((r >> 4) % 16 == 0)
            caller_dies(1 + (int)(r >> 8) % CALLERS);
        break;
    case 2:
        fake_control(f.port, DRV_OP_NOTICE, notice, sizeof notice, reply, 64);
        break;
    case 3:
        driver_init()->timeout(f.port);
        break;
    default:
        fake_helper_pump(&f);
    }
}

/* Whatever it did, everybody who waits is told that it is over, once. */
static void
all_are_told(void)
{
    uint8_t reply[64];
    fake_control(f.port, DRV_OP_FAIL, etf_one, 3, reply, sizeof reply);
    look_at_messages();
    for (int i = 0; i < CALLS; i++)
        ck_assert(!calls[i].awaits || calls[i].id == 0);
}

START_TEST(a_segment_that_is_scribbled_over)
{
    uint32_t seed = (uint32_t)_i * 7919 + 1;
    memset(calls, 0, sizeof calls);
    messages = 0;
    fake_helper_start_over(&f, 1, 1);
    fake_helper_hello(&f);
    start_enemy(seed);
    for (int i = 0; i < CALLS; i++) {
        submit(i, random_of(&seed));
        something_else(random_of(&seed), i + 1);
        look_at_messages();
    }
    stop_enemy();
    for (int i = 0; i < fake_messages(); i++)
        if (strstr(fake_message(i), "{closed,{protocol,") != NULL)
            ck_assert_int_eq(fake_helper_killed(&f), 1);
    all_are_told();
    ck_assert_int_eq(fake_helper_stop(&f), 0);
}
END_TEST

/* ---- other enmities ------------------------------------------------------ */

/* It always says that it sleeps and takes none of the bells; when the socket
 * is full of them, what is too large for the ring waits, and then goes. */
START_TEST(bells_that_nobody_takes)
{
    enum { ROUNDS = 3000, LARGE = 1 << 20 };
    uint8_t body[8] = {WIRE_RELEASE}, reply[64];
    uint8_t *got = malloc(LARGE);
    size_t n = 0;
    uint64_t seen = 0;
    fake_helper_start_over(&f, 1, 1);
    fake_helper_hello(&f);
    struct lane *l = &f.channel.lane;
    for (int i = 0; i < ROUNDS; i++) {
        atomic_store(&l->shared->helper.asleep, LANE_DATA);
        fake_control(f.port, DRV_OP_NOTICE, body, sizeof body, reply, 64);
        ck_assert_int_eq(reply[0], DRV_REPLY_OK);
        while (lane_read(l, got, LARGE, &n) == 0) /* but no bell */
            continue;
    }
    uint64_t id = fake_helper_submit(&f, LARGE);
    ck_assert(id != 0);
    ck_assert_uint_gt(fake_queue(), 0);
    ck_assert_int_ne(fake_watched(f.inner_socket) & ERL_DRV_WRITE, 0);
    int opcode = -1;
    for (int i = 0; opcode < 0 && i < ROUNDS; i++) { /* some bells each time */
        opcode = fake_helper_take(&f, &seen, got, LARGE, &n);
        fake_helper_pump(&f);
    }
    ck_assert_int_eq(opcode, WIRE_CALL);
    ck_assert(seen == id && n == LARGE);
    ck_assert_uint_eq(fake_queue(), 0);
    free(got);
    ck_assert_int_eq(fake_helper_stop(&f), 0);
}
END_TEST

static int
segment(size_t size, int seals)
{
    int fd = memfd_create("not-a-lane", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

/* No port is opened over what could shrink under it, and none is half open. */
START_TEST(segments_that_are_none)
{
    const int sealed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    const size_t size = sizeof(struct lane_shared);
    int bad[] = {segment(size, 0), segment(size, sealed & ~F_SEAL_SHRINK),
                 segment(4096, sealed), segment(size, sealed & ~F_SEAL_SEAL),
                 open("/dev/zero", O_RDWR)};
    int s[2];
    char args[64];
    fake_begin();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(args, sizeof args, "py_drv helper %d %d %d %d %d -1 3", s[0],
                 s[0], s[0], s[0], bad[i]);
        int before = dup(s[0]);
        close(before);
        ck_assert_ptr_eq(driver_init()->start(NULL, args), ERL_DRV_ERROR_ERRNO);
        int after = dup(s[0]);
        close(after);
        ck_assert_int_eq(before, after); /* no descriptor is left */
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        close(bad[i]);
    close(s[0]);
    close(s[1]);
    ck_assert_int_eq(fake_end(), 0);
}
END_TEST

Suite *make_drv_enemy_suite(void);
Suite *
make_drv_enemy_suite(void)
{
    Suite *suite = suite_create("drv_enemy");
    TCase *t = tcase_create("enemy");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_segment_that_is_scribbled_over, 0, 120);
    tcase_add_test(t, bells_that_nobody_takes);
    tcase_add_test(t, segments_that_are_none);
    suite_add_tcase(suite, t);
    return suite;
}
