/* SPDX-License-Identifier: Apache-2.0 */
/* driver.pml - a helper's port as c_src/driver/drv_helper.c, drv_write.c,
 * drv_calls.c and drv_bet.c use the lane.
 *
 * `doing` is the function we are in: READ helper_read, FLUSH helper_flush and
 * then `after`, BET bet_poll, LEAVE helper_leave; IDLE in none, the VM looks at
 * the descriptors.  Bounds that end a turn (MAX_READS, MAX_TURNS) may strike at
 * any time here. */

proctype driver()
{
    LANE;
    byte left;     /* in the driver queue */
    byte asked;    /* requests */
    byte armed = DATA, want;
    mtype doing = IDLE, after = LEAVE;
    bool watching, again, turning, betting, once, quiet, died, unread;

    do
    :: DYING == VM_DIES && doing != GONE -> atomic { died = 1; doing = GONE }
    :: doing == IDLE ->
       if
       :: atomic { asked < REQUESTS && !quiet -> /* a request */
              said[VM] = said[VM] + DOWN(asked);
              if
              :: left == 0 -> once = 1 /* send_at_once: one write */
              :: true
              fi;
              left = left + DOWN(asked);
              asked++
          }
          if
          :: BETS && once && asked - ANSWERED(got) == 1 && left <= INLINE &&
             asleep[HELPER] == 0 ->
             /* bet_begin */
             lane_disarm(VM);
             atomic { armed = 0; betting = 1; held = 1 }
          :: true
          fi;
          atomic { doing = FLUSH; after = (betting -> BET : LEAVE) }
       :: atomic { QUIET && asked < REQUESTS && !quiet -> quiet = 1 }
       :: atomic { POLLIN(VM) -> /* helper_ready_input */
              if
              :: M == ARMED_FOR_EVER
              :: M != ARMED_FOR_EVER -> armed = 0
              fi;
              polled = 1;
              doing = READ
          }
       :: atomic { watching && POLLOUT(VM) -> /* helper_ready_output */
              armed = 0;
              doing = FLUSH;
              after = LEAVE
          }
       :: atomic { again -> again = 0; doing = LEAVE }
       :: atomic { (quiet || asked == REQUESTS) && asked == ANSWERED(got) &&
              left == 0 && (!UNASKED || got == U0 + U1 + 1) -> doing = GONE
          }
       fi
    :: doing == READ ->
       lane_read(VM);
       atomic {
           if
           :: r == OK -> /* calls_pump, then on, or MAX_READS are done */
              doing = FLUSH;
              if
              :: after = READ
              :: CUTS -> unread = 1; after = (betting -> BET : LEAVE)
              fi
           :: r == AGAIN && betting -> doing = BET
           :: r == AGAIN && !betting && turning -> doing = FLUSH; after = LEAVE
           :: r == AGAIN && !betting && !turning -> doing = LEAVE
           :: r == END -> doing = GONE
           fi;
           unread = (r == OK && unread);
           n = 0;
           r = NONE
       }
    :: doing == FLUSH && left == 0 -> atomic { once = 0; doing = after }
    :: doing == FLUSH && left > 0 ->
       lane_writev(VM);
       atomic {
           if
           :: r == OK && !once -> left = left - n
           :: r == OK && once -> left = left - n; doing = after
           :: r == AGAIN -> doing = after
           :: r == END -> left = 0; bulk_out = 0
           fi;
           once = 0;
           n = 0;
           r = NONE
       }
    :: doing == BET ->
       if
       :: atomic { head[PEER(VM)] != in_at && asked != ANSWERED(got) ->
              doing = READ
          }
       :: n = held;
          lane_release(VM); /* the helper is slow; lost; won; bet_off */
          atomic {
              if
              :: n > 0
              :: betting = 0; doing = LEAVE
              fi;
              n = 0
          }
       fi
    :: doing == LEAVE ->
       want = ((asked != ANSWERED(got) || (unread && M != UNREAD_FORGOTTEN)) ->
           DATA : 0) | (left > 0 -> SPACE : 0);
       if
       :: (want & ~armed) == 0 && !watching -> doing = IDLE
       :: M == ANY_ARM_WILL_DO && armed != 0 -> doing = IDLE
       :: CUTS && turning -> again = 1; doing = IDLE /* MAX_TURNS are done */
       :: (want & ~armed) != 0 || watching ->
          lane_arm(VM, want);
          atomic {
              if
              :: t == 0 -> armed = want; watching = pollout; doing = IDLE
              :: t != 0 -> armed = 0; turning = 1; doing = READ
              fi;
              t = 0
          }
       fi;
       atomic {
           want = 0;
           turning = (doing != IDLE && turning)
       }
    :: doing == GONE -> break
    od;
    atomic {
        FENCE(VM);
        closed[VM] = 1;
        if
        :: died
        :: !died && DYING == HELPER_DIES && closed[HELPER] ->
           assert(bulk_in > 0 || in_at == head[HELPER])
        :: else -> assert(got == said[HELPER] && asked == ANSWERED(got))
        fi
    }
}
