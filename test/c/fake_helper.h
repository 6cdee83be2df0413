/* SPDX-License-Identifier: Apache-2.0 */
/* fake_helper.h - a helper port over fake_erts, with the test as its helper.
 * Used by: check_drv_*.c, fuzz_reply.c.   Threads: one. */
#ifndef TERRARIUM_FAKE_HELPER_H
#define TERRARIUM_FAKE_HELPER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fake_erts.h"
#include "lane.h"
#include "wire.h"

struct fake_helper {
    ErlDrvData port;
    int sock;         /* the helper's end */
    int out, err;     /* write ends of its pipes */
    pid_t pid;        /* a process that only waits for signals, or 0 */
    int inner_socket; /* the port's own descriptors, to pump them */
    int inner_out, inner_err;
};

/* with_process 0: the pidfd is that of a process that has ended. */
void fake_helper_start(struct fake_helper *f, int with_process);
/* With a lane, whose other end is `peer` (which uses f->sock, but does not own
 * it: do not close it). */
void fake_helper_start_lane(struct fake_helper *f, struct lane *peer);
/* The same over the socket and a good HELLO taken. */
void fake_helper_ready(struct fake_helper *f);
/* Say HELLO and let the port take it. */
void fake_helper_hello(struct fake_helper *f);
/* Close the port; the balance of fake_end. */
int fake_helper_stop(struct fake_helper *f);
/* Let the port read and write all that it can. */
void fake_helper_pump(struct fake_helper *f);
/* Write a frame as the helper. */
void fake_helper_frame(struct fake_helper *f, uint8_t opcode, uint64_t id,
                       const void *body, size_t n);
/* Take a frame that the port sent: its opcode, or -1; the body into out. */
int fake_helper_take(struct fake_helper *f, uint64_t *id, uint8_t *out,
                     size_t cap, size_t *n);
/* Submit {} as a CALL and return its id, 0 when it was not accepted. */
uint64_t fake_helper_submit(struct fake_helper *f, size_t bytes);
/* Attach; the first byte of the reply. */
int fake_helper_attach(struct fake_helper *f, uint64_t id, const char *ref);
int fake_helper_cancel(struct fake_helper *f, uint64_t id);
/* 1 when its process has been killed. */
int fake_helper_killed(struct fake_helper *f);

#endif
