/* SPDX-License-Identifier: Apache-2.0 */
/* memory.pml - what the two sides of a lane share: the segment's words, the
 * records, and the socketpair.
 *
 * A plain store goes into the storing processor's buffer (`sb`) and reaches
 * memory when `drain` gets to it: total store order, as on x86.  A fence, an
 * exchange and a system call on the socket wait until the buffer is empty.
 * Each load of a word that the other side writes, each item put on the socket
 * or taken from it, is a step of its own, which anything may come between.
 *
 * Sizes are in units: a ring has RING of them; a record takes one for each of
 * its bytes, a marker one.  A socket holds SOCK items each way. */

#define VM 0
#define HELPER 1
#define PEER(s) (1 - (s))

/* enum lane_want. */
#define DATA 1
#define SPACE 2

/* Results. */
#define NONE 0
#define OK 1
#define AGAIN 2
#define END 102 /* E_EOF; no byte of data and no item is that */

/* Items of the socket.  A byte of data is its number in its direction, on the
 * socket and in a ring; a marker in a ring is MARK and its length. */
#define BELL 100
#define BULK 101
#define MARK 64

/* Which word a store in the buffer is for. */
#define HEAD 1
#define TAIL 2
#define ASLEEP 3

byte head[2];   /* end of the records that this side has written */
byte tail[2];   /* how far this side has taken the other's records */
byte asleep[2]; /* what this side sleeps for */
byte ring[2 * RING];
#define CELL(s, at) ring[(s) * RING + (at) % RING]

chan sb[2] = [2] of { byte, byte };
chan sock[2] = [SOCK] of { byte }; /* sock[s]: written by s */
bool closed[2];
byte said[2]; /* units that this side wanted to say, for assertions */

/* What waits until the stores of side s are in memory. */
#define FENCE(s) empty(sb[s])
#define WAKER_FENCE(s) (M == NO_WAKER_FENCE || empty(sb[s]))
#define SLEEPER_FENCE(s) (M == NO_SLEEPER_FENCE || empty(sb[s]))
#define SYSCALL(s) (M == SOCKET_ORDERS_NOTHING || empty(sb[s]))

/* poll() on the end of side s.  The kernel calls a socket writable only when
 * most of it is free: here, when no more than LOW items are in it. */
#define POLLIN(s) (len(sock[PEER(s)]) > 0 || closed[PEER(s)])
#define POLLOUT(s) (len(sock[s]) <= LOW || closed[PEER(s)])

proctype drain(byte s)
{
    byte word, value;
end:
    do
    :: atomic {
           sb[s]?word, value;
           if
           :: word == HEAD -> head[s] = value
           :: word == TAIL -> tail[s] = value
           :: word == ASLEEP -> asleep[s] = value
           fi;
           word = 0;
           value = 0
       }
    :: atomic { /* the oldest of its kind, wherever it is */
           sb[s]??ASLEEP, value;
           asleep[s] = value;
           value = 0
       }
    od
}
