/* SPDX-License-Identifier: Apache-2.0 */
/* erlmod.h - the builtin module `_erlang`: method table and argument parsing.
 * Used by: interp.c (PyImport_AppendInittab), tests.   Its contract for
 * Python is py/erlang/_erlang.pyi.   Threads: the caller holds the GIL. */
#ifndef TERRARIUM_ERLMOD_H
#define TERRARIUM_ERLMOD_H

#include "py.h"

PyMODINIT_FUNC PyInit__erlang(void);

#endif
