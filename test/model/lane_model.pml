/* SPDX-License-Identifier: Apache-2.0 */
/* lane_model.pml - a driver's port and a helper at the two ends of a lane,
 * for Spin.  `make model` searches every interleaving, of every search that
 * scripts/model lists; docs/lane.md says what that proves.
 *
 * Parameters: RING, SOCK, INLINE, LOW (memory.pml); UNSAID (lane.pml); REQUESTS,
 * the sizes D0 D1 D2 of the requests and U0 U1 U2 of their answers, in units;
 * QUIET 1: there may be fewer requests; BETS 1: they may poll for each other;
 * CUTS 1: a turn of the driver may end early; UNASKED 1: the helper speaks once
 * unasked; NAPS (helper.pml); DYING; M, the mutation.
 *
 * Claims: no state without a way on but the proper end (invalid end states);
 * each unit comes in its place (take_unit); whoever reads the end has got all
 * that was said before it (assertions at the end of both processes); no cycle
 * without progress (searches with NP). */

#ifndef M
#define M NO_MUTATION
#endif
#ifndef DYING
#define DYING NOBODY
#endif

/* Each takes away one thing that the code does; see docs/lane.md. */
#define NO_MUTATION 0
#define NO_WAKER_FENCE 1 /* less: wake's fence */
#define NO_SLEEPER_FENCE 2 /* less: lane_arm's fence */
#define NO_LOOK_FOR_DATA 3 /* less: lane_arm's look at the ring that it reads */
#define NO_LOOK_FOR_SPACE 4 /* less: its look for room in the other */
#define NO_DATA_BELL 5 /* less: the bell after a record */
#define NO_SPACE_BELL 6 /* less: the bell after records were taken */
#define BELL_GETS_LOST 7 /* less: that a socket with room takes a bell */
#define BELL_AMID_BULK 8 /* less: wake's regard for bulk under way */
#define NO_POLLOUT 9 /* less: POLLOUT in lane_arm's events */
#define ARMED_FOR_EVER 10 /* less: `armed = 0` in helper_ready_input */
#define ANY_ARM_WILL_DO 11 /* less: rest()'s comparison with what is armed */
#define ITEM_NOT_TAKEN 12 /* less: read_item's taking of bells */
#define BULK_BEFORE_MARKER 13 /* less: the marker's coming before BULK */
#define BULK_FORGOTTEN 14 /* less: read_item's memory of a BULK */
#define BULK_FORGOTTEN_OUT 15 /* less: lane_writev's bulk before records */
#define MARKER_PASSED 16 /* less: ring_take's stop at a marker */
#define TAIL_BEFORE_COPY 17 /* less: the copying before tail's store */
#define HEAD_BEFORE_RECORD 18 /* less: the record before head's store */
#define END_BEFORE_DATA 19 /* less: `ended` */
#define SOCKET_ORDERS_NOTHING 20 /* less: a barrier in the kernel's send */
#define OWED_FORGOTTEN 21        /* less: the bell that was held back */
#define NOT_RUNG 23              /* less: ring_unasked */
#define UNREAD_FORGOTTEN 24      /* less: helper->unread */
#define WRITER_FORGOTTEN 22      /* less: lane_arm's bell for what was taken */

/* DYING: who may end at any time. */
#define NOBODY 0
#define HELPER_DIES 1
#define VM_DIES 2

/* The size of request i and of its answer; how many requests stand whole in
 * the first `units` units, and how many answers. */
#define DOWN(i) ((i) == 0 -> D0 : ((i) == 1 -> D1 : D2))
#define UP(i) ((i) == 0 -> U0 : ((i) == 1 -> U1 : U2))
#define ASKED(units) ((units) >= D0 + D1 + D2 -> 3 : \
    ((units) >= D0 + D1 -> 2 : ((units) >= D0 -> 1 : 0)))
#define ANSWERED(units) ((units) >= U0 + U1 + U2 -> 3 : \
    ((units) >= U0 + U1 -> 2 : ((units) >= U0 -> 1 : 0)))

mtype = { IDLE, READ, FLUSH, LEAVE, BET, NEXT, LOOK, WAIT, ANSWER, GONE }

#include "memory.pml"
#include "lane.pml"
#include "driver.pml"
#include "helper.pml"

init
{
    atomic {
        asleep[VM] = DATA; /* lane_segment_create */
        asleep[HELPER] = DATA;
        run drain(VM);
        run drain(HELPER);
        run driver();
        run helper()
    }
}

#ifdef LIVE
ltl both_end { <> (closed[VM] && closed[HELPER]) }
#endif
