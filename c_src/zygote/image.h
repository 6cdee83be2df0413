/* SPDX-License-Identifier: Apache-2.0 */
/* image.h - the memory of a nest as a file, of which each helper maps its own
 * copy.
 *
 * To fork a process costs time for each page that it has in memory, used or
 * not, and so does its end.  Of a private mapping of a file the kernel copies
 * nothing at a fork: a page comes when it is touched, and is the process's own
 * once it is written.  So a nest puts what it has written so far into a memfd,
 * which is then sealed, and maps that where it was.  Nobody keeps a descriptor.
 * That goes for small mappings as well, and for such that are only read by now:
 * of each that has pages of its own the kernel keeps, at every fork, who might
 * share them.
 *
 * Which pages a helper writes is found out by a trial; it can then have them at
 * once, which costs less than as many faults.
 *
 * Not for the memory of others' allocators: what is given back to the kernel by
 * MADV_DONTNEED is then not zero, but as it was.  Those of libc and CPython
 * do not rely on that.
 * Used by: brood.   Knows: nothing.
 * Ownership: none; an image is numbers.   Errors: E_SYS.
 * Threads: the process must be single-threaded. */
#ifndef TERRARIUM_ZYGOTE_IMAGE_H
#define TERRARIUM_ZYGOTE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

enum { IMAGE_SPANS = 96, IMAGE_HOT = 250 };

struct image_span {
    uintptr_t from;
    size_t size; /* of whole pages */
    int protection;
};

struct image {
    int count;
    struct image_span spans[IMAGE_SPANS]; /* what is mapped from the file */
    int hot_count;
    struct image_span hot[IMAGE_HOT]; /* parts of them */
};

/* Have this process's memory in a file.  0, also where that can not be (then
 * there are no spans and nothing has changed); or E_SYS: it may be damaged. */
int image_take(struct image *im);

/* Note in *im, which is not part of it, what of it was written since. */
void image_look(struct image *im);

/* Have what is hot as one's own.  Only a hint; errno is kept. */
void image_warm(const struct image *im);

#endif
