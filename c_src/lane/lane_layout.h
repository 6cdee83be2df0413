/* SPDX-License-Identifier: Apache-2.0 */
/* lane_layout.h - the shared segment of a lane, byte by byte.
 *
 *   word             written by  read by   meaning
 *   vm.head          VM          helper    end of the records to the helper
 *   vm.asleep        both        both      what the VM sleeps for; 0: awake
 *   vm.linger_ns     VM          helper    how long the helper may poll
 *   vm.tail          VM          helper    records taken from the helper
 *   helper.*         the same with the sides exchanged (linger_ns unused)
 *
 * A sleeper sets its own `asleep`; whoever rings clears it (exchange), so one
 * sleep is ended by one bell.
 *
 * `asleep` shares its cache line with `head`, which the other side polls, so
 * looking at it after a write costs nothing.  `tail` has a line of its own:
 * it is written while the other side polls, and would take the line away.
 *
 * Used by: lane.c and tests that play the enemy. */
#ifndef TERRARIUM_LANE_LAYOUT_H
#define TERRARIUM_LANE_LAYOUT_H

#include "lane.h"

enum { LANE_LINE = 64, LANE_PAGE = 4096 };

struct lane_words {
    _Alignas(LANE_LINE) _Atomic uint64_t head;
    _Atomic uint32_t asleep;
    _Atomic uint32_t linger_ns;
    _Alignas(LANE_LINE) _Atomic uint64_t tail;
};

struct lane_shared {
    struct lane_words vm, helper;
    _Alignas(LANE_PAGE) uint8_t down[LANE_RING]; /* VM to helper */
    uint8_t up[LANE_RING];                       /* helper to VM */
};

enum lane_item { LANE_BELL = 1, LANE_BULK = 2 };

#endif
