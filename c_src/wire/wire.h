/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - wire.def as C constants, and the frame header.
 * Used by: driver, zygote, helper.   Knows: nothing else. */
#ifndef TERRARIUM_WIRE_H
#define TERRARIUM_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "wire_fingerprint.h" /* generated: WIRE_FINGERPRINT */

enum wire_direction { WIRE_DOWN = 1, WIRE_UP = 2, WIRE_BOTH = 3 };
enum wire_body { WIRE_BODY_none, WIRE_BODY_term, WIRE_BODY_control };

enum wire_opcode {
#define FRAME(name, code, direction, body, meaning) WIRE_##name = code,
#include "wire.def"
};

enum wire_flag {
#define FLAG(name, value, meaning) WIRE_FLAG_##name = value,
#include "wire.def"
};

enum wire_limit {
#define LIMIT(name, value, meaning) WIRE_LIMIT_##name = value,
#include "wire.def"
};

enum drv_op_code {
#define OP(name, code, meaning) DRV_OP_##name = code,
#include "wire.def"
};

enum drv_reply_code {
#define REPLY(name, code, meaning) DRV_REPLY_##name = code,
#include "wire.def"
};

#define CTL(name, direction, meaning) extern const char CTL_##name[];
#include "wire.def"

/* The signal by which the driver interrupts a request in a helper. */
#define WIRE_SIGNAL_INTERRUPT (SIGRTMIN + 2)
#define WIRE_SIGNAL_BACKTRACE (SIGRTMIN + 4)

struct wire_frame_info {
    const char *name; /* NULL: no such opcode */
    uint8_t direction;
    uint8_t body;
};

/* Never NULL. */
const struct wire_frame_info *wire_info(uint8_t opcode);

/* Requests are answered, notices are not. */
static inline int
wire_is_request(uint8_t opcode)
{
    return opcode >= 16 && opcode < 64 && wire_info(opcode)->name != NULL;
}

/* The 16 bytes before each body, little-endian on the wire. */
struct wire_header {
    uint32_t length; /* of the body */
    uint8_t opcode;
    uint8_t flags;
    uint16_t zero;
    uint64_t id; /* of the request; 0 for frames that belong to none */
};
_Static_assert(sizeof(struct wire_header) == WIRE_LIMIT_HEADER_SIZE,
               "the header has no padding");

void wire_put_header(uint8_t *p, const struct wire_header *h);
/* 0, or E_FORMAT when the zero field is not, or E_LIMIT over MAX_FRAME. */
int wire_get_header(const uint8_t *p, struct wire_header *h);

#endif
