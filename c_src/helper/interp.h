/* SPDX-License-Identifier: Apache-2.0 */
/* interp.h - start the one CPython of this process.
 *
 * Used by: zygote (interp_init before its first fork), main (python mode),
 * tests.   Knows: PyConfig, where Terrarium's Python package lies.
 * Does not know: frames, helpers, the control plane.
 * Ownership: options are borrowed for the length of the call.
 * Errors: a code and a reason text; never exits, never prints.
 * Threads: the main thread, once per process; returns holding the GIL. */
#ifndef TERRARIUM_INTERP_H
#define TERRARIUM_INTERP_H

#include <stddef.h>

struct interp_options {
    const char *executable; /* sys.executable, a venv's python; NULL: the one
                               this program was built against */
    char *const *paths;     /* put before sys.path, in this order */
    size_t path_count;
    char *const *preload; /* modules to import */
    size_t preload_count;
};

/* Initialise Python as an ordinary interpreter would be (environment, site,
 * signal handlers), with the builtin module _erlang and the package erlang;
 * import the preload list; freeze the garbage collector.
 * 0, or E_SYS with a NUL-terminated UTF-8 text in reason[0..cap). */
int interp_init(const struct interp_options *o, char *reason, size_t cap);

/* An ordinary Python interpreter: `python ARGS...`, argv[0] is its name.
 * Returns the exit status. */
int interp_python_main(int argc, char **argv);

/* What is alive now lives for ever, and is shared with all who are forked
 * later: 0, or -1 with an exception set. */
int interp_settle(void);

/* The directory that the package erlang lies in, or "". */
const char *interp_package(void);

#endif
