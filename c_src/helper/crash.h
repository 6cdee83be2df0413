/* SPDX-License-Identifier: Apache-2.0 */
/* crash.h - keep the black box: what is being run, and a descriptor into
 * which faulthandler can write where Python stood when the process died.
 *
 * Used by: helper (set-up), session, exec, interrupt, pyerr's caller, forked.
 * Knows: blackbox.h, faulthandler.   Does not know: who reads it.
 * State: a singleton of the process.  Without a black box all is a no-op.
 * Threads: the main thread; crash_dump also from its signal handlers. */
#ifndef TERRARIUM_CRASH_H
#define TERRARIUM_CRASH_H

#include "py.h"

#include <stddef.h>
#include <stdint.h>

#include "blackbox.h"

/* Takes the descriptor (-1: none), all zeros, maps it, enables faulthandler on
 * it: 0, or -1 with an exception set. */
int crash_init(int fd);
/* In a process forked from one that has a box: have this one in its place,
 * under the same number and address.  0, or -1 with an exception set. */
int crash_renew(int fd);

/* What was known of the request below, which waits while another one runs. */
struct crash_what {
    struct blackbox below;
};

/* A request begins: nothing is known about it yet. */
void crash_begin(uint64_t id, uint32_t opcode, struct crash_what *what);
/* What it does: "module:function/arity", or the start of the code. */
void crash_what_call(PyObject *module, PyObject *function, Py_ssize_t arity);
void crash_what_method(uint64_t ref, PyObject *name, Py_ssize_t arity);
void crash_what_text(PyObject *text);
void crash_end(const struct crash_what *what);

/* Write this thread's Python stack over the text.  Async-signal-safe as far as
 * the interpreter is between two instructions, or in C code. */
void crash_dump(void);
/* The text that is there, borrowed until the next crash_begin. */
const char *crash_text(size_t *n);

/* Let a forbidden system call that is trapped (SECCOMP_RET_TRAP) leave its
 * number in the box, and end the process as if it had been killed. */
void crash_watch_calls(void);

/* In a child that user code forked: let go of the box, and let fatal errors
 * be told on standard error.  Async-signal-safe. */
void crash_detach(void);

#endif
