/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <endian.h>
#include <string.h>

#include "err.h"

#define CTL(name, direction, meaning) const char CTL_##name[] = #name;
#include "wire.def"

static const struct wire_frame_info frames[256] = {
#define FRAME(name, code, direction, body, meaning)                            \
    [code] = {#name, WIRE_##direction, WIRE_BODY_##body},
#include "wire.def"
};

const struct wire_frame_info *
wire_info(uint8_t opcode)
{
    return &frames[opcode];
}

void
wire_put_header(uint8_t *p, const struct wire_header *h)
{
    struct wire_header le = {.length = htole32(h->length),
                             .opcode = h->opcode,
                             .flags = h->flags,
                             .id = htole64(h->id)};
    memcpy(p, &le, sizeof le);
}

int
wire_get_header(const uint8_t *p, struct wire_header *h)
{
    struct wire_header le;
    memcpy(&le, p, sizeof le);
    if (le.zero != 0)
        return E_FORMAT;
    if (le32toh(le.length) > WIRE_LIMIT_MAX_FRAME)
        return E_LIMIT;
    *h = (struct wire_header){.length = le32toh(le.length),
                              .opcode = le.opcode,
                              .flags = le.flags,
                              .id = le64toh(le.id)};
    return 0;
}
