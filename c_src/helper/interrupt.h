/* SPDX-License-Identifier: Apache-2.0 */
/* interrupt.h - end the Python code of exactly one request.
 *
 * The VM sends SIGRTMIN+2 with the id of the request it means.  The signal
 * raises KeyboardInterrupt only while that very request is being run.
 * Used by: helper (set-up), session, forked.
 * Knows: the black box.   Does not know: frames, how a request is run.
 * State: a singleton of the process, shared with its signal handler.
 * Threads: the main thread only. */
#ifndef TERRARIUM_INTERRUPT_H
#define TERRARIUM_INTERRUPT_H

#include <stdint.h>

/* Install the signal handlers: 0, or -1 with an exception set. */
int interrupt_init(void);
/* In a process forked from one that has: the thread is another one, the timer
 * is gone. */
void interrupt_renew(void);

/* Of the request below, which waits while another one runs. */
struct interrupt_state {
    uint64_t running, pending;
    int hit, told, deferred;
};

/* From here on until interrupt_end an interrupt for this id takes effect. */
void interrupt_begin(uint64_t id, struct interrupt_state *below);

/* Was the request that began last hit?  (Valid until the next begin.) */
int interrupt_was_hit(void);

/* The request is over; an interrupt that was too late leaves no trace, but is
 * told: 1 if there was one.  No exception may be set.  Other Python signal
 * handlers that are due run. */
int interrupt_end(const struct interrupt_state *below);

/* Raise KeyboardInterrupt for the request being run, of which has been heard
 * otherwise that it is to end.  The signal that says the same, and may be late,
 * raises no second one. */
void interrupt_raise(void);

/* Has KeyboardInterrupt not been raised yet for the request being run, and may
 * it be now? */
int interrupt_is_due(void);

/* From another thread: end the main thread's sleep, if it sleeps. */
void interrupt_sleep(void);

/* Until it is called with 0 as often as with 1 nothing is raised for the
 * request being run; then it is.  For Python code that is run on behalf of
 * others. */
void interrupt_defer(int on);

/* Run the Python signal handlers that are due: -1 with what one raised. */
int interrupt_check(void);

/* From now on interrupts are ignored.  Async-signal-safe. */
void interrupt_off(void);

#endif
