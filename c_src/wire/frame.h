/* SPDX-License-Identifier: Apache-2.0 */
/* frame.h - cut a byte stream into frames.
 * Used by: helper (blocking side), tests, fuzzers.  The driver reads large
 * bodies into ERTS binaries and has its own reader over the same header.
 * Knows: wire.h.   Does not know: bodies, Python, ERTS.
 * Ownership: the reader owns its buffer; a frame's body is valid until the
 * next call that takes the same reader.
 * Errors: E_AGAIN needs more bytes; any other code is final: close the peer.
 * Threads: one reader per connection, one thread at a time. */
#ifndef TERRARIUM_FRAME_H
#define TERRARIUM_FRAME_H

#include "buf.h"
#include "wire.h"

struct frame_reader {
    struct buf in;
    size_t at;         /* start of the first frame not yet taken */
    uint8_t direction; /* what we accept: WIRE_UP or WIRE_DOWN */
    uint32_t max_body;
};

struct frame {
    struct wire_header h;
    const uint8_t *body;
};

void frame_reader_init(struct frame_reader *r, uint8_t direction,
                       uint32_t max_body);
void frame_reader_fini(struct frame_reader *r);

/* Where the next bytes go: at least `want` bytes at *p, *cap of them.  Memory
 * grows with the bytes that arrived, never with an announced length. */
int frame_reader_space(struct frame_reader *r, size_t want, uint8_t **p,
                       size_t *cap);
void frame_reader_filled(struct frame_reader *r, size_t n);

/* The next frame, E_AGAIN, E_FORMAT (no such opcode, wrong direction or body
 * where there must be none) or E_LIMIT. */
int frame_next(struct frame_reader *r, struct frame *f);

#endif
