/* SPDX-License-Identifier: Apache-2.0 */
/* deeds_boot.c - what is done in place of a HELLO. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "evil.h"

static void
boot_exit(struct evil *e)
{
    (void)e;
    _exit(7);
}

static void
boot_killed(struct evil *e)
{
    (void)e;
    raise(SIGKILL);
}

static void
boot_silence(struct evil *e)
{
    (void)e;
}

static void
boot_close(struct evil *e)
{
    close(e->sock);
}

static void
boot_wrong_fingerprint(struct evil *e)
{
    evil_hello(e, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT ^ 1);
}

static void
boot_wrong_version(struct evil *e)
{
    evil_hello(e, WIRE_LIMIT_VERSION + 1, WIRE_FINGERPRINT);
}

static void
boot_answer(struct evil *e)
{
    evil_answer(e, 1);
}

static void
boot_noise(struct evil *e)
{
    for (;;)
        evil_say(e, "no frame at all ", 16);
}

static void
boot_hello_no_map(struct evil *e)
{
    evil_frame(e, WIRE_HELLO, 0, "\xc0", 1);
}

static void
boot_hello_too_long(struct evil *e)
{
    static uint8_t body[WIRE_LIMIT_MAX_CONTROL];
    evil_frame(e, WIRE_HELLO, 0, body, sizeof body);
}

/* {"version": V, "fingerprint": F, then `more`, which is one pair. */
static void
hello_with(struct evil *e, const uint8_t *more, size_t n)
{
    static uint8_t body[16384];
    uint32_t f = WIRE_FINGERPRINT;
    size_t k = 0;
    body[k++] = 0x83;
    memcpy(body + k,
           "\xa7version\x01\xab"
           "fingerprint\xce",
           22);
    k += 22;
    for (int i = 3; i >= 0; i--)
        body[k++] = (uint8_t)(f >> 8 * i);
    memcpy(body + k, more, n);
    evil_frame(e, WIRE_HELLO, 0, body, k + n);
}

static void
boot_hello_key_twice(struct evil *e)
{
    hello_with(e, (const uint8_t *)"\xa7version\x01", 9);
}

static void
boot_hello_deep(struct evil *e)
{
    static uint8_t more[12000] = "\xa1x";
    memset(more + 2, 0x91, sizeof more - 3);
    more[sizeof more - 1] = 0xc0;
    hello_with(e, more, sizeof more);
}

/* A key that is no text, a map with a key twice inside, an extension. */
static void
boot_hello_inner_twice(struct evil *e)
{
    hello_with(e, (const uint8_t *)"\xa1x\x82\x01\x01\x01\x02", 7);
}

static void
boot_hello_odd_key(struct evil *e)
{
    hello_with(e, (const uint8_t *)"\x91\x01\x01", 3);
}

static void
boot_hello_extension(struct evil *e)
{
    hello_with(e, (const uint8_t *)"\xa1x\xd4\x05\x00", 5);
}

static void
boot_hello_python(struct evil *e)
{
    hello_with(e, (const uint8_t *)"\xa6python\x91\x93\x01\x02\x03", 12);
    evil_serve(e);
}

/* {"E", "m", <<>>}, again and again. */
static void
boot_error_flood(struct evil *e)
{
    static const uint8_t body[] = {131, 104, 3,   107, 0, 1, 'E', 107,
                                   0,   1,   'm', 109, 0, 0, 0,   0};
    for (;;)
        evil_frame(e, WIRE_ERROR, 0, body, sizeof body);
}

static void
boot_error_is_none(struct evil *e)
{
    static const uint8_t body[] = {131, 97, 1};
    evil_frame(e, WIRE_ERROR, 0, body, sizeof body);
}

/* All is well; then an answer before any request. */
static void
boot_answer_unasked(struct evil *e)
{
    evil_hello(e, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT);
    evil_sleep_ms(50);
    evil_answer(e, 1);
}

const struct deed deeds_boot[] = {
    {"boot_exit", boot_exit},
    {"boot_killed", boot_killed},
    {"boot_silence", boot_silence},
    {"boot_close", boot_close},
    {"boot_wrong_fingerprint", boot_wrong_fingerprint},
    {"boot_wrong_version", boot_wrong_version},
    {"boot_answer", boot_answer},
    {"boot_noise", boot_noise},
    {"boot_hello_no_map", boot_hello_no_map},
    {"boot_hello_too_long", boot_hello_too_long},
    {"boot_hello_key_twice", boot_hello_key_twice},
    {"boot_hello_deep", boot_hello_deep},
    {"boot_hello_inner_twice", boot_hello_inner_twice},
    {"boot_hello_odd_key", boot_hello_odd_key},
    {"boot_hello_extension", boot_hello_extension},
    {"boot_hello_python", boot_hello_python},
    {"boot_error_flood", boot_error_flood},
    {"boot_error_is_none", boot_error_is_none},
    {"boot_answer_unasked", boot_answer_unasked},
    {NULL, NULL},
};
