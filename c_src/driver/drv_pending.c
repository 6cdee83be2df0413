/* SPDX-License-Identifier: Apache-2.0 */
#include "drv_pending.h"

#include <string.h>
#include <sys/random.h>

enum { NO_PLACE = UINT32_MAX, PLACE_BITS = 16, FIRST_SIZE = 64 };

/* Of random bytes, for ids of six; many helpers have one request only. */
enum { FIRST_ENTROPY = 24, MORE_ENTROPY = 8 };

_Static_assert(WIRE_LIMIT_MAX_PENDING == 1 << PLACE_BITS,
               "an id's place fits the table");

void
pending_init(struct pending_table *t)
{
    memset(t, 0, sizeof *t);
    t->free = NO_PLACE;
}

static void
release(struct pending *q)
{
    if (q->ref != NULL)
        driver_free(q->ref);
    if (q->answer != NULL)
        driver_free_binary(q->answer);
    pending_body_free(q->body);
}

void
pending_fini(struct pending_table *t)
{
    for (uint32_t i = 0; i < t->size; i++) {
        release(t->slots[i]);
        driver_free(t->slots[i]);
    }
    if (t->slots != NULL)
        driver_free(t->slots);
    pending_init(t);
}

/* Add one place; entries never move, so pointers to them stay good. */
static struct pending *
add_place(struct pending_table *t)
{
    if (t->size == WIRE_LIMIT_MAX_PENDING)
        return NULL;
    if (t->size == 0 || (t->size >= FIRST_SIZE && !(t->size & (t->size - 1)))) {
        uint32_t cap = t->size == 0 ? FIRST_SIZE : t->size * 2;
        void *grown = t->slots == NULL
                          ? driver_alloc(cap * sizeof *t->slots)
                          : driver_realloc(t->slots, cap * sizeof *t->slots);
        if (grown == NULL)
            return NULL;
        t->slots = grown;
    }
    struct pending *q = driver_alloc(sizeof *q);
    if (q == NULL)
        return NULL;
    memset(q, 0, sizeof *q);
    t->slots[t->size++] = q;
    return q;
}

/* 0, or -1.  Without GRND_NONBLOCK it could only block before the system's
 * first entropy, long before a VM runs. */
static int
more_entropy(struct pending_table *t)
{
    uint32_t n = t->entropy_size * MORE_ENTROPY;
    if (n == 0)
        n = FIRST_ENTROPY;
    if (n > sizeof t->entropy)
        n = sizeof t->entropy;
    if (getrandom(t->entropy, n, 0) != (ssize_t)n)
        return -1;
    t->entropy_left = t->entropy_size = n;
    return 0;
}

static uint64_t
random48(struct pending_table *t)
{
    uint64_t v = 0;
    if (t->entropy_left < 6 && more_entropy(t) != 0)
        return 0;
    t->entropy_left -= 6;
    memcpy(&v, t->entropy + t->entropy_left, 6);
    memset(t->entropy + t->entropy_left, 0, 6);
    return v;
}

static uint64_t
new_id(struct pending_table *t, uint32_t place)
{
    uint64_t id = random48(t) << PLACE_BITS | place;
    return id >> PLACE_BITS ? id : (uint64_t)1 << PLACE_BITS | place;
}

struct pending *
pending_new(struct pending_table *t, uint8_t opcode, uint8_t flags)
{
    uint32_t place = t->free;
    struct pending *q;
    if (place != NO_PLACE) {
        q = t->slots[place];
        t->free = q->next_free;
    } else {
        place = t->size;
        q = add_place(t);
        if (q == NULL)
            return NULL;
    }
    memset(q, 0, sizeof *q);
    q->id = new_id(t, place);
    q->state = PENDING_RESERVED;
    q->opcode = opcode;
    q->flags = flags;
    t->count++;
    return q;
}

void
pending_free(struct pending_table *t, struct pending *q)
{
    uint32_t place = (uint32_t)(q->id & (WIRE_LIMIT_MAX_PENDING - 1));
    if (pending_listed(q))
        pending_unlink(t, q);
    release(q);
    q->id = 0;
    q->ref = NULL;
    q->answer = NULL;
    q->body = NULL;
    q->next_free = t->free;
    t->free = place;
    t->count--;
}

struct pending *
pending_find(const struct pending_table *t, uint64_t id)
{
    uint32_t place = (uint32_t)(id & (WIRE_LIMIT_MAX_PENDING - 1));
    if (id == 0 || place >= t->size || t->slots[place]->id != id)
        return NULL;
    return t->slots[place];
}

void
pending_enlist(struct pending_table *t, struct pending *q)
{
    q->state = PENDING_QUEUED;
    q->prev = t->last;
    q->next = NULL;
    if (t->last != NULL)
        t->last->next = q;
    else
        t->first = q;
    t->last = q;
    if (t->unsent == NULL)
        t->unsent = q;
}

void
pending_enlist_sent(struct pending_table *t, struct pending *q)
{
    struct pending *after = t->unsent;
    q->state = PENDING_SENT;
    q->next = after;
    q->prev = after != NULL ? after->prev : t->last;
    if (q->prev != NULL)
        q->prev->next = q;
    else
        t->first = q;
    if (after != NULL)
        after->prev = q;
    else
        t->last = q;
    t->wire_count++;
    t->wire_bytes += q->bytes;
}

void
pending_begin(struct pending_table *t, struct pending *q)
{
    q->begun = 1;
    t->wire_count--;
    t->wire_bytes -= q->bytes;
}

int
pending_window_open(const struct pending_table *t)
{
    if (t->unsent == NULL)
        return 0;
    return t->wire_count == 0 ||
           (t->wire_count < WIRE_LIMIT_WINDOW_REQUESTS &&
            t->wire_bytes + t->unsent->bytes <= WIRE_LIMIT_WINDOW_BYTES);
}

void
pending_mark_sent(struct pending_table *t)
{
    struct pending *q = t->unsent;
    q->state = PENDING_SENT;
    t->unsent = q->next;
    t->wire_count++;
    t->wire_bytes += q->bytes;
}

void
pending_unlink(struct pending_table *t, struct pending *q)
{
    if (q->state == PENDING_SENT && !q->begun && !q->yielded) {
        t->wire_count--;
        t->wire_bytes -= q->bytes;
    } else if (t->unsent == q) {
        t->unsent = q->next;
    }
    if (q->prev != NULL)
        q->prev->next = q->next;
    else
        t->first = q->next;
    if (q->next != NULL)
        q->next->prev = q->prev;
    else
        t->last = q->prev;
    q->prev = q->next = NULL;
    q->state = PENDING_ANSWERED;
}

/* ---- bodies -------------------------------------------------------------- */

static struct pending_body *
body_new(int parts)
{
    struct pending_body *b;
    b = driver_alloc(sizeof *b + (size_t)parts * sizeof b->part[0]);
    if (b != NULL)
        b->count = 0;
    return b;
}

/* Takes bin; 0, or -1: it was NULL. */
static int
body_add(struct pending_body *b, ErlDrvBinary *bin, size_t at, size_t len)
{
    if (bin == NULL)
        return -1;
    b->part[b->count].bin = bin;
    b->part[b->count].at = at;
    b->part[b->count++].len = len;
    return 0;
}

static ErlDrvBinary *
binary_of(const void *p, size_t n)
{
    ErlDrvBinary *bin = driver_alloc_binary((ErlDrvSizeT)n);
    if (bin != NULL && n > 0)
        memcpy(bin->orig_bytes, p, n);
    return bin;
}

void
pending_body_free(struct pending_body *b)
{
    if (b == NULL)
        return;
    for (int i = 0; i < b->count; i++)
        driver_free_binary(b->part[i].bin);
    driver_free(b);
}

struct pending_body *
pending_body_copy(const void *p, size_t n)
{
    struct pending_body *b = body_new(1);
    if (b != NULL && body_add(b, binary_of(p, n), 0, n) != 0) {
        pending_body_free(b);
        b = NULL;
    }
    return b;
}

struct pending_body *
pending_body_vec(ErlIOVec *ev, size_t skip)
{
    struct pending_body *b = body_new(ev->vsize);
    for (int i = 0; b != NULL && i < ev->vsize; i++) {
        size_t n = ev->iov[i].iov_len;
        size_t past = skip < n ? skip : n;
        const char *p = (const char *)ev->iov[i].iov_base + past;
        ErlDrvBinary *bin = ev->binv[i];
        skip -= past;
        if (n == past)
            continue;
        size_t at = bin != NULL ? (size_t)(p - bin->orig_bytes) : 0;
        if (bin != NULL)
            driver_binary_inc_refc(bin);
        else
            bin = binary_of(p, n - past); /* bytes of ERTS' own */
        if (body_add(b, bin, at, n - past) != 0) {
            pending_body_free(b);
            b = NULL;
        }
    }
    return b;
}
