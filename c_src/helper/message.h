/* SPDX-License-Identifier: Apache-2.0 */
/* message.h - Python sends messages to Erlang processes.
 *
 * A receiver is a number here, which Python's side (erlang._messages) has had
 * watched by the VM before.  A message is written at once and not answered;
 * that a receiver is gone is told by a GONE frame, which is handed to Python as
 * soon as it is read.
 *
 * Used by: erlmod (Python's side), session_read (gives GONE frames).
 * Knows: session.   Does not know: what receivers are.
 * Errors: -1 with an exception.   Threads: all with the GIL held. */
#ifndef TERRARIUM_MESSAGE_H
#define TERRARIUM_MESSAGE_H

#include "py.h"

struct session;

/* The connection that messages go through; before that there is none. */
void message_init(struct session *s);

/* Can anything be sent: there is a VM, and this is not a child of its helper?
 */
int message_is_open(void);
/* Is this the thread that runs requests? */
int message_is_main(void);

/* Send the term to the receiver with this number, then look. */
int message_send(PyObject *number, PyObject *term);
/* Read what the VM has written: receivers that are gone are known then. */
int message_look(void);

/* Tell Python of the GONE frames that were read.  May run any Python code; what
 * it raises is printed. */
void message_tell(struct session *s);

#endif
