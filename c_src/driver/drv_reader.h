/* SPDX-License-Identifier: Apache-2.0 */
/* drv_reader.h - cut what a helper writes into checked answers.
 *
 * Nothing a helper wrote is believed: the header's opcode, direction, flags
 * and length are checked before its body is read, the body's ETF is walked by
 * etf_check as it arrives, and a large body grows with the bytes that came,
 * never with the length that was announced.
 * Small frames are cut from one buffer; a large body is received straight
 * into the ERTS binary that the caller will get.
 * Ownership: owns its buffer and the body under way.
 * Errors: E_AGAIN, E_EOF, E_SYS, or a protocol violation (E_FORMAT, E_LIMIT,
 * E_REFUSED, E_DEPTH, E_TRAILING, E_SHORT, E_NOMEM).   Threads: the port's. */
#ifndef TERRARIUM_DRV_READER_H
#define TERRARIUM_DRV_READER_H

#include <erl_driver.h>

#include "channel.h"
#include "etf_check.h"
#include "wire.h"

enum { DRV_READER_BUF = 65536, DRV_READER_LARGE = 16384 };

struct drv_reader {
    uint8_t *buf; /* DRV_READER_BUF bytes */
    size_t at, len;
    int filled; /* did the last read take all that there was room for? */
    uint32_t max_frame;
    uint32_t max_depth;
    uint32_t term_depth; /* what a policy says of it; 0: nothing */
    uint32_t max_words;  /* that a term may take in Erlang; 0: any */
    uint32_t etf_flags;
    struct wire_header h; /* of the large frame under way */
    ErlDrvBinary *large;  /* its body; NULL: none under way */
    size_t large_len;     /* bytes that have arrived */
    struct etf_check check;
    uint64_t bytes;  /* ever read */
    uint64_t frames; /* ever completed */
};

/* A frame: either bytes in the buffer (bin NULL) or a whole binary that now
 * belongs to the receiver. */
struct drv_frame {
    struct wire_header h;
    const uint8_t *body;
    ErlDrvBinary *bin;
};

int drv_reader_init(struct drv_reader *r, uint32_t etf_flags);
void drv_reader_fini(struct drv_reader *r);
/* One read from the channel. */
int drv_reader_fill(struct drv_reader *r, struct channel *c);
/* The next whole frame, E_AGAIN, or a violation. */
int drv_reader_next(struct drv_reader *r, struct drv_frame *f);
/* Which limit of a policy did a frame break that ended in this error?  NULL:
 * none, the error is all there is to say. */
const char *drv_reader_limit(const struct drv_reader *r, int e);
/* Has a frame been begun and not ended? */
int drv_reader_midway(const struct drv_reader *r);

#endif
