/* SPDX-License-Identifier: Apache-2.0 */
/* deeds_floods.c - more of something than anybody can want; and silence. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evil.h"

enum { BIG = 900000 };

static void
flood_answers(struct evil *e)
{
    for (;;)
        evil_answer(e, e->id);
}

static void
flood_hellos(struct evil *e)
{
    for (;;)
        evil_hello(e, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT);
}

static void
flood_pipe(int fd)
{
    static char line[65536];
    memset(line, 'x', sizeof line);
    for (size_t i = 100; i < sizeof line; i += 100)
        line[i] = '\n';
    for (;;)
        if (write(fd, line, sizeof line) < 0)
            evil_wait();
}

static void
flood_stdout(struct evil *e)
{
    (void)e;
    flood_pipe(1);
}

static void
flood_stderr(struct evil *e)
{
    (void)e;
    flood_pipe(2);
}

/* One line without an end. */
static void
flood_line(struct evil *e)
{
    static char line[65536];
    (void)e;
    memset(line, 'x', sizeof line);
    for (;;)
        if (write(1, line, sizeof line) < 0)
            evil_wait();
}

/* To a number that nobody has. */
static void
flood_sends(struct evil *e)
{
    static const uint8_t body[] = {131, 104, 2, 97, 9, 97, 1};
    for (;;)
        evil_frame(e, WIRE_SEND, 0, body, sizeof body);
}

static void
flood_big_sends(struct evil *e)
{
    uint8_t *p = calloc(1, BIG);
    memcpy(p, (uint8_t[]){131, 104, 2, 97, 9, 109, 0}, 7);
    p[7] = (BIG - 10) >> 16;
    p[8] = (BIG - 10) >> 8 & 255;
    p[9] = (BIG - 10) & 255;
    for (;;)
        evil_frame(e, WIRE_SEND, 0, p, BIG);
}

/* A question for the function "f", with a binary of n bytes. */
static size_t
question(uint8_t *to, uint64_t number, size_t n)
{
    size_t k = evil_question(to, number);
    memcpy(to + k, (uint8_t[]){109, 0, 0, 0, 1, 'f', 108, 0, 0, 0, 1, 109, 0},
           13);
    k += 13;
    to[k++] = (uint8_t)(n >> 16);
    to[k++] = (uint8_t)(n >> 8);
    to[k++] = (uint8_t)n;
    k += n;
    memcpy(to + k, (uint8_t[]){106, 116, 0, 0, 0, 0}, 6);
    return k + 6;
}

static void
flood_questions(struct evil *e, uint64_t id, size_t each)
{
    uint8_t *p = calloc(1, each + 64);
    for (uint64_t i = 1;; i++) {
        size_t n = question(p, i, each);
        evil_frame(e, WIRE_CALLBACK, id, p, n);
    }
}

static void
flood_callbacks(struct evil *e)
{
    flood_questions(e, e->id, 10);
}

static void
flood_big_callbacks(struct evil *e)
{
    flood_questions(e, e->id, BIG);
}

static void
flood_unasked(struct evil *e)
{
    flood_questions(e, 0, 10);
}

static void
flood_big_unasked(struct evil *e)
{
    flood_questions(e, 0, BIG);
}

/* A question of few bytes, whose answer nobody reads. */
static void
flood_unread(struct evil *e)
{
    uint8_t q[128];
    for (uint64_t i = 1;; i++) {
        size_t k = evil_question(q, i);
        memcpy(q + k,
               (uint8_t[]){109, 0, 0, 0, 5, 'l', 'a', 'r', 'g', 'e', 106, 116,
                           0, 0, 0, 0},
               16);
        evil_frame(e, WIRE_CALLBACK, 0, q, k + 16);
    }
}

static void
never_reads(struct evil *e)
{
    (void)e;
}

const struct deed deeds_floods[] = {
    {"flood_answers", flood_answers},
    {"flood_hellos", flood_hellos},
    {"flood_stdout", flood_stdout},
    {"flood_stderr", flood_stderr},
    {"flood_line", flood_line},
    {"flood_sends", flood_sends},
    {"flood_big_sends", flood_big_sends},
    {"flood_callbacks", flood_callbacks},
    {"flood_big_callbacks", flood_big_callbacks},
    {"flood_unasked", flood_unasked},
    {"flood_big_unasked", flood_big_unasked},
    {"flood_unread", flood_unread},
    {"never_reads", never_reads},
    {NULL, NULL},
};
