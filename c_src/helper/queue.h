/* SPDX-License-Identifier: Apache-2.0 */
/* queue.h - frames that were read ahead, in their order, and by their ids.
 *
 * Used by: session.   Knows: frame.h, and that a body may have a part that is
 * an object.
 * Ownership: a request owns its body; the queue owns its requests until
 * queue_take.   Errors: NULL without memory.
 * Threads: the caller holds the GIL. */
#ifndef TERRARIUM_QUEUE_H
#define TERRARIUM_QUEUE_H

#include "py.h"
#include "etf_decode.h"
#include "frame.h"

enum { QUEUE_BUCKETS = 256 };

struct request {
    struct wire_header h;
    const uint8_t *body;
    uint8_t cancelled;
    uint8_t told;          /* the VM knows that it has begun */
    uint8_t slice;         /* per cent used of its time slice (slice.h) */
    uint8_t resumed;       /* its turn has come again */
    uint8_t interrupted;   /* between two steps: raise when it goes on */
    PyObject *step;        /* it has let others go first, and goes on with this
                              (steps.h); NULL: from its beginning */
    struct request *below; /* it runs on top of this one */
    void *owned;           /* where a large body lies */
    struct etf_part part;  /* of the body, if it was received apart */
    struct request *next;
    struct request *next_in_bucket;
    uint8_t small[]; /* where a small one does */
};

struct queue {
    struct request *first, **last;
    struct request *buckets[QUEUE_BUCKETS];
};

void queue_init(struct queue *q);
void queue_fini(struct queue *q);

/* A request with this frame's body: moved out of the reader when that is
 * cheaper than copying it.  NULL without memory. */
struct request *request_new(const struct frame *f, struct frame_reader *from);
void request_free(struct request *r);
/* Its body is not needed any more. */
void request_drop_body(struct request *r);

void queue_put(struct queue *q, struct request *r); /* takes r */
struct request *queue_take(struct queue *q);        /* NULL: empty */
/* The first one with this id, borrowed, or NULL. */
struct request *queue_find(struct queue *q, uint64_t id);

#endif
