/* SPDX-License-Identifier: Apache-2.0 */
/* stdio_setup.h - sys.stdout and sys.stderr of a helper, whose descriptors 1
 * and 2 are pipes that were not there when Python started.
 * Used by: helper.   Threads: the main thread, holding the GIL. */
#ifndef TERRARIUM_STDIO_SETUP_H
#define TERRARIUM_STDIO_SETUP_H

/* Line-buffered text streams on 1 and 2: 0, or -1 with an exception. */
int stdio_setup(void);

#endif
