/* SPDX-License-Identifier: Apache-2.0 */
/* helper.pml - a helper as c_src/helper/session.c, idle.c and
 * session_write.c use the lane.
 *
 * `doing` is the function we are in: NEXT session_next, FLUSH session_flush and
 * then `after`, LOOK read_ahead and then `then`, WAIT idle_wait for `want`,
 * ANSWER dispatch_request.  No wait has a timeout, so nothing that is found
 * here owes anything to one; NAPS waits may end for no reason (a timeout, a
 * signal). */

proctype helper()
{
    LANE;
    byte left; /* out_left */
    byte begun, want, naps;
    mtype doing = FLUSH, after = NEXT, then = NEXT;
    bool died, spoken, unasked;

    do
    :: DYING == HELPER_DIES && doing != GONE ->
       atomic { died = 1; doing = GONE }
    :: doing == NEXT ->
       if
       :: ASKED(got) > begun -> /* a whole request is there: run_request */
          atomic { begun++; doing = FLUSH; after = ANSWER }
       :: ASKED(got) == begun ->
          lane_release(HELPER); /* idle_linger */
          if
          :: atomic { head[PEER(HELPER)] != in_at -> doing = LOOK; then = NEXT }
          :: atomic { !UNASKED || begun < REQUESTS || spoken ->
                 want = DATA;
                 doing = WAIT;
                 then = NEXT
             }
          :: atomic { UNASKED && begun == REQUESTS && !spoken -> /* a thread */
                 spoken = 1;
                 unasked = 1;
                 said[HELPER]++;
                 left = 1;
                 doing = FLUSH;
                 after = NEXT
             }
          fi
       fi
    :: doing == WAIT ->
       lane_arm(HELPER, want);
       if
       :: t != 0 ->
          if
          :: true /* wait_short */
          :: lane_disarm(HELPER) /* wait_long */
          fi
       :: t == 0 ->
          if
          :: atomic { POLLIN(HELPER) || (pollout && POLLOUT(HELPER)) ->
                 polled = 1
             }
          :: atomic { naps < NAPS -> naps++ }
          fi;
          lane_disarm(HELPER)
       fi;
       atomic {
           doing = LOOK;
           pollout = 0;
           want = 0;
           t = 0
       }
    :: doing == LOOK ->
       lane_read(HELPER);
       atomic {
           if
           :: r == OK
           :: r == AGAIN -> doing = then
           :: r == END -> doing = GONE
           fi;
           n = 0;
           r = NONE
       }
    :: doing == FLUSH && left > 0 ->
       lane_writev(HELPER);
       atomic {
           if
           :: r == OK -> left = left - n
           :: r == AGAIN -> want = SPACE; doing = WAIT; then = FLUSH
           :: r == END -> doing = GONE
           fi;
           n = 0;
           r = NONE
       }
    :: doing == FLUSH && left == 0 ->
       if
       :: unasked && M != NOT_RUNG -> /* ring_unasked */
          lane_release(HELPER);
          atomic { SYSCALL(HELPER); send_bell(HELPER) }
       :: else
       fi;
       unasked = 0;
       if
       :: after == NEXT -> doing = NEXT
       :: after == ANSWER -> atomic { doing = LOOK; then = ANSWER }
       fi
    :: doing == ANSWER ->
       atomic {
           assert(!held); /* user code may take for ever */
           said[HELPER] = said[HELPER] + UP(begun - 1);
           left = left + UP(begun - 1);
           then = NEXT;
           if
           :: ASKED(got) > begun -> doing = NEXT
           :: else -> /* flush_before_wait */
              doing = FLUSH;
              after = NEXT;
              if
              :: BETS && asleep[VM] == 0 -> held = 1 /* idle_begin */
              :: true
              fi
           fi
       }
    :: doing == GONE -> break
    od;
    atomic {
        FENCE(HELPER);
        closed[HELPER] = 1;
        if
        :: died
        :: !died && DYING == VM_DIES ->
           assert(bulk_in > 0 || in_at == head[VM])
        :: else -> assert(got == said[VM] && left == 0)
        fi
    }
}
