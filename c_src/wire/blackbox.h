/* SPDX-License-Identifier: Apache-2.0 */
/* blackbox.h - what survives a helper: a sealed memfd that it writes while it
 * lives and its zygote reads once it is dead.
 *
 * Layout: this header at offset 0; from BLACKBOX_TEXT on the traceback text
 * that faulthandler writes through the descriptor (whose file offset the
 * helper keeps there).  The memfd has a fixed size and is sealed against
 * growing and shrinking, so a helper can fill it but cost no more memory.
 * Writer: the helper only.  Reader: the zygote, by pread, after waitid said
 * that the helper is dead; it believes nothing in it and bounds every field. */
#ifndef TERRARIUM_BLACKBOX_H
#define TERRARIUM_BLACKBOX_H

#include <stdint.h>

struct blackbox {
    uint64_t request; /* id of the request being run; 0: none */
    uint32_t opcode;
    uint32_t what_len;
    uint32_t syscall; /* one more than the number of a forbidden system call */
    char what[240];   /* "module:function/arity", or the start of the code */
};

#endif
