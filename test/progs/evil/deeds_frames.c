/* SPDX-License-Identifier: Apache-2.0 */
/* deeds_frames.c - headers that lie, and frames that do not end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evil.h"

static const uint8_t one[] = {131, 97, 1};

static void
zero_field(struct evil *e)
{
    evil_header(e, sizeof one, WIRE_RESULT, 0, 1, e->id);
    evil_say(e, one, sizeof one);
}

static void
unknown_opcode(struct evil *e)
{
    evil_frame(e, 200, e->id, one, sizeof one);
}

static void
opcode_of_the_vm(struct evil *e)
{
    evil_frame(e, WIRE_CALL, e->id, one, sizeof one);
}

static void
flags_upwards(struct evil *e)
{
    evil_header(e, sizeof one, WIRE_RESULT, WIRE_FLAG_NESTED, 0, e->id);
    evil_say(e, one, sizeof one);
}

static void
body_where_none_is(struct evil *e)
{
    evil_frame(e, WIRE_CANCELLED, e->id, one, sizeof one);
}

static void
no_body(struct evil *e)
{
    evil_header(e, 0, WIRE_RESULT, 0, 0, e->id);
}

static void
announce_too_much(struct evil *e)
{
    evil_header(e, 0xFFFFFFFF, WIRE_RESULT, 0, 0, e->id);
}

/* The suite's limit is a MiB. */
static void
just_over_the_limit(struct evil *e)
{
    evil_header(e, (1 << 20) + 1, WIRE_RESULT, 0, 0, e->id);
}

/* A binary of 2 GiB less a little: all is right, but it never comes. */
static void
announce_2g(struct evil *e)
{
    static const uint8_t head[] = {131, 109, 0x7F, 0xFF, 0xFF, 0xFA, 'x'};
    evil_header(e, 0x7FFFFFFF, WIRE_RESULT, 0, 0, e->id);
    evil_say(e, head, sizeof head);
}

static void
half_a_header(struct evil *e)
{
    static const uint8_t part[7] = {3, 0, 0, 0, WIRE_RESULT};
    evil_say(e, part, sizeof part);
}

static void
one_byte_short(struct evil *e)
{
    evil_header(e, sizeof one, WIRE_RESULT, 0, 0, e->id);
    evil_say(e, one, sizeof one - 1);
}

static void
drip(struct evil *e)
{
    static const uint8_t head[] = {131, 109, 0, 0, 0xFF, 0};
    evil_header(e, 0xFF00 + sizeof head, WIRE_RESULT, 0, 0, e->id);
    evil_say(e, head, sizeof head);
    for (;;) {
        evil_sleep_ms(20);
        evil_say(e, "x", 1);
    }
}

static void
dies_in_a_frame(struct evil *e)
{
    evil_header(e, 1000, WIRE_RESULT, 0, 0, e->id);
    evil_say(e, one, sizeof one);
    _exit(3);
}

/* As much of an answer of 200 bytes as the file `cut' says, and death. */
static void
cut_off(struct evil *e)
{
    static uint8_t frame[WIRE_LIMIT_HEADER_SIZE + 200];
    static const uint8_t head[] = {131, 109, 0, 0, 0, 194};
    struct wire_header h = {200, WIRE_RESULT, 0, 0, e->id};
    char path[512];
    unsigned n = 0;
    snprintf(path, sizeof path, "%s/cut", getenv("EVIL_DIR"));
    FILE *f = fopen(path, "r");
    if (f == NULL || fscanf(f, "%u", &n) != 1 || n > sizeof frame)
        evil_broken("cannot read how much");
    wire_put_header(frame, &h);
    memcpy(frame + WIRE_LIMIT_HEADER_SIZE, head, sizeof head);
    evil_say(e, frame, n);
    _exit(3);
}

static void
noise(struct evil *e)
{
    uint8_t bytes[4096];
    for (;;) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)rand();
        evil_say(e, bytes, sizeof bytes);
    }
}

static void
deep_while_growing(struct evil *e)
{
    static const uint8_t head[] = {131}, level[] = {108, 0, 0, 0, 1};
    evil_header(e, 900000, WIRE_RESULT, 0, 0, e->id);
    evil_say(e, head, sizeof head);
    for (int i = 0; i < 150000; i++)
        evil_say(e, level, sizeof level);
}

const struct deed deeds_frames[] = {
    {"zero_field", zero_field},
    {"unknown_opcode", unknown_opcode},
    {"opcode_of_the_vm", opcode_of_the_vm},
    {"flags_upwards", flags_upwards},
    {"body_where_none_is", body_where_none_is},
    {"no_body", no_body},
    {"announce_too_much", announce_too_much},
    {"just_over_the_limit", just_over_the_limit},
    {"announce_2g", announce_2g},
    {"half_a_header", half_a_header},
    {"one_byte_short", one_byte_short},
    {"drip", drip},
    {"dies_in_a_frame", dies_in_a_frame},
    {"cut_off", cut_off},
    {"noise", noise},
    {"deep_while_growing", deep_while_growing},
    {NULL, NULL},
};
