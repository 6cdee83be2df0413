/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_reply.c - the driver's reply path, with the input as the helper.
 *
 * An input is a sequence of records: a selector byte, a length byte, then so
 * many bytes.  Selector 0 writes them as they are; the others make them the
 * body of a frame with that selector as opcode, answering the next request
 * in turn; so that the fuzzer, which cannot guess an id, reaches what lies
 * behind the id check.  The port must survive, and nothing may be left. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fake_erts.h"
#include "fake_helper.h"

enum { REQUESTS = 4 };

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
        if (opcode != 0)
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
