/* SPDX-License-Identifier: Apache-2.0 */
/* backtrace.h - tell the VM where the Python of this process stands right now,
 * all threads, without stopping it.
 *
 * The VM sends SIGRTMIN+4 with a token; the text goes through the pipe of
 * standard error, in marked pieces, each written at once, which the VM cuts
 * out.
 *
 * Frames are only looked at when nobody changes them: best by the main thread
 * between two instructions, holding the GIL; by its C handler when it is stuck
 * in C code, if it holds the GIL or no other thread could; and if others may
 * run, its system call is ended (Python begins it again) so that it gets there.
 * When even that does not help, the frames of the main thread alone are told.
 *
 * Used by: helper (set-up), forked.   Knows: faulthandler.
 * State: a singleton of the process, shared with its signal handler.
 * Threads: the main thread only; its signal is handed on to it. */
#ifndef TERRARIUM_BACKTRACE_H
#define TERRARIUM_BACKTRACE_H

/* Install the signal handlers: 0, or -1 with an exception set. */
int backtrace_init(void);
/* In a process forked from one that has: the thread and the descriptors are
 * others. 0, or -1 with an exception set. */
int backtrace_renew(void);

/* In a child that user code forked: say nothing.  Async-signal-safe. */
void backtrace_detach(void);

#endif
