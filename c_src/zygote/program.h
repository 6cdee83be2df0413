/* SPDX-License-Identifier: Apache-2.0 */
/* program.h - the program's code and constants in huge pages.
 *
 * Each helper runs through the same two MiB of the interpreter, and each has to
 * find every page of them anew, which takes as long as much of what it is there
 * for.  As huge pages there are four to find, and a fork finds them.
 *
 * They are private copies of what the file holds, made by a process from which
 * the others are forked.  Where the kernel has no huge pages, or the program's
 * parts do not begin where one could (scripts/python_build.py), all stays as it
 * is.
 * Used by: nest, tests.   Knows: nothing.
 * Ownership: none.   Errors: none.
 * Threads: the process must be single-threaded. */
#ifndef TERRARIUM_ZYGOTE_PROGRAM_H
#define TERRARIUM_ZYGOTE_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

/* All of the program that can not be written.  Once; then it does nothing. */
void program_enlarge(void);

/* One part that is mapped with this protection: 1, or 0 and nothing has
 * changed. Up to where its last huge page ends nothing else may be mapped. */
int program_enlarge_part(uintptr_t from, size_t size, int protection);

#endif
