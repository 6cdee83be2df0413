/* SPDX-License-Identifier: Apache-2.0 */
/* etf_check.h - decide whether a helper's ETF may reach Erlang.
 *
 * One pass, no recursion, no allocation, resumable: it is fed the growing
 * body of a frame and never looks at a byte twice (only the head of a term
 * that was cut between two calls is read again).  It accepts exactly what
 * binary_to_term(B, [safe]) decodes, minus what a helper has no business to
 * send: compressed terms, old atom tags, unless allowed funs and exports,
 * pids, ports and references, and anything beyond the limits.
 *
 * What it cannot see, so that binary_to_term may still say badarg, and no
 * worse: atoms and exports that do not exist, a map with a key twice, ids
 * that claim to be of this node but cannot be, a fun's wrong size field.
 *
 * Used by: driver, tests, fuzzers.   Does not know: Python, ERTS.
 * Errors: E_AGAIN (fine so far, feed more), E_FORMAT, E_REFUSED, E_DEPTH,
 * E_LIMIT, E_WORDS, E_TRAILING, E_SHORT (from etf_check_all).  Threads: one. */
#ifndef TERRARIUM_ETF_CHECK_H
#define TERRARIUM_ETF_CHECK_H

#include <stddef.h>
#include <stdint.h>

enum {
    ETF_CHECK_MAX_DEPTH = 1024,
    /* Bytes of an integer from who may send no ids: 9864 decimal digits.  To
     * print one costs the square of its size, in one step of a scheduler. */
    ETF_CHECK_STRANGE_BIG = 4096
};
#define ETF_CHECK_ANY_WORDS UINT64_MAX

enum etf_check_flags {
    ETF_ALLOW_IDS = 1,    /* pids, ports, references */
    ETF_ALLOW_FUNS = 2,   /* funs and exports (trusted contexts only) */
    ETF_ALLOW_HANDLES = 4 /* ids in the form of etf_handle.h */
};

struct etf_check {
    size_t at;   /* bytes accepted so far */
    size_t skip; /* bytes of a binary's body still to come */
    uint32_t flags;
    uint32_t max_depth;
    uint32_t depth; /* of the open containers in left[] */
    uint32_t started;
    uint64_t words;     /* of memory that Erlang's term takes, or a few more */
    uint64_t max_words; /* set it after etf_check_init if there is a bound */
    uint64_t left[ETF_CHECK_MAX_DEPTH]; /* terms each container still wants */
};

/* max_depth is capped at ETF_CHECK_MAX_DEPTH. */
void etf_check_init(struct etf_check *c, uint32_t flags, uint32_t max_depth);

/* Look at body[0..len); len may only grow between calls.  0: a whole term
 * ends exactly at len.  E_TRAILING: it ended before. */
int etf_check(struct etf_check *c, const uint8_t *body, size_t len);

/* All at once: 0 or a final error (E_SHORT where more bytes were needed). */
int etf_check_all(const uint8_t *body, size_t len, uint32_t flags,
                  uint32_t max_depth);

#endif
