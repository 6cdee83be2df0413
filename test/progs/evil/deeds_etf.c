/* SPDX-License-Identifier: Apache-2.0 */
/* deeds_etf.c - answers whose ETF is a trap for binary_to_term. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evil.h"

#define BODY(name, ...)                                                        \
    {                                                                          \
        name, (const uint8_t[]){131, __VA_ARGS__},                             \
            sizeof((const uint8_t[]){131, __VA_ARGS__})                        \
    }
#define LOCAL                                                                  \
    119, 13, 'n', 'o', 'n', 'o', 'd', 'e', '@', 'n', 'o', 'h', 'o', 's', 't'

static const struct body {
    const char *name;
    const uint8_t *bytes;
    size_t n;
} bodies[] = {
    BODY("etf_compressed", 80, 0, 0, 0, 1, 0x78, 0x9C, 0x4B, 1, 0, 0, 98, 0,
         98),
    BODY("etf_compressed_bomb", 80, 0x7F, 0xFF, 0xFF, 0xFF, 0x78, 0x9C, 0xED,
         0xC1, 1, 1, 0, 0, 0, 0x80, 0x90, 0xFE),
    BODY("etf_new_atom", 119, 24, 'e', 'v', 'i', 'l', '_', 'a', 't', 'o', 'm',
         '_', 'n', 'o', 'b', 'o', 'd', 'y', '_', 'k', 'n', 'o', 'w', 's'),
    BODY("etf_atom_not_utf8", 119, 2, 0xFF, 0xFE),
    BODY("etf_atom_surrogate", 119, 3, 0xED, 0xA0, 0x80),
    BODY("etf_atom_too_long", 118, 0x10, 0, 'x'),
    BODY("etf_old_atom", 100, 0, 2, 'o', 'k'),
    BODY("etf_cached_atom", 82, 0),
    BODY("etf_distribution", 68, 1, 0),
    BODY("etf_local", 121, 0, 0, 0, 0, 0, 0, 0, 0, 97, 1),
    BODY("etf_old_float", 99, '1', '.', '5', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
         0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    BODY("etf_nan", 70, 0x7F, 0xF8, 0, 0, 0, 0, 0, 0),
    BODY("etf_infinity", 70, 0x7F, 0xF0, 0, 0, 0, 0, 0, 0),
    BODY("etf_unknown_tag", 7),
    BODY("etf_trailing", 97, 1, 97, 2),
    BODY("etf_truncated", 104, 2, 97, 1),
    BODY("etf_list_of_2g", 108, 0xFF, 0xFF, 0xFF, 0xFF, 97, 1),
    BODY("etf_tuple_of_4g", 105, 0xFF, 0xFF, 0xFF, 0xFF, 97, 1),
    BODY("etf_map_of_4g", 116, 0xFF, 0xFF, 0xFF, 0xFF, 97, 1, 97, 1),
    BODY("etf_binary_of_4g", 109, 0xFF, 0xFF, 0xFF, 0xFF, 'x'),
    BODY("etf_string_of_64k", 107, 0xFF, 0xFF, 'x'),
    BODY("etf_bignum_of_4g", 111, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1),
    BODY("etf_bignum_sign", 110, 1, 7, 1),
    BODY("etf_bits_nine", 77, 0, 0, 0, 1, 9, 0xFF),
    BODY("etf_bits_none", 77, 0, 0, 0, 0, 3),
    BODY("etf_no_bytes_of_bits", 77, 0xFF, 0xFF, 0xFF, 0xFF, 8),
    BODY("etf_keys_twice", 116, 0, 0, 0, 2, 97, 1, 97, 1, 97, 1, 97, 2),
    /* Refused unless the helper is trusted. */
    BODY("etf_pid", 88, LOCAL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    BODY("etf_port", 89, LOCAL, 0, 0, 0, 0, 0, 0, 0, 0),
    BODY("etf_reference", 90, 0, 3, LOCAL, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2,
         0, 0, 0, 3),
    BODY("etf_export", 113, 119, 2, 'o', 's', 119, 3, 'c', 'm', 'd', 97, 1),
    BODY("etf_fun", 112, 0, 0, 0, 0x40, 1),
    /* Handles that nobody gave out. */
    BODY("forged_ref", 104, 5, 119, 6, 'p', 'y', '_', 'r', 'e', 'f', 88, LOCAL,
         0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 97, 1, 97, 1, 106),
    BODY("forged_shm", 104, 6, 119, 6, 'p', 'y', '_', 's', 'h', 'm', 90, 0, 3,
         LOCAL, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 109, 0, 0, 0,
         16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 97, 8, 109,
         0, 0, 0, 1, 'B', 108, 0, 0, 0, 1, 97, 8, 106),
    BODY("number_negative", 98, 0xFF, 0xFF, 0xFF, 0xFF),
    BODY("number_huge", 110, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    BODY("number_none", 119, 2, 'o', 'k'),
    /* Lists where the improper tail is a trap for string functions. */
    BODY("error_odd_lists", 104, 3, 108, 0, 0, 0, 1, 98, 0xFF, 0xFF, 0xFF, 0xFF,
         119, 2, 'o', 'k', 106, 109, 0, 0, 0, 1, 131),
};

const uint8_t *
etf_named(const char *name, size_t *n)
{
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        if (strcmp(bodies[i].name, name) == 0 &&
            strncmp(name, "error_", 6) != 0) {
            *n = bodies[i].n;
            return bodies[i].bytes;
        }
    return NULL;
}

/* ---- built --------------------------------------------------------------- */

static uint8_t *
room(size_t n)
{
    uint8_t *p = malloc(n);
    if (p == NULL)
        evil_broken("no memory");
    memset(p, 0, n);
    p[0] = 131;
    return p;
}

static void
result(struct evil *e, uint8_t *body, size_t n)
{
    evil_frame(e, WIRE_RESULT, e->id, body, n);
    free(body);
}

/* N lists, each in the one before. */
static void
deep(struct evil *e)
{
    enum { LEVELS = 1500, EACH = 5 };
    uint8_t *p = room(1 + LEVELS * (EACH + 1) + 1);
    for (size_t i = 0; i < LEVELS; i++)
        memcpy(p + 1 + i * EACH, (uint8_t[]){108, 0, 0, 0, 1}, EACH);
    memset(p + 1 + LEVELS * EACH, 106, LEVELS + 1);
    result(e, p, 1 + LEVELS * (EACH + 1) + 1);
}

/* A hundred thousand atoms that do not exist, in one answer. */
static void
many_atoms(struct evil *e)
{
    enum { N = 50000, EACH = 16 };
    uint8_t *p = room(6 + N * EACH + 1), *at = p + 6;
    memcpy(p + 1, (uint8_t[]){108, 0, 0, N >> 8, N & 255}, 5);
    for (int i = 0; i < N; i++, at += EACH) {
        char text[EACH - 1];
        snprintf(text, sizeof text, "evil_%09d", i);
        at[0] = 119;
        at[1] = EACH - 2;
        memcpy(at + 2, text, EACH - 2);
    }
    *at = 106;
    result(e, p, 6 + N * EACH + 1);
}

/* The digits are all there: squaring such a number takes a scheduler. */
static void
large_bignum(struct evil *e)
{
    enum { DIGITS = 900000 };
    uint8_t *p = room(7 + DIGITS);
    memcpy(
        p + 1,
        (uint8_t[]){111, 0, DIGITS >> 16, DIGITS >> 8 & 255, DIGITS & 255, 0},
        6);
    memset(p + 7, 0xFF, DIGITS);
    result(e, p, 7 + DIGITS);
}

/* A byte of a string becomes a cell of a list: sixteen times as much. */
static void
strings(struct evil *e)
{
    enum { N = 15, EACH = 65535 + 3 };
    uint8_t *p = room(6 + N * EACH + 1);
    memcpy(p + 1, (uint8_t[]){108, 0, 0, 0, N}, 5);
    for (size_t i = 0; i < N; i++)
        memcpy(p + 6 + i * EACH, (uint8_t[]){107, 0xFF, 0xFF}, 3);
    p[6 + N * EACH] = 106;
    result(e, p, 6 + N * EACH + 1);
}

static void
wide_tuple(struct evil *e)
{
    enum { N = 1000000 };
    uint8_t *p = room(6 + N);
    memcpy(p + 1, (uint8_t[]){105, 0, N >> 16, N >> 8 & 255, N & 255}, 5);
    memset(p + 6, 106, N);
    result(e, p, 6 + N);
}

/* An ERROR whose story, a binary in its body, is a compressed term (a file of
 * the suite's, since nothing here can compress): few bytes of it stand for very
 * many zeroes. */
static void
story(struct evil *e)
{
    const char *dir = getenv("EVIL_DIR");
    char path[4096];
    static uint8_t bomb[1 << 20];
    snprintf(path, sizeof path, "%s/bomb", dir != NULL ? dir : "/nowhere");
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        evil_broken("no bomb");
    size_t n = fread(bomb, 1, sizeof bomb, f);
    fclose(f);
    uint8_t *p = room(16 + n);
    memcpy(p + 1, (uint8_t[]){104, 3, 107, 0, 1, 'E', 107, 0, 1, 'm', 109}, 11);
    put_be32(p + 12, (uint32_t)n);
    memcpy(p + 16, bomb, n);
    evil_frame(e, WIRE_ERROR, e->id, p, 16 + n);
    free(p);
}

static void
odd_lists(struct evil *e)
{
    const struct body *b = &bodies[sizeof bodies / sizeof bodies[0] - 1];
    evil_frame(e, WIRE_ERROR, e->id, b->bytes, b->n);
}

int
etf_build(struct evil *e)
{
    static const struct deed built[] = {
        {"etf_deep", deep},
        {"etf_many_atoms", many_atoms},
        {"etf_large_bignum", large_bignum},
        {"etf_strings", strings},
        {"etf_wide_tuple", wide_tuple},
        {"error_story_bomb", story},
        {"error_odd_lists", odd_lists},
    };
    for (size_t i = 0; i < sizeof built / sizeof built[0]; i++)
        if (strcmp(built[i].name, e->name) == 0) {
            built[i].run(e);
            return 1;
        }
    return 0;
}
