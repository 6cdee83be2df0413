/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.c - the reading half of ctl.h.  This file and ctl_pack.c, the writing
 * half, are the only ones that include <msgpack.h>.
 *
 * Ownership and errors: as ctl.h says.  A message is checked by ctl_scan
 * before msgpack-c sees it. */
#include "ctl.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "ctl_value.h"
#include "err.h"
#include "mem.h"
#include "wire.h"

/* The unpacked message and, behind it, its own copy of the bytes: msgpack-c's
 * strings point into what it unpacked. */
struct tree {
    msgpack_zone zone;
    msgpack_object root;
    size_t size;
    char bytes[];
};

/* Messages hold environments, and what is free here, whoever is forked from
 * here can read. */
static void
tree_free(struct tree *t)
{
    msgpack_zone_destroy(&t->zone);
    mem_wipe(t->bytes, t->size);
    mem_free(t);
}

static int
unpack(struct tree *t, const void *p, size_t n)
{
    size_t off = 0;
    t->size = n;
    memcpy(t->bytes, p, n);
    switch (msgpack_unpack(t->bytes, n, &off, &t->zone, &t->root)) {
    case MSGPACK_UNPACK_SUCCESS:
        return off == n ? 0 : E_FORMAT;
    case MSGPACK_UNPACK_NOMEM_ERROR:
        return E_NOMEM;
    default:
        return E_FORMAT;
    }
}

int
ctl_open(struct ctl_in *in, const void *p, size_t n, struct ctl_map *root)
{
    int e = ctl_scan(p, n);
    if (e != 0)
        return e;
    struct tree *t = mem_alloc(sizeof *t + n);
    if (t == NULL)
        return E_NOMEM;
    if (!msgpack_zone_init(&t->zone, MSGPACK_ZONE_CHUNK_SIZE)) {
        mem_free(t);
        return E_NOMEM;
    }
    e = unpack(t, p, n);
    if (e != 0) {
        tree_free(t);
        return e;
    }
    in->tree = t;
    root->map = &t->root.via.map;
    return 0;
}

void
ctl_close(struct ctl_in *in)
{
    struct tree *t = in->tree;
    if (t == NULL)
        return;
    tree_free(t);
    in->tree = NULL;
}

/* ---- looking up --------------------------------------------------------- */

/* 1 when it is a string or a binary; *p is never NULL, though msgpack-c's
 * empty strings are. */
static int
as_bytes(const msgpack_object *o, const char **p, size_t *n)
{
    if (o->type == MSGPACK_OBJECT_STR) {
        *p = o->via.str.ptr;
        *n = o->via.str.size;
    } else if (o->type == MSGPACK_OBJECT_BIN) {
        *p = o->via.bin.ptr;
        *n = o->via.bin.size;
    } else {
        return 0;
    }
    if (*n == 0)
        *p = "";
    return 1;
}

static const msgpack_object *
find(const struct ctl_map *m, const char *key)
{
    const msgpack_object_map *map = m->map;
    size_t len = strlen(key), n;
    const char *k;
    for (uint32_t i = 0; i < map->size; i++)
        if (as_bytes(&map->ptr[i].key, &k, &n) && n == len &&
            memcmp(k, key, len) == 0)
            return &map->ptr[i].val;
    return NULL;
}

int
ctl_has(const struct ctl_map *m, const char *key)
{
    return find(m, key) != NULL;
}

int
ctl_is(const struct ctl_map *m, const char *type)
{
    const char *p = "";
    size_t n = 0, len = strlen(type);
    (void)ctl_get_bytes(m, "type", &p, &n);
    return n == len && memcmp(p, type, n) == 0;
}

int
ctl_get_bytes(const struct ctl_map *m, const char *key, const char **p,
              size_t *n)
{
    const msgpack_object *o = find(m, key);
    return o != NULL && as_bytes(o, p, n);
}

int
ctl_get_uint(const struct ctl_map *m, const char *key, uint64_t *v)
{
    const msgpack_object *o = find(m, key);
    if (o == NULL || o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return 0;
    *v = o->via.u64;
    return 1;
}

int
ctl_get_int(const struct ctl_map *m, const char *key, int64_t *v)
{
    const msgpack_object *o = find(m, key);
    if (o == NULL)
        return 0;
    if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *v = o->via.i64;
    else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
             o->via.u64 <= INT64_MAX)
        *v = (int64_t)o->via.u64;
    else
        return 0;
    return 1;
}

int
ctl_get_bool(const struct ctl_map *m, const char *key, int *v)
{
    const msgpack_object *o = find(m, key);
    if (o == NULL || o->type != MSGPACK_OBJECT_BOOLEAN)
        return 0;
    *v = o->via.boolean;
    return 1;
}

int
ctl_get_map(const struct ctl_map *m, const char *key, struct ctl_map *sub)
{
    const msgpack_object *o = find(m, key);
    if (o == NULL || o->type != MSGPACK_OBJECT_MAP)
        return 0;
    sub->map = &o->via.map;
    return 1;
}

/* msgpack-c wants -1 for any failure; buf's own code is kept in `error`. */
struct copy {
    struct buf *to;
    int error;
};

static int
copy_bytes(void *data, const char *p, size_t n)
{
    struct copy *c = data;
    c->error = buf_put(c->to, p, n);
    return c->error == 0 ? 0 : -1;
}

int
ctl_get_packed(const struct ctl_map *m, const char *key, struct buf *b)
{
    const msgpack_object *o = find(m, key);
    if (o == NULL || o->type != MSGPACK_OBJECT_MAP)
        return E_FORMAT;
    struct copy c = {.to = b};
    size_t before = b->len;
    msgpack_packer pk;
    msgpack_packer_init(&pk, &c, copy_bytes);
    if (msgpack_pack_object(&pk, *o) != 0)
        b->len = before;
    return c.error;
}

int
ctl_is_list(const struct ctl_map *m, const char *key)
{
    const msgpack_object *o = find(m, key);
    return o != NULL && o->type == MSGPACK_OBJECT_ARRAY;
}

size_t
ctl_list_len(const struct ctl_map *m, const char *key)
{
    const msgpack_object *o = find(m, key);
    return o != NULL && o->type == MSGPACK_OBJECT_ARRAY ? o->via.array.size : 0;
}

int
ctl_list_bytes(const struct ctl_map *m, const char *key, size_t i,
               const char **p, size_t *n)
{
    const msgpack_object *o = find(m, key);
    if (o == NULL || o->type != MSGPACK_OBJECT_ARRAY || i >= o->via.array.size)
        return 0;
    return as_bytes(&o->via.array.ptr[i], p, n);
}

int
ctl_pair(const struct ctl_map *m, size_t i, const char **k, size_t *kn,
         const char **v, size_t *vn)
{
    const msgpack_object_map *map = m->map;
    if (i >= map->size || !as_bytes(&map->ptr[i].val, v, vn))
        return 0;
    return as_bytes(&map->ptr[i].key, k, kn);
}

size_t
ctl_map_len(const struct ctl_map *m)
{
    return ((const msgpack_object_map *)m->map)->size;
}

char *
ctl_dup(const struct ctl_map *m, const char *key)
{
    const char *p;
    size_t n;
    if (!ctl_get_bytes(m, key, &p, &n) || memchr(p, 0, n) != NULL)
        return NULL;
    char *s = mem_alloc(n + 1);
    if (s == NULL)
        return NULL;
    memcpy(s, p, n);
    s[n] = 0;
    return s;
}

/* ---- the walk ----------------------------------------------------------- */

static int
compare_keys(const void *a, const void *b)
{
    const char *x = "", *y = "";
    size_t n = 0, m = 0;
    (void)as_bytes(&(*(msgpack_object_kv *const *)a)->key, &x, &n);
    (void)as_bytes(&(*(msgpack_object_kv *const *)b)->key, &y, &m);
    if (n != m)
        return n < m ? -1 : 1;
    return memcmp(x, y, n);
}

/* E_FORMAT where a key comes twice: Erlang has no such maps. */
static int
check_keys(const msgpack_object_map *m)
{
    int e = 0;
    if (m->size < 2)
        return 0;
    msgpack_object_kv **sorted = mem_alloc(m->size * sizeof *sorted);
    if (sorted == NULL)
        return E_NOMEM;
    for (uint32_t i = 0; i < m->size; i++)
        sorted[i] = &m->ptr[i];
    qsort(sorted, m->size, sizeof *sorted, compare_keys);
    for (uint32_t i = 1; i < m->size && e == 0; i++)
        if (compare_keys(&sorted[i - 1], &sorted[i]) == 0)
            e = E_FORMAT;
    mem_free(sorted);
    return e;
}

static int walk_value(const msgpack_object *o, const struct ctl_sink *sink,
                      void *to);

static int
walk_list(const msgpack_object_array *a, const struct ctl_sink *sink, void *to)
{
    int e = sink->list(to, a->size);
    for (uint32_t i = 0; i < a->size && e == 0; i++)
        e = walk_value(&a->ptr[i], sink, to);
    return e != 0 ? e : sink->list_end(to, a->size);
}

static int
walk_map(const msgpack_object_map *m, const struct ctl_sink *sink, void *to)
{
    int e = check_keys(m);
    if (e == 0)
        e = sink->map(to, m->size);
    for (uint32_t i = 0; i < m->size && e == 0; i++) {
        e = walk_value(&m->ptr[i].key, sink, to);
        if (e == 0)
            e = walk_value(&m->ptr[i].val, sink, to);
    }
    return e;
}

/* Recursion is bounded: ctl_scan has counted the levels. */
static int
walk_value(const msgpack_object *o, const struct ctl_sink *sink, void *to)
{
    const char *p = "";
    size_t n = 0;
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        return sink->nil(to);
    case MSGPACK_OBJECT_BOOLEAN:
        return sink->boolean(to, o->via.boolean);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return sink->uint(to, o->via.u64);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return sink->negative(to, o->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return sink->real(to, o->via.f64);
    case MSGPACK_OBJECT_ARRAY:
        return walk_list(&o->via.array, sink, to);
    case MSGPACK_OBJECT_MAP:
        return walk_map(&o->via.map, sink, to);
    default:
        if (!as_bytes(o, &p, &n))
            return E_FORMAT;
        return sink->bytes(to, p, n);
    }
}

int
ctl_walk(const void *p, size_t n, const struct ctl_sink *sink, void *to)
{
    struct ctl_in in;
    struct ctl_map root;
    int e = ctl_open(&in, p, n, &root);
    if (e != 0)
        return e;
    e = walk_map(root.map, sink, to);
    ctl_close(&in);
    return e;
}
