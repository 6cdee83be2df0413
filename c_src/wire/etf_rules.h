/* SPDX-License-Identifier: Apache-2.0 */
/* etf_rules.h - for each tag of the external term format, how its head is
 * judged and what follows it.
 *
 * Used by: etf_check.c only.   Knows: one term's head, never what is around
 * it.   Threads: pure. */
#ifndef TERRARIUM_ETF_RULES_H
#define TERRARIUM_ETF_RULES_H

#include <stddef.h>
#include <stdint.h>

struct etf_term {
    size_t head;       /* bytes judged, from the tag on */
    size_t body;       /* bytes after them that need no judging */
    uint64_t children; /* terms that then follow inside this one */
    uint64_t words;    /* of memory that it takes in Erlang without them */
};

struct etf_rule {
    /* 0, E_AGAIN where the head is not all there, or why the term is refused;
     * more bytes never change a verdict other than E_AGAIN.  p[0] is the tag;
     * `have` is at least 1; *t is zeroed.  NULL: there is no such tag. */
    int (*check)(const uint8_t *p, size_t have, struct etf_term *t);
    uint32_t needs; /* the etf_check_flag without which it is refused */
};

extern const struct etf_rule etf_rules[256];

#endif
