/* SPDX-License-Identifier: Apache-2.0 */
/* stdio_setup.h - sys.stdin, sys.stdout and sys.stderr, as text over what
 * stream.h is.
 * Used by: interp (before modules are preloaded, so that what these hold on to
 * is ours), helper.   Threads: the main thread, holding the GIL. */
#ifndef TERRARIUM_STDIO_SETUP_H
#define TERRARIUM_STDIO_SETUP_H

/* Python's: 0, or -1 with an exception. */
int stdio_setup(void);
/* C's stdout, in a helper. */
void stdio_setup_c(void);

#endif
