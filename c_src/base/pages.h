/* SPDX-License-Identifier: Apache-2.0 */
/* pages.h - fresh memory, cheaply.
 *
 * The first touch of a page costs a fault: 64 MiB in pages of 4 KiB took 170
 * ms on a virtual machine, in huge pages 4 ms.
 * Used by: buf, driver, helper, zygote.   Threads: pure functions of their
 * memory. */
#ifndef TERRARIUM_PAGES_H
#define TERRARIUM_PAGES_H

#include <stddef.h>

/* From Linux 6.1 on; older headers lack it. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Can what is mapped be replaced by a copy?  A sanitizer knows what lies where,
 * and minds that all of it is read. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { PAGES_REPLACEABLE = 0 };
#else
enum { PAGES_REPLACEABLE = 1 };
#endif

enum { PAGES_WORTH = 1 << 20 }; /* smaller blocks are left alone */

/* p[0..n) is about to be written: have it in huge pages where that is
 * possible, and its ends, which fill none, in few faults.  Only a hint: what
 * the kernel refuses costs nothing.  errno is kept. */
void pages_expect(void *p, size_t n);

#endif
