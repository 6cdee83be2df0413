/* SPDX-License-Identifier: Apache-2.0 */
/* fake_erts.h - enough of the driver interface to run the driver without a VM.
 *
 * One port at a time.  Messages are recorded as text in Erlang's notation
 * ({py_answer,#1,65,<<131,97,1>>}; long binaries as <<N bytes>>), monitors and
 * watched descriptors are counted, the driver queue is a byte buffer, and the
 * test decides who the caller is.  Everything is checked for balance by
 * fake_end.  Used by: check_drv*.c, fuzz_reply.c.  Threads: one. */
#ifndef TERRARIUM_FAKE_ERTS_H
#define TERRARIUM_FAKE_ERTS_H

#include <erl_driver.h>
#include <stddef.h>

ErlDrvEntry *driver_init(void);

void fake_begin(void);
/* Nonzero if something is left: a monitor, a watched descriptor, a binary. */
int fake_end(void);

/* Who calls port_control from now on (any nonzero number is a process). */
void fake_set_caller(ErlDrvTermData pid);
/* The process ends: the driver's process_exit runs for each of its monitors. */
void fake_exit_process(ErlDrvData port, ErlDrvTermData pid);
/* port_control: the answer is copied into out (cap bytes); its full length. */
long fake_control(ErlDrvData port, unsigned op, const void *body, size_t n,
                  unsigned char *out, size_t cap);
/* port_command with the bytes in one binary. */
void fake_command(ErlDrvData port, const void *body, size_t n);

/* The data of the port that the driver created last; no process 0 can own one.
 */
ErlDrvData fake_created(void);

/* Messages so far; the i-th as text, NULL past the end. */
int fake_messages(void);
const char *fake_message(int i);
/* The whole last binary that was in a message. */
const unsigned char *fake_last_binary(size_t *n);
void fake_forget_messages(void);

int fake_busy(void);
/* Milliseconds of the timer that is set, or -1. */
long fake_timer(void);
/* Move the monotonic clock. */
void fake_sleep(long ms);
size_t fake_queue(void);
/* Mode bits watched for this descriptor. */
int fake_watched(int fd);
/* Let the n-th driver allocation from now fail; 0: none. */
void fake_fail_at(long n);

#endif
