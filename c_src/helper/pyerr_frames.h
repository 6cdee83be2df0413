/* SPDX-License-Identifier: Apache-2.0 */
/* pyerr_frames.h - which part of a traceback is told, and under which names.
 *
 * Frames of modules that say `__erlang_hidden__' of themselves stand between a
 * request and the user's code, and are nothing to its author: those at the
 * beginning are left out.  To strangers, files of this library are told
 * without the directory that it is installed in.
 * Used by: boot, pyerr_format, pyerr_story.   Errors: none, what can not be
 * looked at is told as it is.   Threads: as pyerr. */
#ifndef TERRARIUM_PYERR_FRAMES_H
#define TERRARIUM_PYERR_FRAMES_H

#include "py.h"

/* From now on this process tells strangers. */
void pyerr_frames_of_strangers(void);
/* A new reference, or NULL: nothing is left.  No exception is set. */
PyObject *pyerr_traceback(PyObject *exc);
/* A text in which files are named.  Steals s, which may be NULL; a new
 * reference, or NULL. */
PyObject *pyerr_told(PyObject *s);

/* The same of a stack as faulthandler writes it, a line for each frame: those
 * of hidden modules are left out, by their names. */
PyObject *pyerr_told_stack(PyObject *s);

#endif
