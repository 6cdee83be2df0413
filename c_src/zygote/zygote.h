/* SPDX-License-Identifier: Apache-2.0 */
/* zygote.h - the fork server: `terrarium_py zygote ...`.
 *
 * Used by: the main function of terrarium_py.
 * Threads: none, ever; a fork of a process with threads is a fork of locks
 * that nobody will release. */
#ifndef TERRARIUM_ZYGOTE_H
#define TERRARIUM_ZYGOTE_H

/* argv[0] is "zygote", the options follow.  Serves until its VM is gone or
 * wants it to end; returns an exit status (handoff.h) if it could not start,
 * and else ends the process itself.  In forked children it never returns. */
int zygote_main(int argc, char **argv);

#endif
