/* SPDX-License-Identifier: Apache-2.0 */
/* etf_rules.c - one small function per tag, and the table of them.
 * The limits called Erlang's own are those of OTP 25 to 28. */
#include "etf_rules.h"

#include "buf.h"
#include "err.h"
#include "etf_check.h"
#include "etf_tags.h"
#include "utf8.h"

enum {
    MAX_ATOM_BYTES = 1020,            /* 255 characters of 4 bytes */
    MAX_ATOM_CHARACTERS = 255,        /* Erlang's own limit */
    MAX_BIG_DIGITS = 1 << 20,         /* bytes: 2.5 million decimal digits */
    MAX_TUPLE = (1 << 24) - 1,        /* Erlang's own limit */
    MAX_REFERENCE_WORDS = 5,          /* Erlang's own limit */
    MAX_OLD_REFERENCE = 1 << 18,      /* first word, in old references */
    MAX_OLD_CREATION = 3,             /* two bits, in old pids, ports, refs */
    MAX_FREE_VARIABLES = 255,         /* Erlang's own limit */
    FUN_HEAD = 1 + 4 + 1 + 16 + 4 + 4 /* tag to number of free variables */
};

/* Words of memory, of 8 bytes; where VMs differ, the most that one takes.
 * Integers and atoms have none beside the place in what holds them. */
enum {
    WORDS_FLOAT = 2,
    WORDS_BINARY = 10, /* with what refers to its bytes */
    WORDS_CELL = 2,
    WORDS_PAIR = 4, /* of a map that is a tree */
    WORDS_MAP = 5,
    WORDS_ID = 8,
    WORDS_FUN = 8
};

static uint64_t
words_of(uint64_t bytes)
{
    return bytes / 8 + 1;
}

/* ---- numbers ------------------------------------------------------------ */

static int
check_small_integer(const uint8_t *p, size_t have, struct etf_term *t)
{
    (void)p;
    t->head = 2;
    return have < 2 ? E_AGAIN : 0;
}

static int
check_integer(const uint8_t *p, size_t have, struct etf_term *t)
{
    (void)p;
    t->head = 5;
    return have < 5 ? E_AGAIN : 0;
}

/* Erlang has no infinity and no NaN: their exponent is all ones. */
static int
check_float(const uint8_t *p, size_t have, struct etf_term *t)
{
    t->head = 9;
    t->words = WORDS_FLOAT;
    if (have < 9)
        return E_AGAIN;
    return (get_be16(p + 1) & 0x7ff0) == 0x7ff0 ? E_FORMAT : 0;
}

static int
check_small_big(const uint8_t *p, size_t have, struct etf_term *t)
{
    t->head = 3;
    if (have < 3)
        return E_AGAIN;
    t->body = p[1];
    t->words = 1 + words_of(t->body);
    return 0;
}

static int
check_large_big(const uint8_t *p, size_t have, struct etf_term *t)
{
    t->head = 6;
    if (have < 6)
        return E_AGAIN;
    t->body = get_be32(p + 1);
    t->words = 1 + words_of(t->body);
    return t->body > MAX_BIG_DIGITS ? E_LIMIT : 0;
}

/* ---- atoms -------------------------------------------------------------- */

static int
check_atom(const uint8_t *p, size_t have, struct etf_term *t)
{
    int is_small = p[0] == ETF_SMALL_ATOM_UTF8;
    size_t head = is_small ? 2 : 3;
    if (have < head)
        return E_AGAIN;
    size_t n = is_small ? p[1] : get_be16(p + 1);
    if (n > MAX_ATOM_BYTES)
        return E_LIMIT;
    t->head = head + n;
    if (have < t->head)
        return E_AGAIN;
    long characters = utf8_length(p + head, n);
    if (characters < 0)
        return E_FORMAT;
    return characters > MAX_ATOM_CHARACTERS ? E_LIMIT : 0;
}

/* An atom inside another term's head: *at moves past it. */
static int
inner_atom(const uint8_t *p, size_t have, size_t *at)
{
    struct etf_term t = {0};
    if (have <= *at)
        return E_AGAIN;
    if (p[*at] != ETF_SMALL_ATOM_UTF8 && p[*at] != ETF_ATOM_UTF8)
        return E_REFUSED;
    int e = check_atom(p + *at, have - *at, &t);
    *at += t.head;
    return e;
}

/* ---- bytes -------------------------------------------------------------- */

static int
check_string(const uint8_t *p, size_t have, struct etf_term *t)
{
    t->head = 3;
    if (have < 3)
        return E_AGAIN;
    t->body = get_be16(p + 1);
    t->words = WORDS_CELL * (uint64_t)t->body;
    return 0;
}

static int
check_binary(const uint8_t *p, size_t have, struct etf_term *t)
{
    t->head = 5;
    if (have < 5)
        return E_AGAIN;
    t->body = get_be32(p + 1);
    t->words = WORDS_BINARY + words_of(t->body);
    return 0;
}

/* The last byte holds 1 to 8 bits, so there is one. */
static int
check_bit_binary(const uint8_t *p, size_t have, struct etf_term *t)
{
    t->head = 6;
    if (have < 6)
        return E_AGAIN;
    t->body = get_be32(p + 1);
    t->words = WORDS_BINARY + words_of(t->body);
    return t->body == 0 || p[5] < 1 || p[5] > 8 ? E_FORMAT : 0;
}

/* ---- containers --------------------------------------------------------- */

static int
check_nil(const uint8_t *p, size_t have, struct etf_term *t)
{
    (void)p;
    (void)have;
    t->head = 1;
    return 0;
}

static int
check_list(const uint8_t *p, size_t have, struct etf_term *t)
{
    t->head = 5;
    if (have < 5)
        return E_AGAIN;
    t->children = (uint64_t)get_be32(p + 1) + 1; /* and the tail */
    t->words = WORDS_CELL * (t->children - 1);
    return 0;
}

static int
check_small_tuple(const uint8_t *p, size_t have, struct etf_term *t)
{
    t->head = 2;
    if (have < 2)
        return E_AGAIN;
    t->children = p[1];
    t->words = 1 + t->children;
    return 0;
}

static int
check_large_tuple(const uint8_t *p, size_t have, struct etf_term *t)
{
    t->head = 5;
    if (have < 5)
        return E_AGAIN;
    t->children = get_be32(p + 1);
    t->words = 1 + t->children;
    return t->children > MAX_TUPLE ? E_LIMIT : 0;
}

static int
check_map(const uint8_t *p, size_t have, struct etf_term *t)
{
    t->head = 5;
    if (have < 5)
        return E_AGAIN;
    t->children = 2 * (uint64_t)get_be32(p + 1);
    t->words = WORDS_MAP + WORDS_PAIR * (t->children / 2);
    return 0;
}

/* ---- pids, ports, references -------------------------------------------- */

/* A tag, a node, `fixed` bytes; where the creation is one byte, it ends them.
 */
static int
check_id(const uint8_t *p, size_t have, struct etf_term *t, size_t fixed,
         int old_creation)
{
    size_t at = 1;
    int e = inner_atom(p, have, &at);
    if (e != 0)
        return e;
    t->head = at + fixed;
    t->words = WORDS_ID;
    if (have < t->head)
        return E_AGAIN;
    return old_creation && p[t->head - 1] > MAX_OLD_CREATION ? E_FORMAT : 0;
}

static int
check_new_pid(const uint8_t *p, size_t have, struct etf_term *t)
{
    return check_id(p, have, t, 4 + 4 + 4, 0);
}

static int
check_pid(const uint8_t *p, size_t have, struct etf_term *t)
{
    return check_id(p, have, t, 4 + 4 + 1, 1);
}

static int
check_v4_port(const uint8_t *p, size_t have, struct etf_term *t)
{
    return check_id(p, have, t, 8 + 4, 0);
}

static int
check_new_port(const uint8_t *p, size_t have, struct etf_term *t)
{
    return check_id(p, have, t, 4 + 4, 0);
}

static int
check_port(const uint8_t *p, size_t have, struct etf_term *t)
{
    return check_id(p, have, t, 4 + 1, 1);
}

/* Tag, number of words, node, creation, words. */
static int
check_reference(const uint8_t *p, size_t have, struct etf_term *t)
{
    int old = p[0] == ETF_NEW_REFERENCE;
    size_t at = 3;
    if (have < at)
        return E_AGAIN;
    size_t words = get_be16(p + 1);
    if (words < 1 || words > MAX_REFERENCE_WORDS)
        return E_FORMAT;
    int e = inner_atom(p, have, &at);
    if (e != 0)
        return e;
    size_t creation = at;
    at += old ? 1 : 4;
    t->head = at + 4 * words;
    t->words = WORDS_ID;
    if (have < t->head)
        return E_AGAIN;
    if (old && (p[creation] > MAX_OLD_CREATION ||
                get_be32(p + at) >= MAX_OLD_REFERENCE))
        return E_FORMAT;
    return 0;
}

/* ---- funs --------------------------------------------------------------- */

/* An integer inside a fun's head: *at moves past it. */
static int
inner_integer(const uint8_t *p, size_t have, size_t *at)
{
    if (have <= *at)
        return E_AGAIN;
    if (p[*at] != ETF_SMALL_INTEGER && p[*at] != ETF_INTEGER)
        return E_REFUSED;
    *at += p[*at] == ETF_SMALL_INTEGER ? 2 : 5;
    return have < *at ? E_AGAIN : 0;
}

static int
inner_pid(const uint8_t *p, size_t have, size_t *at)
{
    struct etf_term t = {0};
    int e;
    if (have <= *at)
        return E_AGAIN;
    if (p[*at] == ETF_NEW_PID)
        e = check_new_pid(p + *at, have - *at, &t);
    else if (p[*at] == ETF_PID)
        e = check_pid(p + *at, have - *at, &t);
    else
        e = E_REFUSED;
    *at += t.head;
    return e;
}

/* Module, old index, old uniq and creator belong to the head; the values of
 * the free variables are the children. */
static int
check_fun(const uint8_t *p, size_t have, struct etf_term *t)
{
    size_t at = FUN_HEAD;
    if (have < FUN_HEAD)
        return E_AGAIN;
    t->children = get_be32(p + FUN_HEAD - 4);
    if (t->children > MAX_FREE_VARIABLES)
        return E_LIMIT;
    int e = inner_atom(p, have, &at);
    if (e == 0)
        e = inner_integer(p, have, &at);
    if (e == 0)
        e = inner_integer(p, have, &at);
    if (e == 0)
        e = inner_pid(p, have, &at);
    t->head = at;
    t->words = WORDS_FUN + t->children;
    return e;
}

static int
check_export(const uint8_t *p, size_t have, struct etf_term *t)
{
    size_t at = 1;
    int e = inner_atom(p, have, &at);
    if (e == 0)
        e = inner_atom(p, have, &at);
    if (e != 0)
        return e;
    t->head = at + 2;
    t->words = WORDS_FUN;
    if (have < t->head)
        return E_AGAIN;
    return p[at] == ETF_SMALL_INTEGER ? 0 : E_REFUSED;
}

/* Tags that mean something to binary_to_term but nothing to us. */
static int
check_refused(const uint8_t *p, size_t have, struct etf_term *t)
{
    (void)p;
    (void)have;
    (void)t;
    return E_REFUSED;
}

/* ---- the table ---------------------------------------------------------- */

const struct etf_rule etf_rules[256] = {
    [ETF_SMALL_INTEGER] = {check_small_integer, 0},
    [ETF_INTEGER] = {check_integer, 0},
    [ETF_NEW_FLOAT] = {check_float, 0},
    [ETF_SMALL_BIG] = {check_small_big, 0},
    [ETF_LARGE_BIG] = {check_large_big, 0},
    [ETF_SMALL_ATOM_UTF8] = {check_atom, 0},
    [ETF_ATOM_UTF8] = {check_atom, 0},
    [ETF_STRING] = {check_string, 0},
    [ETF_BINARY] = {check_binary, 0},
    [ETF_BIT_BINARY] = {check_bit_binary, 0},
    [ETF_NIL] = {check_nil, 0},
    [ETF_LIST] = {check_list, 0},
    [ETF_SMALL_TUPLE] = {check_small_tuple, 0},
    [ETF_LARGE_TUPLE] = {check_large_tuple, 0},
    [ETF_MAP] = {check_map, 0},
    [ETF_NEW_PID] = {check_new_pid, ETF_ALLOW_IDS},
    [ETF_PID] = {check_pid, ETF_ALLOW_IDS},
    [ETF_V4_PORT] = {check_v4_port, ETF_ALLOW_IDS},
    [ETF_NEW_PORT] = {check_new_port, ETF_ALLOW_IDS},
    [ETF_PORT] = {check_port, ETF_ALLOW_IDS},
    [ETF_NEWER_REFERENCE] = {check_reference, ETF_ALLOW_IDS},
    [ETF_NEW_REFERENCE] = {check_reference, ETF_ALLOW_IDS},
    [ETF_NEW_FUN] = {check_fun, ETF_ALLOW_FUNS},
    [ETF_EXPORT] = {check_export, ETF_ALLOW_FUNS},
    [ETF_COMPRESSED] = {check_refused, 0},
    [ETF_FLOAT] = {check_refused, 0},
    [ETF_ATOM] = {check_refused, 0},
    [ETF_SMALL_ATOM] = {check_refused, 0},
    [ETF_REFERENCE] = {check_refused, 0},
    [ETF_LOCAL] = {check_refused, 0},
};
