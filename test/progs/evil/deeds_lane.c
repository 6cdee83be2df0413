/* SPDX-License-Identifier: Apache-2.0 */
/* deeds_lane.c - numbers of the lane that lie, and hands on its memory. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "evil.h"

static struct lane_words *
mine(struct evil *e)
{
    return &e->channel.lane.shared->helper;
}

/* Let the VM look at what was done. */
static void
bell(struct evil *e)
{
    static const uint8_t item = LANE_BELL;
    (void)!send(e->sock, &item, 1, MSG_NOSIGNAL);
}

static void
add_head(struct evil *e, uint64_t n)
{
    atomic_fetch_add(&mine(e)->head, n);
    bell(e);
}

static void
head_back(struct evil *e)
{
    add_head(e, (uint64_t)-8);
}

static void
head_beyond(struct evil *e)
{
    add_head(e, LANE_RING + 8);
}

static void
head_odd(struct evil *e)
{
    add_head(e, 3);
}

static void
head_far(struct evil *e)
{
    add_head(e, 1ull << 63);
}

/* The VM sees its own words move: it looks when it next writes. */
static void
tail_beyond(struct evil *e)
{
    atomic_store(&mine(e)->tail, (uint64_t)1 << 40);
    evil_answer(e, e->id);
}

static void
tail_back(struct evil *e)
{
    atomic_store(&mine(e)->tail, (uint64_t)-64);
    evil_answer(e, e->id);
}

/* A record's header at the ring's end, and the head moved by `size`. */
static void
record(struct evil *e, uint32_t length, uint32_t kind, uint64_t size)
{
    struct lane_shared *s = e->channel.lane.shared;
    uint64_t at = atomic_load(&s->helper.head);
    uint32_t words[2] = {length, kind};
    memcpy(s->up + at % LANE_RING, words, sizeof words);
    add_head(e, size);
}

static void
record_too_long(struct evil *e)
{
    record(e, 1 << 16, 0, 64);
}

static void
record_of_4g(struct evil *e)
{
    record(e, 0xFFFFFFFF, 0, 64);
}

static void
record_unknown_kind(struct evil *e)
{
    record(e, 8, 77, 16);
}

/* A marker for bytes that never come; and one for more than any frame has. */
static void
marker_of_4g(struct evil *e)
{
    record(e, 0xFFFFFFFF, RING_MARKER, 8);
}

static void
marker_of_nothing(struct evil *e)
{
    record(e, 0, RING_MARKER, 8);
}

static void
markers_for_ever(struct evil *e)
{
    for (;;) {
        record(e, 0, RING_MARKER, 8);
        evil_sleep_ms(1);
    }
}

static void
bulk_unmarked(struct evil *e)
{
    static const uint8_t items[] = {LANE_BULK, 1, 2, 3, 4};
    (void)!send(e->sock, items, sizeof items, MSG_NOSIGNAL);
}

static void
item_unknown(struct evil *e)
{
    (void)!send(e->sock, "\7", 1, MSG_NOSIGNAL);
}

/* Bells as fast as they go. */
static void
bells(struct evil *e)
{
    static const uint8_t many[] = {1, 1, 1, 1, 1, 1, 1, 1,
                                   1, 1, 1, 1, 1, 1, 1, 1};
    for (;;)
        if (send(e->sock, many, sizeof many, MSG_NOSIGNAL) < 0)
            evil_wait();
}

static void
scribble(struct evil *e)
{
    volatile uint8_t *p = (volatile uint8_t *)e->channel.lane.shared;
    uint32_t r = 12345;
    for (uint32_t i = 0;; i++) {
        r = r * 1664525u + 1013904223u;
        p[(r >> 8) % sizeof(struct lane_shared)] = (uint8_t)(r >> 3);
        if (i % 64 == 0)
            p[(r >> 4) % 256] = (uint8_t)r; /* where the words are */
        if (i % 1024 == 0)
            bell(e);
    }
}

/* The body changes under the reader's hands: whatever it sees, it must have
 * checked what it passes on. */
static void
change_while_read(struct evil *e)
{
    static const uint8_t good[] = {131, 97, 42};
    struct lane_shared *s = e->channel.lane.shared;
    volatile uint8_t *tag =
        s->up + (atomic_load(&s->helper.head) + RING_HEADER +
                 WIRE_LIMIT_HEADER_SIZE + RING_HEADER + 1) %
                    LANE_RING;
    evil_frame(e, WIRE_RESULT, e->id, good, sizeof good);
    for (int i = 0; i < 10000000; i++)
        *tag = i & 1 ? 97 : 80;
}

/* Seals: whatever of this works, the VM would die of SIGBUS. */
static void
resize(struct evil *e)
{
    off_t sizes[] = {0, 4096, 1 << 30};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (ftruncate(e->segment, sizes[i]) == 0 || errno != EPERM)
            _exit(EVIL_SUCCEEDED);
    if (fcntl(e->segment, F_ADD_SEALS, F_SEAL_WRITE) == 0)
        _exit(EVIL_SUCCEEDED);
    if (fallocate(e->segment, 0, 0, 1 << 30) == 0)
        _exit(EVIL_SUCCEEDED);
    evil_answer(e, e->id);
    evil_serve(e);
}

/* A hole may be punched: then the memory is zeroes. */
static void
punch(struct evil *e)
{
    if (fallocate(e->segment, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                  sizeof(struct lane_shared)) != 0)
        evil_broken("no hole");
    for (int i = 0; i < 100; i++) {
        bell(e);
        evil_sleep_ms(1);
    }
}

/* It says that it never sleeps, or always does. */
static void
asleep_lies(struct evil *e)
{
    for (int i = 0; i < 1000; i++) {
        atomic_store(&mine(e)->asleep, (uint32_t)i * 2654435761u);
        atomic_store(&e->channel.lane.shared->vm.asleep, (uint32_t)~i);
    }
    evil_answer(e, e->id);
    bell(e);
    evil_serve(e);
}

const struct deed deeds_lane[] = {
    {"head_back", head_back},
    {"head_beyond", head_beyond},
    {"head_odd", head_odd},
    {"head_far", head_far},
    {"tail_beyond", tail_beyond},
    {"tail_back", tail_back},
    {"record_too_long", record_too_long},
    {"record_of_4g", record_of_4g},
    {"record_unknown_kind", record_unknown_kind},
    {"marker_of_4g", marker_of_4g},
    {"marker_of_nothing", marker_of_nothing},
    {"markers_for_ever", markers_for_ever},
    {"bulk_unmarked", bulk_unmarked},
    {"item_unknown", item_unknown},
    {"bells", bells},
    {"scribble", scribble},
    {"change_while_read", change_while_read},
    {"resize", resize},
    {"punch", punch},
    {"asleep_lies", asleep_lies},
    {NULL, NULL},
};
