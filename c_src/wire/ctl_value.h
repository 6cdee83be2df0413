/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_value.h - what the files behind ctl.h share: the shape check, the walk
 * over a message's values, and the packing of single values.
 *
 * Used by: ctl.c, ctl_pack.c, ctl_scan.c,
 * ctl_to_etf.c, ctl_from_etf.c; nobody else.
 * Ownership: strings handed to a sink are borrowed for the call. */
#ifndef TERRARIUM_CTL_VALUE_H
#define TERRARIUM_CTL_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* Containers inside each other, the message's own map included.  msgpack-c's
 * unpacker has room for exactly so many. */
enum { CTL_MAX_DEPTH = 32 };

/* Is p[0..n) exactly one msgpack map whose maps all have strings as keys?
 * Sees each byte once, allocates nothing: after it, what the unpacker
 * allocates is in proportion to bytes that are there, not to counts that a
 * peer announced.  E_FORMAT or E_LIMIT. */
int ctl_scan(const void *p, size_t n);

/* ---- reading: every value of a message in order ------------------------- */

/* Each operation returns 0, or an error that ends the walk. */
struct ctl_sink {
    int (*nil)(void *to);
    int (*boolean)(void *to, int v);
    int (*uint)(void *to, uint64_t v);
    int (*negative)(void *to, int64_t v);
    int (*real)(void *to, double v);
    int (*bytes)(void *to, const char *p, size_t n); /* string or binary */
    int (*list)(void *to, uint32_t count);
    int (*list_end)(void *to, uint32_t count);
    int (*map)(void *to, uint32_t pairs); /* then key, value, key, ... */
};

/* As ctl_open, and E_FORMAT where a map has a key twice. */
int ctl_walk(const void *p, size_t n, const struct ctl_sink *sink, void *to);

/* ---- writing: one value at the end of a buffer -------------------------- */

int ctl_pack_nil(struct buf *b);
int ctl_pack_bool(struct buf *b, int v);
int ctl_pack_uint(struct buf *b, uint64_t v);
int ctl_pack_int(struct buf *b, int64_t v);
int ctl_pack_real(struct buf *b, double v);
int ctl_pack_str(struct buf *b, const void *p, size_t n);
int ctl_pack_bin(struct buf *b, const void *p, size_t n);
int ctl_pack_list(struct buf *b, size_t count); /* then count values */
int ctl_pack_map(struct buf *b, size_t pairs);  /* then the pairs */

#endif
