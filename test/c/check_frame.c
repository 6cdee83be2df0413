/* SPDX-License-Identifier: Apache-2.0 */
/* check_frame.c - the stream cut anywhere gives the same frames; nothing that
 * a peer announces costs memory before it arrives. */
#include <string.h>

#include "frame.h"
#include "support_check.h"

enum { MAX_BODY = 1 << 20 };

struct sent {
    uint8_t opcode;
    uint32_t length;
};

/* What a helper might say. */
static const struct sent story[] = {
    {WIRE_HELLO, 40},  {WIRE_RESULT, 2},     {WIRE_CANCELLED, 0},
    {WIRE_ERROR, 300}, {WIRE_RESULT, 0},     {WIRE_RESULT, 9000},
    {WIRE_RESULT, 15}, {WIRE_RESULT, 20000}, {WIRE_CANCELLED, 0},
};
enum { FRAMES = sizeof story / sizeof story[0] };

static void
put_frame(struct buf *b, uint8_t opcode, uint32_t length, uint64_t id)
{
    uint8_t p[WIRE_LIMIT_HEADER_SIZE];
    wire_put_header(
        p, &(struct wire_header){.length = length, .opcode = opcode, .id = id});
    ck_ok(buf_put(b, p, sizeof p));
    ck_ok(buf_reserve(b, length));
    for (uint32_t i = 0; i < length; i++)
        b->data[b->len++] = (uint8_t)(id * 7 + i);
}

static void
put_story(struct buf *b)
{
    buf_init(b, 1 << 24);
    for (int i = 0; i < FRAMES; i++)
        put_frame(b, story[i].opcode, story[i].length, (uint64_t)i);
}

/* Give it n bytes. */
static int
feed(struct frame_reader *r, const uint8_t *p, size_t n)
{
    uint8_t *to;
    size_t cap;
    int e = frame_reader_space(r, n, &to, &cap);
    if (e != 0)
        return e;
    ck_assert_uint_ge(cap, n);
    if (n != 0)
        memcpy(to, p, n);
    frame_reader_filled(r, n);
    return 0;
}

static void
expect(const struct frame *f, int i)
{
    ck_assert_uint_eq(f->h.opcode, story[i].opcode);
    ck_assert_uint_eq(f->h.length, story[i].length);
    ck_assert_uint_eq(f->h.id, i);
    for (uint32_t k = 0; k < f->h.length; k++)
        if (f->body[k] != (uint8_t)(i * 7 + (int)k))
            ck_abort_msg("frame %d, byte %u", i, k);
}

START_TEST(any_chunks_give_the_same_frames)
{
    static const size_t chunks[] = {1, 2, 3, 5, 15, 16, 17, 4096, SIZE_MAX};
    struct buf stream;
    put_story(&stream);
    for (size_t c = 0; c < sizeof chunks / sizeof chunks[0]; c++) {
        struct frame_reader r;
        struct frame f;
        int i = 0, e;
        frame_reader_init(&r, WIRE_UP, MAX_BODY);
        for (size_t at = 0; at < stream.len;) {
            size_t n = stream.len - at;
            n = n < chunks[c] ? n : chunks[c];
            ck_ok(feed(&r, stream.data + at, n));
            at += n;
            while ((e = frame_next(&r, &f)) == 0)
                expect(&f, i++);
            ck_err(e, E_AGAIN);
        }
        ck_assert_int_eq(i, FRAMES);
        frame_reader_fini(&r);
    }
    buf_fini(&stream);
}
END_TEST

/* The verdict on one header, for a reader that accepts `direction`. */
static int
verdict(uint8_t direction, uint8_t opcode, uint32_t length)
{
    struct frame_reader r;
    struct frame f;
    uint8_t p[WIRE_LIMIT_HEADER_SIZE];
    wire_put_header(p,
                    &(struct wire_header){.length = length, .opcode = opcode});
    frame_reader_init(&r, direction, 1000);
    ck_ok(feed(&r, p, sizeof p));
    int e = frame_next(&r, &f);
    ck_err(frame_next(&r, &f), e); /* final, or the same wish for more */
    frame_reader_fini(&r);
    return e;
}

START_TEST(headers_that_make_no_sense_are_final)
{
    ck_err(verdict(WIRE_UP, WIRE_CALL, 5), E_FORMAT);
    ck_err(verdict(WIRE_DOWN, WIRE_RESULT, 5), E_FORMAT);
    ck_err(verdict(WIRE_UP, 200, 5), E_FORMAT);
    ck_err(verdict(WIRE_UP, 0, 0), E_FORMAT);
    ck_err(verdict(WIRE_UP, WIRE_CANCELLED, 1), E_FORMAT);
    ck_err(verdict(WIRE_DOWN, WIRE_CANCEL, 1), E_FORMAT);
    ck_err(verdict(WIRE_UP, WIRE_RESULT, 1001), E_LIMIT);
    ck_err(verdict(WIRE_UP, WIRE_RESULT, 0x80000000), E_LIMIT);
    ck_err(verdict(WIRE_UP, WIRE_HELLO, WIRE_LIMIT_MAX_CONTROL + 1), E_LIMIT);
    ck_err(verdict(WIRE_UP, WIRE_RESULT, 1000), E_AGAIN);
    ck_err(verdict(WIRE_DOWN, WIRE_CALL, 1000), E_AGAIN);
}
END_TEST

START_TEST(the_zero_field_must_be_zero)
{
    struct frame_reader r;
    struct frame f;
    uint8_t p[WIRE_LIMIT_HEADER_SIZE] = {0, 0, 0, 0, WIRE_RESULT, 0, 1, 0};
    frame_reader_init(&r, WIRE_UP, 1000);
    ck_ok(feed(&r, p, sizeof p));
    ck_err(frame_next(&r, &f), E_FORMAT);
    frame_reader_fini(&r);
}
END_TEST

START_TEST(announced_lengths_cost_nothing)
{
    struct frame_reader r;
    struct frame f;
    uint8_t p[WIRE_LIMIT_HEADER_SIZE];
    wire_put_header(p, &(struct wire_header){.length = WIRE_LIMIT_MAX_FRAME,
                                             .opcode = WIRE_RESULT});
    frame_reader_init(&r, WIRE_UP, WIRE_LIMIT_MAX_FRAME);
    ck_ok(feed(&r, p, sizeof p));
    ck_err(frame_next(&r, &f), E_AGAIN);
    ck_assert_uint_lt(r.in.cap, 4096);
    for (int i = 0; i < 1000; i++) {
        ck_ok(feed(&r, p, sizeof p));
        ck_err(frame_next(&r, &f), E_AGAIN);
    }
    ck_assert_uint_le(r.in.cap, 2 * r.in.len);
    frame_reader_fini(&r);
}
END_TEST

START_TEST(a_large_frame_gives_its_memory_back)
{
    struct buf stream;
    struct frame_reader r;
    struct frame f;
    uint8_t *to;
    size_t cap;
    buf_init(&stream, 1 << 26);
    put_frame(&stream, WIRE_RESULT, 5 << 20, 1);
    frame_reader_init(&r, WIRE_UP, 5 << 20);
    ck_ok(feed(&r, stream.data, stream.len));
    ck_ok(frame_next(&r, &f));
    ck_assert_uint_gt(r.in.cap, 5 << 20);
    ck_ok(frame_reader_space(&r, 16, &to, &cap));
    ck_assert_uint_lt(r.in.cap, 1 << 20);
    frame_reader_fini(&r);
    buf_fini(&stream);
}
END_TEST

/* Room for the largest frame there may be, and a read beyond it. */
START_TEST(the_buffer_ends_where_the_limit_does)
{
    struct frame_reader r;
    uint8_t *to;
    size_t cap;
    frame_reader_init(&r, WIRE_UP, 1000);
    ck_ok(frame_reader_space(&r, 1000 + 16 + (1 << 20), &to, &cap));
    ck_err(frame_reader_space(&r, 1000 + 16 + (1 << 20) + 1, &to, &cap),
           E_LIMIT);
    frame_reader_fini(&r);
}
END_TEST

static int
read_story(void)
{
    struct buf stream = {0};
    struct frame_reader r;
    struct frame f;
    int i = 0, e = 0;
    uint8_t bytes[200] = {0};
    wire_put_header(
        bytes, &(struct wire_header){.length = 100, .opcode = WIRE_RESULT});
    buf_init(&stream, 1 << 20);
    frame_reader_init(&r, WIRE_UP, 1000);
    for (; i < 20 && e == 0; i++) {
        struct buf before = r.in;
        e = feed(&r, bytes, 116);
        if (e == 0)
            ck_ok(frame_next(&r, &f));
        else
            ck_assert_uint_eq(r.in.len, before.len);
    }
    frame_reader_fini(&r);
    buf_fini(&stream);
    return e;
}

START_TEST(without_memory_it_says_so)
{
    each_allocation_fails(read_story);
}
END_TEST

/* Flipped bits and cut streams: an error or other frames, never a crash, and
 * never more bytes out than went in. */
START_TEST(mutated_streams_do_no_harm)
{
    struct buf stream;
    uint32_t seed = 12345;
    buf_init(&stream, 1 << 20);
    for (uint64_t i = 0; i < 8; i++)
        put_frame(&stream, story[i % 5].opcode, story[i % 5].length, i);
    for (int round = 0; round < 3000; round++) {
        struct frame_reader r;
        struct frame f;
        size_t at = next_random(&seed) % stream.len, taken = 0;
        size_t n = next_random(&seed) % (stream.len + 1);
        uint8_t saved = stream.data[at];
        stream.data[at] ^= (uint8_t)(1u << next_random(&seed) % 8);
        frame_reader_init(&r, WIRE_UP, 1000);
        ck_ok(feed(&r, stream.data, n));
        while (frame_next(&r, &f) == 0)
            taken += WIRE_LIMIT_HEADER_SIZE + f.h.length;
        ck_assert_uint_le(taken, n);
        frame_reader_fini(&r);
        stream.data[at] = saved;
    }
    buf_fini(&stream);
}
END_TEST

Suite *
make_frame_suite(void)
{
    const TTest *const tests[] = {any_chunks_give_the_same_frames,
                                  headers_that_make_no_sense_are_final,
                                  the_zero_field_must_be_zero,
                                  announced_lengths_cost_nothing,
                                  a_large_frame_gives_its_memory_back,
                                  the_buffer_ends_where_the_limit_does,
                                  without_memory_it_says_so,
                                  mutated_streams_do_no_harm,
                                  NULL};
    return suite_of("frame", tests, 30);
}
