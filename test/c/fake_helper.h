/* SPDX-License-Identifier: Apache-2.0 */
/* fake_helper.h - a helper port over fake_erts, with the test as its helper.
 *
 * TERRARIUM_TEST_WAY=lane lets both speak through a lane where the test leaves
 * it open.  A port that waits for nothing does not look at its lane.
 * Used by: check_drv_*.c, fuzz_reply.c.   Threads: one. */
#ifndef TERRARIUM_FAKE_HELPER_H
#define TERRARIUM_FAKE_HELPER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "channel.h"
#include "fake_erts.h"
#include "wire.h"

struct fake_helper {
    ErlDrvData port;
    struct channel channel; /* the helper's end */
    int out, err;           /* write ends of its pipes */
    pid_t pid;              /* a process that only waits for signals, or 0 */
    int inner_socket;       /* the port's own descriptors, to pump them */
    int inner_out, inner_err;
    uint8_t head[WIRE_LIMIT_HEADER_SIZE]; /* of the frame being taken */
    size_t head_len;
};

/* with_process 0: the pidfd is that of a process that has ended. */
void fake_helper_start(struct fake_helper *f, int with_process);
/* With a lane, or with none, whatever the environment says. */
void fake_helper_start_over(struct fake_helper *f, int with_process, int lane);
/* With a process, and a good HELLO taken. */
void fake_helper_ready(struct fake_helper *f);
/* Say HELLO and let the port take it. */
void fake_helper_hello(struct fake_helper *f);
/* Close the port; the balance of fake_end. */
int fake_helper_stop(struct fake_helper *f);
/* Let the port read and write all that it can. */
void fake_helper_pump(struct fake_helper *f);
/* Write as the helper; the port is pumped when there is no room.  0, or -1:
 * the port has closed the connection. */
int fake_helper_write(struct fake_helper *f, const void *p, size_t n);
/* Read as the helper what is there: how much, 0: nothing. */
size_t fake_helper_read(struct fake_helper *f, void *p, size_t cap);
/* The helper closes the connection. */
void fake_helper_hang_up(struct fake_helper *f);
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
