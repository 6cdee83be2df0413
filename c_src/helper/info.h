/* SPDX-License-Identifier: Apache-2.0 */
/* info.h - the answer to INFO: a dict about interpreter and process.
 * Used by: dispatch.   Errors: as CPython.   Threads: the main thread. */
#ifndef TERRARIUM_INFO_H
#define TERRARIUM_INFO_H

#include "py.h"
#include "context.h"

/* version, executable, prefix, pid, rss, pss (bytes; 0: not known), threads,
 * refs, gc (three counts), modules. */
PyObject *info_get(struct context *c, PyObject *body);

#endif
