/* SPDX-License-Identifier: Apache-2.0 */
/* user.h - become another user before anything is started.
 *
 * For a launcher that root starts: runtimes and the command are then all the
 * same user's, and nothing stays behind that has more rights.
 * Used by: launcher.   Errors: E_ARG (there is no such user), E_REFUSED, E_SYS,
 * with a sentence in why.   Threads: none. */
#ifndef TERRARIUM_LAUNCHER_USER_H
#define TERRARIUM_LAUNCHER_USER_H

#include <stddef.h>

/* "NAME", "UID", each also with ":GROUP" or ":GID".  Without a group it is the
 * user's own, with all others that it is in; with one it is that alone.  HOME,
 * USER and LOGNAME become that user's. */
int user_become(const char *spec, char *why, size_t n);

#endif
