/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_frame.c - any bytes through the frame reader, twice: at once, and in
 * pieces.  Both must give the same frames and the same end.
 *
 * Input: a byte of direction and options, a byte of seed for the pieces, then
 * the stream. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "frame.h"

enum { MAX_BODY = 5000 };

struct outcome {
    int end; /* the error after the last frame */
    unsigned frames;
    uint64_t sum;
};

static void
add(struct outcome *o, const void *p, size_t n)
{
    const uint8_t *bytes = p;
    for (size_t i = 0; i < n; i++)
        o->sum = (o->sum ^ bytes[i]) * 0x100000001b3u;
}

static void
check(int holds)
{
    if (!holds)
        abort();
}

/* Take the frames there are; each must be one that may come this way. */
static void
drain(struct frame_reader *r, struct outcome *o)
{
    struct frame f;
    while ((o->end = frame_next(r, &f)) == 0) {
        const struct wire_frame_info *info = wire_info(f.h.opcode);
        check(info->name != NULL && (info->direction & r->direction) != 0);
        check(f.h.length <= MAX_BODY);
        check(info->body != WIRE_BODY_none || f.h.length == 0);
        o->frames++;
        add(o, &f.h, sizeof f.h);
        add(o, f.body, f.h.length);
    }
}

static struct outcome
run(uint8_t direction, const uint8_t *p, size_t n, uint32_t seed)
{
    struct outcome o = {.end = E_AGAIN};
    struct frame_reader r;
    uint8_t *to;
    size_t cap;
    frame_reader_init(&r, direction, MAX_BODY);
    for (size_t at = 0; at < n && o.end == E_AGAIN;) {
        size_t k = seed == 0 ? n : 1 + (seed = seed * 75 + 74) % 97;
        k = k < n - at ? k : n - at;
        check(frame_reader_space(&r, k, &to, &cap) == 0 && cap >= k);
        memcpy(to, p + at, k);
        frame_reader_filled(&r, k);
        check(r.in.cap <= 256 + 2 * (n + 97));
        at += k;
        drain(&r, &o);
    }
    frame_reader_fini(&r);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint8_t direction = data[0] & 1 ? WIRE_UP : WIRE_DOWN;
    struct outcome whole = run(direction, data + 2, size - 2, 0);
    struct outcome parts = run(direction, data + 2, size - 2, 1u + data[1]);
    check(whole.end == parts.end && whole.frames == parts.frames);
    check(whole.sum == parts.sum);
    return 0;
}
