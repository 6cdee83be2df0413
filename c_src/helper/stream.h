/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - the bytes below sys.stdin, sys.stdout and sys.stderr.
 *
 * What the code of a request prints belongs to the process that made the
 * request: it is handed over, whole lines at once, by a call of the service
 * {io, put}, which that process runs before Python goes on.  Everything else
 * (threads, boot, exit handlers, a forked child) goes to the descriptor.
 *
 * Used by: stdio_setup, callback, dispatch.   Knows: callback, forked.
 * Does not know: text (that is io.TextIOWrapper's), who shows it.
 * State: one buffer per descriptor and way, of the process.
 * Errors: as CPython.  A group leader that fails does not fail the code: its
 * text goes to the descriptor then.
 * Threads: the caller holds the GIL. */
#ifndef TERRARIUM_STREAM_H
#define TERRARIUM_STREAM_H

#include "py.h"

/* A binary stream on descriptor 0 (reading is an error that says why), 1 or 2;
 * new reference. */
PyObject *stream_new(int fd);

/* Bits of those that hold an unfinished line of the request being run. */
extern unsigned stream_unfinished;

/* Hand the unfinished lines over; an exception that is set stays.  0, or -1
 * with what interrupted it. */
int stream_finish(void);

#endif
