/* SPDX-License-Identifier: Apache-2.0 */
/* pyerr.h - a Python exception as the body of an ERROR frame.
 *
 * Used by: dispatch, boot.
 * Knows: the shape {Type, Message, Story}.   Does not know: frames.
 * Whatever the exception is and whatever its methods do, there is an answer
 * of bounded size.   Ownership: borrows the exception.
 * Threads: the main thread, holding the GIL; user code may run. */
#ifndef TERRARIUM_PYERR_H
#define TERRARIUM_PYERR_H

#include "py.h"
#include "buf.h"

enum {
    PYERR_MESSAGE_CHARS = 64 << 10, /* of Message */
    PYERR_NOTE_CHARS = 4 << 10,
    PYERR_TEXT_BYTES = 64 << 10, /* of a traceback, and of Stack */
    PYERR_FRAMES = 128,
    PYERR_CHAIN = 16, /* exceptions told of: the first, causes, contexts */
    PYERR_REACH = 64, /* linked ones, up to which the text tells of them */
    PYERR_NOTES = 32,
    PYERR_ROOM = 256 /* bytes that the least answer takes */
};

/* Append the term with its leading 131.  exc NULL: there was no memory for
 * one.  stack[0..n) is where Python stood at an interrupt, or n is 0.
 * 0; E_NOMEM or E_LIMIT only if the buffer had less than PYERR_ROOM bytes
 * reserved.  Leaves no exception set. */
int pyerr_put(struct buf *out, PyObject *exc, const char *stack, size_t n);

#endif
