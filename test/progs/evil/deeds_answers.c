/* SPDX-License-Identifier: Apache-2.0 */
/* deeds_answers.c - answers to what was not asked, or not of this helper, and
 * questions that cannot be. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evil.h"

static const uint8_t one[] = {131, 97, 1};

static void
id_unknown(struct evil *e)
{
    evil_answer(e, e->id ^ 0x5555555555555555);
}

static void
id_zero(struct evil *e)
{
    evil_answer(e, 0);
}

static void
id_next(struct evil *e)
{
    evil_answer(e, e->id + 1);
}

static void
guess_ids(struct evil *e)
{
    for (uint64_t i = 1;; i++)
        evil_answer(e, e->id + i * 0x9E3779B97F4A7C15);
}

/* The first answer is right, so the caller has it; the second is nobody's. */
static void
answer_twice(struct evil *e)
{
    evil_answer(e, e->id);
    evil_answer(e, e->id);
}

static void
answer_then_callback(struct evil *e)
{
    uint8_t q[64];
    size_t n = evil_question(q, 1);
    memcpy(q + n, (uint8_t[]){109, 0, 0, 0, 1, 'f', 106, 116, 0, 0, 0, 0}, 12);
    evil_answer(e, e->id);
    evil_frame(e, WIRE_CALLBACK, e->id, q, n + 12);
}

static void
second_hello(struct evil *e)
{
    evil_hello(e, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT);
}

static void
boot_frame_up(struct evil *e)
{
    static const uint8_t empty = 0x80;
    evil_frame(e, WIRE_BOOT, 0, &empty, 1);
}

static void
started_unknown(struct evil *e)
{
    evil_frame(e, WIRE_STARTED, e->id + 1, NULL, 0);
}

static void
started_again(struct evil *e)
{
    for (;;)
        evil_frame(e, WIRE_STARTED, e->id, NULL, 0);
}

static void
detached_unasked(struct evil *e)
{
    for (;;)
        evil_frame(e, WIRE_DETACHED, e->id, NULL, 0);
}

static void
cancelled_unasked(struct evil *e)
{
    evil_frame(e, WIRE_CANCELLED, e->id, NULL, 0);
    evil_serve(e);
}

static void
error_is_none(struct evil *e)
{
    evil_frame(e, WIRE_ERROR, e->id, one, sizeof one);
}

/* ---- a file by which two helpers agree ----------------------------------- */

static void
shared_path(char *to, size_t n)
{
    const char *dir = getenv("EVIL_DIR");
    snprintf(to, n, "%s/id", dir != NULL ? dir : "/nowhere");
}

/* Tell the other one our request's id, and answer once it has tried: then the
 * suite removes the file. */
static void
victim(struct evil *e)
{
    char path[4096];
    shared_path(path, sizeof path);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (fd < 0 || write(fd, &e->id, sizeof e->id) != sizeof e->id)
        evil_broken("cannot publish");
    close(fd);
    while (access(path, F_OK) == 0)
        evil_sleep_ms(5);
    evil_answer(e, e->id);
    evil_serve(e);
}

static void
steal_id(struct evil *e)
{
    char path[4096];
    uint64_t id;
    int fd;
    shared_path(path, sizeof path);
    while ((fd = open(path, O_RDONLY)) < 0)
        evil_sleep_ms(5);
    while (pread(fd, &id, sizeof id, 0) != sizeof id)
        evil_sleep_ms(5);
    evil_frame(e, WIRE_RESULT, id, one, sizeof one);
}

/* ---- after a CANCEL ------------------------------------------------------ */

static uint64_t
await_cancel(struct evil *e)
{
    uint64_t id = e->id;
    evil_frame(e, WIRE_STARTED, id, NULL, 0);
    do
        evil_next(e);
    while (e->opcode != WIRE_CANCEL || e->id != id);
    return id;
}

static void
late_answer(struct evil *e)
{
    evil_answer(e, await_cancel(e));
    evil_serve(e);
}

static void
late_answer_twice(struct evil *e)
{
    uint64_t id = await_cancel(e);
    evil_answer(e, id);
    evil_answer(e, id);
}

static void
deaf_to_interrupts(struct evil *e)
{
    (void)await_cancel(e);
}

/* ---- callbacks ----------------------------------------------------------- */

static void
callback_no_question(struct evil *e)
{
    evil_frame(e, WIRE_CALLBACK, e->id, one, sizeof one);
}

/* Its number has no highest bit: then it could be of another form. */
static void
callback_small_number(struct evil *e)
{
    uint8_t q[64];
    size_t n = evil_question(q, 1);
    q[n - 1] = 0;
    memcpy(q + n, (uint8_t[]){109, 0, 0, 0, 1, 'f', 106, 116, 0, 0, 0, 0}, 12);
    evil_frame(e, WIRE_CALLBACK, e->id, q, n + 12);
}

static void
callback_of_another(struct evil *e)
{
    uint8_t q[64];
    size_t n = evil_question(q, 1);
    memcpy(q + n, (uint8_t[]){109, 0, 0, 0, 1, 'f', 106, 116, 0, 0, 0, 0}, 12);
    evil_frame(e, WIRE_CALLBACK, e->id + 2, q, n + 12);
}

/* Arguments and names of the wrong kind; each is answered by RAISED. */
static void
callback_odd_terms(struct evil *e)
{
    static const uint8_t odd[][12] = {
        {97, 1, 97, 1, 97, 1},                    /* 1, 1, 1 */
        {106, 106, 106},                          /* [], [], [] */
        {109, 0, 0, 0, 1, 0xFF, 97, 1, 106},      /* <<255>>, 1, [] */
        {104, 0, 106, 116, 0, 0, 0, 0},           /* {}, [], #{} */
        {119, 2, 'o', 'k', 106, 116, 0, 0, 0, 0}, /* ok, [], #{} */
    };
    static const size_t len[] = {6, 3, 9, 8, 10};
    uint8_t q[64];
    uint64_t id = e->id;
    size_t n = evil_question(q, 7);
    for (size_t i = 0; i < sizeof len / sizeof len[0]; i++) {
        memcpy(q + n, odd[i], len[i]);
        evil_frame(e, WIRE_CALLBACK, id, q, n + len[i]);
        evil_sleep_ms(20);
    }
    evil_answer(e, id);
    evil_serve(e);
}

static void
send_no_pair(struct evil *e)
{
    static const uint8_t bodies[][8] = {
        {131, 97, 0},                /* 0 */
        {131, 104, 2, 97, 0, 97, 0}, /* {0, 0} */
        {131, 104, 2, 106, 106},     /* {[], []} */
        {131, 104, 2, 97, 9, 106},   /* {9, []}: nobody has this number */
    };
    static const size_t len[] = {3, 7, 5, 6};
    for (int k = 0; k < 100; k++)
        for (size_t i = 0; i < sizeof len / sizeof len[0]; i++)
            evil_frame(e, WIRE_SEND, 0, bodies[i], len[i]);
    evil_answer(e, e->id);
    evil_serve(e);
}

const struct deed deeds_answers[] = {
    {"id_unknown", id_unknown},
    {"id_zero", id_zero},
    {"id_next", id_next},
    {"guess_ids", guess_ids},
    {"answer_twice", answer_twice},
    {"answer_then_callback", answer_then_callback},
    {"second_hello", second_hello},
    {"boot_frame_up", boot_frame_up},
    {"started_unknown", started_unknown},
    {"started_again", started_again},
    {"detached_unasked", detached_unasked},
    {"cancelled_unasked", cancelled_unasked},
    {"error_is_none", error_is_none},
    {"victim", victim},
    {"steal_id", steal_id},
    {"late_answer", late_answer},
    {"late_answer_twice", late_answer_twice},
    {"deaf_to_interrupts", deaf_to_interrupts},
    {"callback_no_question", callback_no_question},
    {"callback_small_number", callback_small_number},
    {"callback_of_another", callback_of_another},
    {"callback_odd_terms", callback_odd_terms},
    {"send_no_pair", send_no_pair},
    {NULL, NULL},
};
