/* SPDX-License-Identifier: Apache-2.0 */
/* nudge.h - wake a thread of this process that sleeps in poll: an eventfd.
 *
 * Used by: idle, callback.   Knows: nothing.
 * Ownership: whoever opened it closes it.   Errors: E_SYS.
 * Threads: any; a nudge that nobody waits for yet is kept. */
#ifndef TERRARIUM_NUDGE_H
#define TERRARIUM_NUDGE_H

struct nudge {
    int fd; /* -1: closed */
};

int nudge_open(struct nudge *n);
void nudge_close(struct nudge *n);
/* Wake it; nothing while it is closed. */
void nudge_give(const struct nudge *n);
/* It is awake: forget what was given. */
void nudge_take(const struct nudge *n);

#endif
