/* SPDX-License-Identifier: Apache-2.0 */
/* lane.h - a byte stream each way between two processes, through shared
 * memory, with a socketpair as its doorbell and for what is too large.
 *
 * One sealed memfd carries a ring per direction.  A record in a ring is either
 * bytes, or a marker: "the next N bytes come over the socket".  On the socket
 * travel items of one byte each: BELL (look at the shared memory), or BULK,
 * followed by the N bytes of the oldest marker not yet served.  So the order
 * of the bytes is that of the records, whatever way they took.
 *
 * A side that is about to sleep says so in its `asleep` word and looks once
 * more; a side that has changed something looks at the other's word and rings.
 * docs/lane.md proves that no wake-up is lost; `make model` searches for one.
 *
 * Used by: wire/channel_lane.c, zygote (creates the segment), tests.
 * Knows: base.   Does not know: frames, Erlang, Python.
 * Trust: the peer may write anything anywhere at any time.  No shared byte is
 * read twice; every number is checked after it has been copied; the seals make
 * sure that the mapping never shrinks.  What the peer can do is send wrong
 * bytes, or none.
 * Ownership: a lane owns its mapping and its end of the socketpair.
 * Errors: E_AGAIN, E_EOF, E_SYS, E_FORMAT (the peer broke the rules).
 * Threads: one at a time. */
#ifndef TERRARIUM_LANE_H
#define TERRARIUM_LANE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ring.h"

enum {
    LANE_RING = 1 << 17,        /* bytes of each ring */
    LANE_INLINE = LANE_RING / 2 /* larger writes go over the socket */
};

enum lane_side { LANE_VM, LANE_HELPER };

/* What a sleeping side wants to be woken for. */
enum lane_want { LANE_DATA = 1, LANE_SPACE = 2 };

struct lane_counters {
    uint64_t bells; /* rung by this side */
    uint64_t bulk;  /* bytes that this side sent over the socket */
};

struct lane {
    struct lane_shared *shared; /* NULL: closed */
    int sock;
    enum lane_side side;
    struct ring_writer out;
    struct ring_reader in;
    uint32_t bulk_out;  /* bytes of our marker not yet sent */
    int bulk_out_begun; /* its BULK item is on the socket */
    uint32_t bulk_in;   /* bytes of the peer's marker not yet received */
    int bulk_in_begun;  /* its BULK item has been taken from the socket */
    uint32_t refused;   /* size of the last write that found no room */
    int ended;          /* end-of-file was seen with data still in the ring */
    int polled;         /* the socket has something, or has ended */
    int held;           /* bells are held back */
    int owed;           /* one was: the peer may sleep for our data */
    uint32_t unsaid;    /* bytes taken since we last looked for a writer */
    struct lane_counters count;
};

/* A new segment: empty rings, both sides asleep.  Sealed against any change
 * of size.  E_SYS with errno. */
int lane_segment_create(int *fd);
/* 0; E_FORMAT when its size is wrong or not sealed; E_SYS. */
int lane_segment_check(int fd);

/* Map the segment, after checking its seals and size; takes the socket (and
 * makes it non-blocking) on success only.  The segment's descriptor stays the
 * caller's and may be closed.  Each side opens exactly once. */
int lane_open(struct lane *l, enum lane_side side, int segment, int sock);
void lane_close(struct lane *l);

/* Bytes from the peer.  E_EOF comes after the last of them, and is only seen
 * once lane_polled has been called. */
int lane_read(struct lane *l, void *p, size_t cap, size_t *n);
/* Bytes to the peer.  After a short write, or E_AGAIN, the bytes offered next
 * must be those that were left over. */
int lane_writev(struct lane *l, const struct iovec *v, int count, size_t *n);

/* About to sleep, until the peer has given us data (LANE_DATA) or room
 * (LANE_SPACE).  1: do not, something is there.  0: poll the socket for
 * *events. */
int lane_arm(struct lane *l, int want, short *events);
/* Not asleep, or not any more. */
void lane_disarm(struct lane *l);
/* Between these two nothing that is written is announced: for a side that
 * polls for the answer: most peers are awake, and the look at whether this one
 * sleeps, with its fence, need not delay us.  Nor them: it is only made, at the
 * latest, before we sleep. */
void lane_hold(struct lane *l);
void lane_release(struct lane *l);
/* Ring whether the peer sleeps for data or not: for what it does not expect,
 * and so has not armed for. */
void lane_ring(struct lane *l);
/* poll() said that the socket is readable, hung up or in error.  One item is
 * taken for each time; poll says so again if there are more. */
void lane_polled(struct lane *l);

/* ---- for spinning; hints, since the peer may lie --------------------------
 */

/* May lane_read find something?  One load. */
int lane_has_data(const struct lane *l);
/* While polling: have the lines of the next record come along with the word
 * that announces it (0.15 us less each way). */
void lane_expect(const struct lane *l);
/* Has the peer taken all that we put into the ring? */
int lane_is_taken(const struct lane *l);
/* Has the peer said that it sleeps? */
int lane_peer_sleeps(const struct lane *l);

/* How long the helper may poll for its next request, in nanoseconds: said by
 * the VM, read by the helper. */
void lane_set_linger(struct lane *l, uint32_t ns);
uint32_t lane_linger(const struct lane *l);

#endif
