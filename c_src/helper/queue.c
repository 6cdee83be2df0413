/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "queue.h"

#include <string.h>

#include "mem.h"

enum { MOVE_FROM = 64 << 10 }; /* bodies that are moved rather than copied */

void
queue_init(struct queue *q)
{
    memset(q, 0, sizeof *q);
    q->last = &q->first;
}

void
queue_fini(struct queue *q)
{
    struct request *r;
    while ((r = queue_take(q)) != NULL)
        request_free(r);
}

/* Alone in the reader's buffer: the buffer itself can go. */
static int
can_move(const struct frame *f, const struct frame_reader *from)
{
    return f->h.length >= MOVE_FROM && from->at == from->in.len;
}

struct request *
request_new(const struct frame *f, struct frame_reader *from)
{
    int move = can_move(f, from);
    size_t n = move ? 0 : f->h.length;
    struct request *r = mem_alloc(sizeof *r + n);
    if (r == NULL)
        return NULL;
    memset(r, 0, sizeof *r);
    r->h = f->h;
    if (move) {
        r->body = f->body;
        r->owned = from->in.data;
        size_t max = from->in.max;
        buf_init(&from->in, max);
        from->at = 0;
    } else {
        if (n > 0)
            memcpy(r->small, f->body, n);
        r->body = r->small;
    }
    return r;
}

void
request_drop_body(struct request *r)
{
    Py_CLEAR(r->part.object);
    mem_free(r->owned);
    r->owned = NULL;
    r->body = NULL;
}

void
request_free(struct request *r)
{
    if (r == NULL)
        return;
    request_drop_body(r);
    Py_XDECREF(r->step);
    mem_free(r);
}

static struct request **
bucket(struct queue *q, uint64_t id)
{
    return &q->buckets[(id ^ id >> 32) % QUEUE_BUCKETS];
}

void
queue_put(struct queue *q, struct request *r)
{
    struct request **b = bucket(q, r->h.id);
    r->next_in_bucket = *b;
    *b = r;
    r->next = NULL;
    *q->last = r;
    q->last = &r->next;
}

struct request *
queue_take(struct queue *q)
{
    struct request *r = q->first;
    if (r == NULL)
        return NULL;
    q->first = r->next;
    if (q->first == NULL)
        q->last = &q->first;
    struct request **p = bucket(q, r->h.id);
    while (*p != r)
        p = &(*p)->next_in_bucket;
    *p = r->next_in_bucket;
    r->next = r->next_in_bucket = NULL;
    return r;
}

struct request *
queue_find(struct queue *q, uint64_t id)
{
    struct request *r = *bucket(q, id);
    while (r != NULL && r->h.id != id)
        r = r->next_in_bucket;
    return r;
}
