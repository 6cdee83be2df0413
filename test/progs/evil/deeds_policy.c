/* SPDX-License-Identifier: Apache-2.0 */
/* deeds_policy.c - what only a policy forbids: handles that nobody gave out,
 * and callbacks without an end. */
#include <string.h>

#include "evil.h"

#define NODE 119, 9, 'p', 'y', '_', 'h', 'a', 'n', 'd', 'l', 'e'
#define PID(n, creation) 88, NODE, 0, 0, 0, n, 0, 0, 0, 0, 0, 0, 0, creation
#define SEND(e, ...)                                                           \
    say(e, (const uint8_t[]){131, __VA_ARGS__},                                \
        sizeof((const uint8_t[]){131, __VA_ARGS__}))

static void
say(struct evil *e, const uint8_t *body, size_t n)
{
    evil_frame(e, WIRE_RESULT, e->id, body, n);
}

/* The first that will be given out, but was not. */
static void
handle_next(struct evil *e)
{
    SEND(e, PID(1, 1));
}

static void
handle_zero(struct evil *e)
{
    SEND(e, 104, 2, 97, 1, PID(0, 1));
}

static void
handle_port(struct evil *e)
{
    SEND(e, 89, NODE, 0, 0, 0, 1, 0, 0, 0, 1);
}

static void
handle_reference(struct evil *e)
{
    SEND(e, 90, 0, 3, NODE, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0);
}

/* Nearly of the form: each would be another node to the VM, or another number.
 */
static void
handle_creation(struct evil *e)
{
    SEND(e, PID(1, 2));
}

static void
handle_short(struct evil *e)
{
    SEND(e, 90, 0, 1, NODE, 0, 0, 0, 1, 0, 0, 0, 1);
}

static void
handle_node(struct evil *e)
{
    SEND(e, 88, 119, 9, 'p', 'y', '_', 'h', 'a', 'n', 'd', 'l', 'f', 0, 0, 0, 1,
         0, 0, 0, 0, 0, 0, 0, 1);
}

/* Its number is right, what is around it is not. */
static void
handle_serial(struct evil *e)
{
    SEND(e, 88, NODE, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 1);
}

static void
handle_in_ref(struct evil *e)
{
    SEND(e, 104, 5, 119, 6, 'p', 'y', '_', 'r', 'e', 'f', PID(9, 1), 97, 1, 97,
         1, 106);
}

static void
handle_in_send(struct evil *e)
{
    static const uint8_t body[] = {131, 104, 2, 97, 9, PID(9, 1)};
    evil_frame(e, WIRE_SEND, 0, body, sizeof body);
}

static size_t
call(uint8_t *to, uint64_t number, const uint8_t *args, size_t n)
{
    size_t k = evil_question(to, number);
    memcpy(to + k, (uint8_t[]){109, 0, 0, 0, 1, 'f'}, 6);
    memcpy(to + k + 6, args, n);
    memcpy(to + k + 6 + n, (uint8_t[]){116, 0, 0, 0, 0}, 5);
    return k + 6 + n + 5;
}

static void
handle_in_callback(struct evil *e)
{
    static const uint8_t args[] = {108, 0, 0, 0, 1, PID(9, 1), 106};
    uint8_t q[128];
    size_t n = call(q, 1, args, sizeof args);
    evil_frame(e, WIRE_CALLBACK, e->id, q, n);
}

/* The function asks this helper again: so for ever. */
static void
nest(struct evil *e)
{
    static const uint8_t args[] = {106};
    uint8_t q[128];
    for (uint64_t i = 1;; i++) {
        size_t n = call(q, i, args, sizeof args);
        if (i > 1)
            evil_frame(e, WIRE_STARTED, e->id, NULL, 0);
        evil_frame(e, WIRE_CALLBACK, e->id, q, n);
        evil_next(e);
    }
}

const struct deed deeds_policy[] = {
    {"handle_next", handle_next},
    {"handle_zero", handle_zero},
    {"handle_port", handle_port},
    {"handle_reference", handle_reference},
    {"handle_creation", handle_creation},
    {"handle_short", handle_short},
    {"handle_node", handle_node},
    {"handle_serial", handle_serial},
    {"handle_in_ref", handle_in_ref},
    {"handle_in_send", handle_in_send},
    {"handle_in_callback", handle_in_callback},
    {"nest", nest},
    {NULL, NULL},
};
