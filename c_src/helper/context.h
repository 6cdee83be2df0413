/* SPDX-License-Identifier: Apache-2.0 */
/* context.h - what one context is in Python: its namespace and what requests
 * left behind in it.
 *
 * Used by: helper, boot, session, dispatch, exec, info.
 * Does not know: the connection it is reached through.
 * Ownership: owns its members.   Threads: the caller holds the GIL. */
#ifndef TERRARIUM_CONTEXT_H
#define TERRARIUM_CONTEXT_H

#include "py.h"
#include "code.h"
#include "etf_limits.h"
#include "objref.h"

struct context {
    PyObject *namespace; /* __main__.__dict__ */
    PyObject *others;    /* of processes: number => module */
    struct objref refs;
    struct code_cache eval, exec;
    struct etf_limits limits;
    uint32_t max_frame; /* of a body, in either direction */
};

int context_init(struct context *c); /* 0, or -1 with an exception */
void context_fini(struct context *c);

#endif
