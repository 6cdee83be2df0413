/* SPDX-License-Identifier: Apache-2.0 */
/* vm.h - watch the process of the VM, where that is possible.
 *
 * End-of-file on the control socket tells of the VM's end unless a process
 * between launcher and VM (a release's shell script) holds a copy of it; the
 * pidfd tells in that case too.
 * Used by: zygote.   Threads: pure. */
#ifndef TERRARIUM_ZYGOTE_VM_H
#define TERRARIUM_ZYGOTE_VM_H

#include <stdint.h>

/* A pidfd of the process that the VM says it is, or -1.  The number is only
 * believed of our parent and of its descendants: from inside another pid
 * namespace it would name some other process here, whose end is not ours. */
int vm_watch(uint64_t pid);

/* Can that process signal ours?  A VM that could not would neither interrupt
 * nor end its helpers.  Where nothing can be found out, it can. */
int vm_can_signal_us(uint64_t pid);

#endif
