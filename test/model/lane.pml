/* SPDX-License-Identifier: Apache-2.0 */
/* lane.pml - c_src/lane/lane.c and ring.c, function by function.
 *
 * A process says LANE once: its own struct lane, named as there, and places
 * for results.  `s` is VM or HELPER.  What an honest peer cannot cause
 * (E_FORMAT) is an assertion.  M is the mutation; see lane_model.pml. */

#define LANE                                                                  \
    byte out_at, out_taken; /* struct ring_writer: at, taken */               \
    byte in_at;             /* struct ring_reader: at */                      \
    byte bulk_out, bulk_in, refused;                                          \
    byte unsaid;                                                              \
    bool bulk_out_begun, bulk_in_begun, polled, ended, pollout, held, owed;   \
    byte got; /* units that lane_read has given in all */                     \
    byte r;   /* result of lane_read, lane_writev */                          \
    byte n;   /* how many units they took */                                  \
    byte t, item

/* ---- bells --------------------------------------------------------------- */

/* E_AGAIN drops it. */
inline send_bell(s)
{
    if
    :: closed[PEER(s)] || full(sock[s])
    :: !closed[PEER(s)] && nfull(sock[s]) && M != BELL_GETS_LOST ->
       sock[s]!BELL
    :: M == BELL_GETS_LOST
    fi
}

inline wake(s, want)
{
    atomic {
        WAKER_FENCE(s);
        t = asleep[PEER(s)] & (want);
        if
        :: M == NO_SPACE_BELL && (want) == SPACE -> t = 0
        :: M == NO_DATA_BELL && (want) == DATA -> t = 0
        :: else
        fi
    }
    if
    :: t == 0
    :: t != 0 ->
       atomic { /* a locked instruction: a fence by itself */
           FENCE(s);
           t = asleep[PEER(s)];
           asleep[PEER(s)] = 0;
           if
           :: bulk_out > 0 && M != BELL_AMID_BULK -> t = 0
           :: else
           fi
       }
       if
       :: t == 0
       :: t != 0 -> atomic { SYSCALL(s); send_bell(s); t = 0 }
       fi
    fi
}

inline announce(s)
{
    if
    :: held -> owed = 1
    :: !held -> wake(s, DATA)
    fi
}

inline lane_release(s)
{
    if
    :: owed && M != OWED_FORGOTTEN -> owed = 0; held = 0; wake(s, DATA)
    :: else -> owed = 0; held = 0
    fi
}

/* What was taken is in `unsaid` already. */
inline freed(s)
{
    if
    :: unsaid > UNSAID -> unsaid = 0; wake(s, SPACE)
    :: else
    fi
}

/* Room for `need` units?  t: 1 or 0. */
inline has_room(s, need)
{
    if
    :: out_at + (need) - out_taken <= RING -> t = 1
    :: else ->
       assert(tail[PEER(s)] >= out_taken && tail[PEER(s)] <= out_at);
       out_taken = tail[PEER(s)];
       t = (out_at + (need) - out_taken <= RING)
    fi
}

/* t: 1 do not sleep. */
inline lane_arm(s, want)
{
    lane_release(s);
    atomic {
        nfull(sb[s]);
        sb[s]!ASLEEP, want;
        pollout = ((want) & SPACE) && bulk_out > 0 && M != NO_POLLOUT
    }
    if
    :: unsaid > 0 && M != WRITER_FORGOTTEN -> unsaid = 0; wake(s, SPACE)
    :: else -> unsaid = 0
    fi;
    atomic {
        SLEEPER_FENCE(s); /* after wake: that one's */
        t = ((want) & DATA) && bulk_in == 0 && head[PEER(s)] != in_at &&
            M != NO_LOOK_FOR_DATA
    }
    if
    :: t == 0 && ((want) & SPACE) && bulk_out == 0 && M != NO_LOOK_FOR_SPACE ->
       atomic { has_room(s, refused) }
    :: else
    fi
}

inline lane_disarm(s)
{
    sb[s]!ASLEEP, 0
}

/* ---- reading ------------------------------------------------------------- */

inline take_unit(value)
{
    assert((value) == got + 1);
    got++
}

/* Load head, take records up to it or to a marker, or fewer (cap), store tail
 * once.  n: how many units. */
inline ring_take(s)
{
    atomic {
        nfull(sb[s]);
        t = head[PEER(s)];
        assert(t >= in_at && t - in_at <= RING);
        if
        :: M == TAIL_BEFORE_COPY && t != in_at -> sb[s]!TAIL, t
        :: else
        fi
    }
    atomic {
        nfull(sb[s]);
        n = 0;
        do
        :: in_at == t || (bulk_in > 0 && M != MARKER_PASSED) -> break
        :: in_at < t && (bulk_in == 0 || M == MARKER_PASSED) ->
           if
           :: CELL(PEER(s), in_at) > MARK ->
              bulk_in = CELL(PEER(s), in_at) - MARK
           :: else ->
              take_unit(CELL(PEER(s), in_at));
              n++
           fi;
           unsaid++;
           in_at++
        :: n > 0 && bulk_in == 0 -> break
        od;
        if
        :: (n > 0 || bulk_in > 0) && M != TAIL_BEFORE_COPY -> sb[s]!TAIL, in_at
        :: else
        fi;
        t = 0
    }
}

/* One item off the socket.  item: 0 is E_AGAIN, END end-of-file. */
inline receive(s)
{
    if
    :: nempty(sock[PEER(s)]) -> sock[PEER(s)]?item
    :: empty(sock[PEER(s)]) && closed[PEER(s)] -> item = END
    :: empty(sock[PEER(s)]) && !closed[PEER(s)] -> item = 0; polled = 0
    fi
}

/* The ring was empty.  r: NONE go on. */
inline read_item(s)
{
    assert(!bulk_in_begun);
    if
    :: !polled || M == ITEM_NOT_TAKEN -> r = AGAIN
    :: polled && M != ITEM_NOT_TAKEN ->
       atomic { receive(s) }
       atomic {
           t = (head[PEER(s)] != in_at);
           if
           :: item == 0 -> r = AGAIN
           :: item == END && t && !ended && M != END_BEFORE_DATA -> ended = 1
           :: item == END && (!t || ended || M == END_BEFORE_DATA) -> r = END
           :: item == BELL -> polled = 0
           :: item == BULK ->
              assert(t); /* its marker */
              bulk_in_begun = (M != BULK_FORGOTTEN);
              polled = 0
           :: else -> assert(false)
           fi;
           t = 0;
           item = 0
       }
    fi
}

/* One item of those that skip_to_bulk takes, or one byte: to the caller it is
 * the same if we come back at once.  Having taken many bells it gives up. */
inline read_bulk(s)
{
    atomic {
        receive(s);
        if
        :: item == 0 -> r = AGAIN
        :: item == END -> r = END
        :: item != 0 && item != END && bulk_in_begun ->
           take_unit(item);
           bulk_in--;
           bulk_in_begun = (bulk_in > 0);
           n = 1;
           r = OK
        :: !bulk_in_begun && item == BULK -> bulk_in_begun = 1
        :: !bulk_in_begun && item == BELL ->
           if
           :: skip
           :: r = AGAIN
           fi
        fi;
        item = 0
    }
}

inline lane_read(s)
{
    r = NONE;
    do
    :: r != NONE -> break
    :: r == NONE && bulk_in > 0 -> read_bulk(s)
    :: r == NONE && bulk_in == 0 ->
       ring_take(s);
       if
       :: n > 0 || bulk_in > 0 -> freed(s)
       :: n == 0 && bulk_in == 0 -> read_item(s)
       fi;
       if
       :: n > 0 -> r = OK
       :: n == 0
       fi
    od
}

/* ---- writing ------------------------------------------------------------- */

inline publish(s)
{
    sb[s]!HEAD, out_at
}

/* The bytes offered, `left` of them. */
inline fill_record(s)
{
    item = 0;
    do
    :: item < left ->
       item++;
       CELL(s, out_at) = said[s] - left + item;
       out_at++
    :: item == left -> break
    od;
    item = 0
}

inline fill_marker(s, length)
{
    CELL(s, out_at) = MARK + length;
    out_at++
}

inline write_inline(s)
{
    atomic {
        nfull(sb[s]);
        has_room(s, left);
        if
        :: t && M != HEAD_BEFORE_RECORD -> fill_record(s); publish(s)
        :: t && M == HEAD_BEFORE_RECORD -> sb[s]!HEAD, out_at + left
        :: else -> refused = left
        fi
    }
    if
    :: t ->
       atomic {
           if
           :: M == HEAD_BEFORE_RECORD -> fill_record(s)
           :: else
           fi
       }
       announce(s);
       n = left;
       r = OK
    :: else -> r = AGAIN
    fi
}

/* What is offered and announced goes out, as many items as there is room for,
 * or fewer. */
inline write_bulk(s)
{
    atomic {
        SYSCALL(s);
        n = 0;
        if
        :: closed[PEER(s)] -> r = END
        :: !closed[PEER(s)] && full(sock[s]) -> r = AGAIN
        :: !closed[PEER(s)] && nfull(sock[s]) ->
           if
           :: !bulk_out_begun -> sock[s]!BULK; bulk_out_begun = 1
           :: else
           fi;
           do
           :: nfull(sock[s]) && n < bulk_out ->
              n++;
              sock[s]!(said[s] - left + n)
           :: full(sock[s]) || n == bulk_out -> break
           :: n > 0 -> break
           od;
           bulk_out = bulk_out - n;
           bulk_out_begun = (bulk_out > 0);
           r = (n > 0 -> OK : AGAIN)
        fi
    }
}

/* Offered are `left` units, the last ones of those said. */
inline lane_writev(s)
{
    r = NONE;
    n = 0;
    if
    :: bulk_out > 0 && !(M == BULK_FORGOTTEN_OUT && left <= INLINE)
    :: (bulk_out == 0 || M == BULK_FORGOTTEN_OUT) && left <= INLINE ->
       write_inline(s)
    :: bulk_out == 0 && left > INLINE ->
       refused = 0;
       if
       :: M == BULK_BEFORE_MARKER && nfull(sock[s]) ->
          sock[s]!BULK;
          bulk_out_begun = 1
       :: M != BULK_BEFORE_MARKER
       fi;
       atomic {
           nfull(sb[s]);
           has_room(s, 1);
           if
           :: t -> bulk_out = left; fill_marker(s, left); publish(s)
           :: else -> r = AGAIN
           fi;
           t = 0
       }
    fi;
    if
    :: r == NONE -> write_bulk(s)
    :: else
    fi;
    t = 0
}
