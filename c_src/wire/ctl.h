/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.h - control messages: msgpack maps with string keys, one a packet.
 * ctl.c (reading) and ctl_pack.c (writing) are the only files that include
 * <msgpack.h>; ctl_scan.c checks shapes, ctl_to_etf.c and
 * ctl_from_etf.c translate.
 *
 * Used by: launcher, zygote, helper (boot and hello bodies), driver.
 * Does not know: Python, ERTS.
 * Growth: unknown keys are ignored, missing ones have defaults.
 * Ownership: a ctl_in owns its unpacked tree; strings and sub-maps borrowed
 * from it live until ctl_close.  A ctl_out owns its bytes.
 * Errors: E_FORMAT (not a map, key not a string, trailing bytes, nested too
 * deeply), E_LIMIT (over WIRE_LIMIT_MAX_CONTROL), E_NOMEM.
 * Threads: one at a time. */
#ifndef TERRARIUM_CTL_H
#define TERRARIUM_CTL_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* ---- writing: ctl_begin, ctl_put_*, ctl_end; one error check at the end -- */

struct ctl_out {
    struct buf bytes; /* the packed map, complete after ctl_end */
    uint32_t count;   /* of pairs so far */
    int error;        /* the first error; later puts do nothing */
};

void ctl_begin(struct ctl_out *o);                      /* an empty map */
void ctl_put_type(struct ctl_out *o, const char *type); /* "type" => type */
void ctl_put_str(struct ctl_out *o, const char *key, const char *s);
void ctl_put_bin(struct ctl_out *o, const char *key, const void *p, size_t n);
void ctl_put_uint(struct ctl_out *o, const char *key, uint64_t v);
void ctl_put_int(struct ctl_out *o, const char *key, int64_t v);
void ctl_put_bool(struct ctl_out *o, const char *key, int v);
void ctl_put_strs(struct ctl_out *o, const char *key, char *const *v,
                  size_t count); /* list of strings */
/* A finished ctl_out (after ctl_end) as the value of a key. */
void ctl_put_map(struct ctl_out *o, const char *key, const struct ctl_out *m);
/* An already packed msgpack value. */
void ctl_put_raw(struct ctl_out *o, const char *key, const void *p, size_t n);
int ctl_end(struct ctl_out *o); /* 0 or the first error */
void ctl_free(struct ctl_out *o);

/* ---- reading ----------------------------------------------------------- */

struct ctl_in {
    void *tree; /* opaque: the unpacked message */
};
/* A borrowed map inside a message. */
struct ctl_map {
    const void *map;
};

int ctl_open(struct ctl_in *in, const void *p, size_t n, struct ctl_map *root);
void ctl_close(struct ctl_in *in);

/* The "type" as string; "" if there is none.  Compare with CTL_... */
int ctl_is(const struct ctl_map *m, const char *type);
int ctl_has(const struct ctl_map *m, const char *key); /* of any type */
/* Each returns 1 when the key is there with that type (out set), else 0. */
int ctl_get_bytes(const struct ctl_map *m, const char *key, const char **p,
                  size_t *n); /* string or binary; not NUL-terminated */
int ctl_get_uint(const struct ctl_map *m, const char *key, uint64_t *v);
int ctl_get_int(const struct ctl_map *m, const char *key, int64_t *v);
int ctl_get_bool(const struct ctl_map *m, const char *key, int *v);
int ctl_get_map(const struct ctl_map *m, const char *key, struct ctl_map *sub);
/* The map under key, packed again at the end of a buffer, to be passed on
 * without looking into it: 0, E_FORMAT (no map there), E_LIMIT, E_NOMEM. */
int ctl_get_packed(const struct ctl_map *m, const char *key, struct buf *b);
int ctl_is_list(const struct ctl_map *m, const char *key);
/* Length of the list under key, 0 if there is none; its i-th string. */
size_t ctl_list_len(const struct ctl_map *m, const char *key);
int ctl_list_bytes(const struct ctl_map *m, const char *key, size_t i,
                   const char **p, size_t *n);
/* The i-th pair of a map of strings to strings; 0 past the end or other. */
int ctl_pair(const struct ctl_map *m, size_t i, const char **k, size_t *kn,
             const char **v, size_t *vn);
size_t ctl_map_len(const struct ctl_map *m);
/* A NUL-terminated copy (mem_alloc) of a string, or NULL: none, or has NUL. */
char *ctl_dup(const struct ctl_map *m, const char *key);

/* ---- msgpack <-> ETF, for the driver ------------------------------------ */

/* A control message as ETF with its leading 131.  Strings and binaries become
 * binaries, nil/true/false atoms nil/true/false, maps with binary keys. */
int ctl_to_etf(const void *p, size_t n, struct buf *etf);
/* The reverse for maps, lists, tuples (as lists), binaries (as str when valid
 * UTF-8, else bin), STRING_EXT (list of integers), integers within 64 bits,
 * floats, atoms (as strings, but nil, true, false). E_REFUSED for the rest. */
int ctl_from_etf(const void *p, size_t n, struct buf *packed);

#endif
