/* SPDX-License-Identifier: Apache-2.0 */
#include "breeds.h"

#include <stdio.h>
#include <string.h>

#include "err.h"
#include "groups.h"
#include "lockup.h"
#include "mem.h"
#include "wire.h"

static int
same_key(const struct breed *b, const struct buf *key)
{
    return b->key.len == key->len &&
           memcmp(b->key.data, key->data, key->len) == 0;
}

static void
breed_free(struct zygote *z, struct breed *b)
{
    nest_end(&b->nest);
    groups_forget(z, b);
    profile_free(&b->profile);
    places_free(&b->places);
    buf_fini(&b->key);
    mem_free(b);
}

/* The one that was used least recently, of those that have no helper. */
static struct breed **
least_used(struct zygote *z)
{
    struct breed **least = NULL;
    for (struct breed **at = &z->plain.next; *at != NULL; at = &(*at)->next)
        if ((*at)->children == 0 &&
            (least == NULL || (*at)->used_ms < (*least)->used_ms))
            least = at;
    return least;
}

/* With its spares gone, one that rests can be the next to go. */
static int
make_room(struct zygote *z, char *why, size_t n)
{
    if (z->breeds < BREEDS_MAX)
        return 0;
    struct breed **at = least_used(z);
    if (at == NULL) {
        snprintf(why, n, "more than %d policies are in use", BREEDS_MAX);
        return E_LIMIT;
    }
    struct breed *b = *at;
    *at = b->next;
    z->breeds--;
    breed_free(z, b);
    return 0;
}

static int
breed_new(struct zygote *z, const struct ctl_map *policy, struct buf *key,
          struct breed **out, unsigned *missing, char *why, size_t n)
{
    int e = make_room(z, why, n);
    struct breed *b = e == 0 ? mem_alloc(sizeof *b) : NULL;
    if (e == 0 && b == NULL)
        snprintf(why, n, "%s", err_str(e = E_NOMEM));
    if (e != 0)
        return e;
    memset(b, 0, sizeof *b);
    nest_init(&b->nest);
    e = profile_make(&b->profile, policy, &z->host, missing, why, n);
    if (e == 0 && (e = places_open(&b->places, &b->profile.policy)) != 0) {
        snprintf(why, n, "%s", err_str(e));
        profile_free(&b->profile);
    }
    if (e != 0) {
        mem_free(b);
        return e;
    }
    lockup_prepare(&b->profile.policy);
    b->key = *key;
    buf_init(key, 0);
    b->used_ms = now_ms();
    b->next = z->plain.next;
    z->plain.next = b;
    z->breeds++;
    *out = b;
    return 0;
}

/* There will be no others of this breed.  Nobody asks for the empty key. */
static void
retire(struct breed *b)
{
    b->wanted = 0;
    buf_fini(&b->key);
    buf_init(&b->key, 0);
}

/* One whose policy means other directories by now is not it. */
static struct breed *
find(struct zygote *z, const struct buf *key)
{
    for (struct breed *b = z->plain.next; b != NULL; b = b->next) {
        if (!same_key(b, key))
            continue;
        if (!places_moved(&b->places, &b->profile.policy))
            return b;
        retire(b);
        return NULL;
    }
    return NULL;
}

int
breeds_find(struct zygote *z, const struct ctl_map *m, struct breed **out,
            unsigned *missing, char *why, size_t n)
{
    struct ctl_map policy;
    struct buf key;
    *missing = 0;
    *out = &z->plain;
    if (!ctl_has(m, "policy"))
        return 0;
    buf_init(&key, WIRE_LIMIT_MAX_CONTROL);
    int e = ctl_get_packed(m, "policy", &key);
    if (e != 0 || !ctl_get_map(m, "policy", &policy)) {
        snprintf(why, n, "policy: %s", err_str(e != 0 ? e : E_FORMAT));
        buf_fini(&key);
        return e != 0 ? e : E_FORMAT;
    }
    struct breed *b = find(z, &key);
    if (b != NULL)
        *out = b;
    else
        e = breed_new(z, &policy, &key, out, missing, why, n);
    buf_fini(&key);
    return e;
}

void
breeds_lost(struct zygote *z, pid_t pid)
{
    for (struct breed *b = z->plain.next; b != NULL; b = b->next) {
        if (b->profile.cell.first != pid)
            continue;
        b->profile.cell.first = 0;
        retire(b);
    }
}

void
breeds_used(struct breed *b, uint64_t ahead)
{
    b->used_ms = now_ms();
    b->wanted = ahead < ZYGOTE_MAX_SPARES ? (unsigned)ahead : ZYGOTE_MAX_SPARES;
}

void
breeds_put_layers(struct ctl_out *m, const char *key, unsigned layers)
{
    char *names[LAYER_COUNT];
    size_t count = 0;
    for (int i = 0; i < LAYER_COUNT; i++)
        if (layers & (1u << i))
            names[count++] = (char *)layer_name(i);
    ctl_put_strs(m, key, names, count);
}
