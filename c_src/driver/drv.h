/* SPDX-License-Identifier: Apache-2.0 */
/* drv.h - what every file of the driver shares: the two kinds of port, the
 * replies of port_control, and messages to Erlang.
 *
 * A port is either a zygote's control connection (drv_zygote.c) or a helper's
 * data connection (drv_helper.c), or reads counts (drv_load.c), or copies and
 * closes descriptors (drv_fds.c); drv.c only dispatches.  ERTS serialises all
 * callbacks of one port (ERL_DRV_FLAG_USE_PORT_LOCKING) and the driver has no
 * global state, so nothing here takes a lock.
 * Knows: erl_driver.h, base, wire.   Does not know: Python.
 * Errors: a driver never exits, aborts, blocks or prints; what goes wrong ends
 * the port or is answered by port_control. */
#ifndef TERRARIUM_DRV_H
#define TERRARIUM_DRV_H

#include <erl_driver.h>
#include <stdint.h>

struct drv_reply {
    char **buf; /* in: ERTS' own small buffer; out: it or an ErlDrvBinary */
    ErlDrvSizeT cap;
};

struct drv_port;

struct drv_ops {
    ErlDrvSSizeT (*control)(struct drv_port *p, unsigned op,
                            const uint8_t *body, size_t n, struct drv_reply *r);
    void (*outputv)(struct drv_port *p, ErlIOVec *ev);
    void (*ready_input)(struct drv_port *p, int fd);
    void (*ready_output)(struct drv_port *p, int fd);
    void (*timeout)(struct drv_port *p);
    void (*process_exit)(struct drv_port *p, ErlDrvMonitor *m);
    void (*flush)(struct drv_port *p); /* closing with data queued */
    void (*stop)(struct drv_port *p);  /* frees p */
};

/* The head of both kinds of port. */
struct drv_port {
    const struct drv_ops *ops;
    ErlDrvPort port;
    ErlDrvTermData term; /* the port as a term */
};

/* Each returns a new port, or NULL with errno set. */
struct drv_port *drv_zygote_start(ErlDrvPort port, const char *args);
struct drv_port *drv_helper_start(ErlDrvPort port, const char *args);
/* The same for a helper whose descriptors came over the port `from': it belongs
 * to the process `owner' and takes of the descriptors what it needs, which then
 * are -1 here. */
struct drv_port *drv_helper_take(ErlDrvPort from, ErlDrvTermData owner,
                                 int *given, int count, uint32_t flags,
                                 int lane);
struct drv_port *drv_load_start(ErlDrvPort port);
struct drv_port *drv_fds_start(ErlDrvPort port);

/* ---- replies of port_control (drv_reply.c) ------------------------------ */

/* One byte. */
ErlDrvSSizeT drv_reply(struct drv_reply *r, uint8_t code);
/* Where a reply of n bytes goes: ERTS' own buffer or a new binary; NULL without
 * memory, and then the reply is empty. */
char *drv_reply_room(struct drv_reply *r, size_t n);
/* One byte and then data; NOMEM falls back to an empty answer. */
ErlDrvSSizeT drv_reply_data(struct drv_reply *r, uint8_t code, const void *p,
                            size_t n);
/* A helper's answer: the ETF of a RESULT alone, anything else behind
 * DRV_REPLY_ANSWER and its opcode; NOMEM as above. */
ErlDrvSSizeT drv_reply_answer(struct drv_reply *r, uint8_t opcode,
                              const void *body, size_t n);
/* DRV_REPLY_CALLBACK. */
ErlDrvSSizeT drv_reply_callback(struct drv_reply *r, uint64_t id,
                                const void *body, size_t n);
/* DRV_REPLY_REFUSED with a text. */
ErlDrvSSizeT drv_reply_refused(struct drv_reply *r, const char *text);

/* ---- messages to the port's owner (drv_reply.c) ------------------------- */

/* {Port, {Tag, Binary}} */
void drv_tell_binary(struct drv_port *p, const char *tag, const void *data,
                     size_t n);
/* {Port, {output, Stream, Binary}} */
void drv_tell_output(struct drv_port *p, const char *stream, const void *data,
                     size_t n);
/* {Port, Tag} */
void drv_tell_atom(struct drv_port *p, const char *tag);
/* {Port, {closed, Why}} or, with a text, {Port, {closed, {Why, Text}}} */
void drv_tell_closed(struct drv_port *p, const char *why, const char *text);

/* ---- descriptors under driver_select (drv_reply.c) ---------------------- */

void drv_watch(struct drv_port *p, int fd, int mode, int on);
/* Stop watching; stop_select closes it.  Forgets the number. */
void drv_unwatch_close(struct drv_port *p, int *fd);

/* ---- processes by pidfd (drv_process.c) --------------------------------- */

int drv_pidfd_open(int pid); /* close-on-exec; -1 with errno */
/* Send a queued signal carrying a 64-bit value; 0 or -1. */
int drv_pidfd_signal(int pidfd, int sig, uint64_t value);
/* SIGKILL to the process and, where the kernel can (Linux 6.9), to the group
 * that it leads. */
int drv_pidfd_kill(int pidfd);
/* Reap it if it is our child and has ended: 1 and the outcome, 0 still
 * alive, -1 not our child.  `block` waits for the end. */
int drv_pidfd_reap(int pidfd, int block, int *signaled, int *status);

#endif
