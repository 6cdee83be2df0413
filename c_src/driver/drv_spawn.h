/* SPDX-License-Identifier: Apache-2.0 */
/* drv_spawn.h - start a zygote from inside the VM.
 *
 * posix_spawn, so the VM is never forked by our own code: the child gets the
 * control socket as descriptor HANDOFF_CONTROL_FD, /dev/null as stdin, default
 * signal dispositions, and no other descriptor above 2. */
#ifndef TERRARIUM_DRV_SPAWN_H
#define TERRARIUM_DRV_SPAWN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* body: <<Argc:32/native, argv strings, environment strings>>, each string
 * NUL-ended.  0, or an errno value (EINVAL: malformed body). */
int drv_spawn(const uint8_t *body, size_t n, int socket, pid_t *pid);

#endif
