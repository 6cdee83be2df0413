/* SPDX-License-Identifier: Apache-2.0 */
/* holes.h - take what is free between what a nest has allocated.
 *
 * What a helper allocates would else come from wherever something was freed
 * before: nearly each block from another page, which the helper then has to
 * have as its own (image.h).  Where there are no holes, blocks come one after
 * the other, and a third fewer pages are written.  What is taken is never given
 * back; it is some hundred KiB of the image, which nobody touches.
 *
 * A hint: with an allocator that is not known here it does nothing.
 * Used by: brood.   Knows: how CPython and the GNU C library allocate.
 * Errors: none.   Threads: the process must be single-threaded. */
#ifndef TERRARIUM_ZYGOTE_HOLES_H
#define TERRARIUM_ZYGOTE_HOLES_H

void holes_fill(void);

#endif
