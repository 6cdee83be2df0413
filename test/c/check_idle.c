/* SPDX-License-Identifier: Apache-2.0 */
/* check_idle.c - a helper's main thread and its other threads wait on one
 * lane: who arms it for whom. */
#include "pysupport_helper.h"

#include <poll.h>

#include "err.h"
#include "idle.h"
#include "support_check.h"
#include "support_lane.h"

static void
fill(struct channel *c)
{
    static char page[4096];
    struct iovec v = {page, sizeof page};
    size_t n;
    int e;
    do
        e = channel_writev(c, &v, 1, &n);
    while (e == 0);
    ck_err(e, E_AGAIN);
}

static void
drain(struct channel *c)
{
    char page[4096];
    size_t n;
    int e;
    do
        e = channel_read(c, page, sizeof page, &n);
    while (e == 0);
    ck_err(e, E_AGAIN);
}

static int
nudged(const struct idle *w)
{
    struct pollfd p = {.fd = w->nudge.fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* A thread that has read arms the lane again.  When there is room by then, for
 * which the main thread sleeps, the main thread is told; the thread is not told
 * for ever that there is something. */
START_TEST(room_is_the_main_threads)
{
    struct channel vm, helper;
    struct idle w = {.nudge.fd = -1, .others = 1};
    short events;
    lane_pair(&vm, &helper);
    ck_ok(nudge_open(&w.nudge));
    fill(&helper);
    ck_assert_int_eq(idle_arm(&w, &helper, CHANNEL_WRITE, &events), 0);
    ck_assert_int_eq(idle_arm_for_others(&w, &helper), 0);
    ck_assert_int_eq(nudged(&w), 0);
    drain(&vm);
    ck_assert_int_eq(idle_arm_for_others(&w, &helper), 1);
    ck_assert_int_eq(nudged(&w), 1);
    ck_assert_int_eq(idle_arm_for_others(&w, &helper), 0);
    /* It sleeps for room once more, and what comes is still seen. */
    idle_disarm(&w, &helper);
    fill(&helper);
    ck_assert_int_eq(idle_arm(&w, &helper, CHANNEL_WRITE, &events), 0);
    ck_ok(channel_writev(&vm, &(struct iovec){"word", 4}, 1, &(size_t){0}));
    ck_assert_int_eq(idle_arm_for_others(&w, &helper), 1);
    nudge_close(&w.nudge);
    channel_close(&vm);
    channel_close(&helper);
}
END_TEST

Suite *
make_idle_suite(void)
{
    Suite *s = suite_create("idle");
    TCase *c = tcase_create("idle");
    tcase_add_test(c, room_is_the_main_threads);
    suite_add_tcase(s, c);
    return s;
}
