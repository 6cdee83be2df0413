/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_reply.c - the driver's reply path, with the input as the helper.
 *
 * An input is a sequence of records: a selector byte, a length byte, then so
 * many bytes.  Selector 0 writes them as they are; the others make them the
 * body of a frame with that selector as opcode, answering the next request
 * in turn; so that the fuzzer, which cannot guess an id, reaches what lies
 * behind the id check.  Selectors from FIRST_STEP on are what else happens: a
 * good question, and what callers do.  The port must survive, and nothing may
 * be left. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fake_erts.h"
#include "fake_helper.h"

enum { REQUESTS = 4 };

enum step {
    FIRST_STEP = 0xF0,
    ASKS = FIRST_STEP, /* a question of this request */
    ASKS_FOR_NONE,
    ANSWERS, /* RESUME */
    ATTACHES,
    CANCELS,
    SUBMITS, /* in its place */
    DIES,
    REPLIES /* to a question of no request */
};

static void
ask(struct fake_helper *f, uint64_t id, uint8_t number)
{
    uint8_t body[] = {131, 104, 4,   110, 8,   0,   number, 0, 0, 0, 0,
                      0,   0,   128, 106, 106, 106, 116,    0, 0, 0, 0};
    fake_helper_frame(f, WIRE_CALLBACK, id, body, sizeof body);
}

static void
control(struct fake_helper *f, unsigned op, uint64_t id, size_t ids)
{
    uint8_t body[2 * 8 + 4] = {0}, reply[64];
    for (size_t i = 0; i < ids; i++)
        memcpy(body + 8 * i, &id, 8);
    memcpy(body + 8 * ids, (uint8_t[]){WIRE_CALLED, 131, 97, 1}, 4);
    fake_control(f->port, op, body, 8 * ids + 4, reply, sizeof reply);
}

static void
step(struct fake_helper *f, enum step what, uint64_t *id, uint8_t arg)
{
    fake_set_caller(1 + arg % 2);
    switch (what) {
    case ASKS:
        ask(f, *id, arg);
        break;
    case ASKS_FOR_NONE:
        ask(f, 0, arg);
        break;
    case ANSWERS:
        control(f, DRV_OP_RESUME, *id, 2);
        break;
    case ATTACHES:
        fake_helper_attach(f, *id, "#1");
        break;
    case CANCELS:
        fake_helper_cancel(f, *id);
        break;
    case SUBMITS:
        *id = fake_helper_submit(f, (size_t)3 << arg % 16);
        break;
    case DIES:
        fake_exit_process(f->port, 1 + arg % 2);
        break;
    default:
        control(f, DRV_OP_REPLY, *id, 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fake_helper f;
    uint64_t ids[REQUESTS];
    unsigned turn = 0;
    fake_helper_start_over(&f, 0, 0);
    if (size > 0 && data[0] & 1)
        fake_helper_hello(&f);
    for (int i = 0; i < REQUESTS; i++) {
        ids[i] = fake_helper_submit(&f, 3);
        if (i & 1)
            fake_helper_attach(&f, ids[i], "#1");
    }
    for (size_t at = 0; at + 2 <= size;) {
        uint8_t opcode = data[at];
        size_t n = data[at + 1];
        at += 2;
        if (n > size - at)
            n = size - at;
        if (opcode >= FIRST_STEP)
            step(&f, (enum step)opcode, &ids[turn++ % REQUESTS],
                 n > 0 ? data[at] : 0);
        else if (opcode != 0)
            fake_helper_frame(&f, opcode, ids[turn++ % REQUESTS], data + at, n);
        else if (fake_helper_write(&f, data + at, n) != 0)
            break;
        at += n;
        fake_helper_pump(&f);
    }
    if (fake_helper_stop(&f) != 0)
        abort();
    return 0;
}
