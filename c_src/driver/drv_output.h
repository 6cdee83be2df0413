/* SPDX-License-Identifier: Apache-2.0 */
/* drv_output.h - what a helper's process writes to its descriptors 1 and 2.
 *
 * Bytes go to the port's owner as they come, on credit: once OUTPUT_CREDIT
 * bytes have been sent the pipes are left alone until the owner asks for
 * more, so a helper that prints without end fills its pipe and no mailbox.
 * The end of stderr is kept for a crash report.
 * Ownership: owns both descriptors.   Threads: the port's. */
#ifndef TERRARIUM_DRV_OUTPUT_H
#define TERRARIUM_DRV_OUTPUT_H

#include "drv.h"
#include "wire.h"

struct drv_output {
    int fds[2]; /* stdout, stderr; -1 once at end-of-file */
    int paused;
    size_t credit;
    size_t tail_len; /* bytes ever put into tail */
    uint8_t tail[WIRE_LIMIT_STDERR_TAIL];
};

/* Takes both descriptors and makes them non-blocking. */
int drv_output_open(struct drv_output *o, int out, int err);
/* Watch them. */
void drv_output_begin(struct drv_output *o, struct drv_port *p);
void drv_output_stop(struct drv_output *o, struct drv_port *p);
/* 1 if fd was one of ours. */
int drv_output_ready(struct drv_output *o, struct drv_port *p, int fd);
void drv_output_more(struct drv_output *o, struct drv_port *p);
/* Read what is left in stderr (bounded), then copy the tail out: its length;
 * `to` has room for WIRE_LIMIT_STDERR_TAIL bytes. */
size_t drv_output_tail(struct drv_output *o, struct drv_port *p, uint8_t *to);

#endif
