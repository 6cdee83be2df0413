/* SPDX-License-Identifier: Apache-2.0 */
/* support_zygote.h - be the VM of a real zygote.
 * Used by: the suites of the zygote.   Knows: the control plane, frames, and
 * as much ETF as one string needs.
 * Errors: Check's assertions; every wait is bounded.   Threads: none. */
#ifndef TERRARIUM_SUPPORT_ZYGOTE_H
#define TERRARIUM_SUPPORT_ZYGOTE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl.h"
#include "io.h"

enum { ZYG_WAIT_MS = 10000 };

struct zyg {
    pid_t pid;
    int control;
};

struct zyg_message {
    struct ctl_in in;
    struct ctl_map map;
    int fds[IO_MAX_FDS];
    int count;
};

struct zyg_helper {
    uint64_t id;
    pid_t pid;
    int spare;
    int socket, out, err, pidfd, lane;
};

/* Start `terrarium_py zygote --control 3 ARGS...` (args ends with NULL, or is
 * NULL); prepare, unless NULL, runs in the child before the exec. */
void zyg_start(struct zyg *z, const char *const *args, void (*prepare)(void));
/* As zyg_start, and then ready, hello and its answer. */
void zyg_open(struct zyg *z, const char *const *args);
/* Put another zygote in its place, run by us, or by root as another user: 1. 0,
 * with a word, where we are not root, or such a user can not run it; then z is
 * as it was. */
enum { ZYG_AS_WE_ARE, ZYG_AS_NOBODY, ZYG_USERS };
int zyg_restart(struct zyg *z, int user, const char *const *args);
/* Close the control socket; the zygote must end with status 0 within a
 * second. */
void zyg_close(struct zyg *z);
/* It must end within a second; returns the wait status. */
int zyg_wait(struct zyg *z);

/* End and send it; 0 or the error of the socket. */
int zyg_send(struct zyg *z, struct ctl_out *m);
void zyg_send_hello(struct zyg *z, uint64_t version, uint64_t fingerprint,
                    uint64_t vm_pid);
void zyg_send_spawn(struct zyg *z, uint64_t id, size_t boot_padding);
void zyg_send_type(struct zyg *z, const char *type);

/* The next message: 1, 0 at end-of-file; nothing in time fails the test. */
int zyg_receive(struct zyg *z, struct zyg_message *m);
/* Skip log messages (and drop them), then it must be of that type. */
void zyg_expect(struct zyg *z, const char *type, struct zyg_message *m);
void zyg_message_free(struct zyg_message *m);
uint64_t zyg_uint(const struct zyg_message *m, const char *key);
/* Does the string under key contain this text? */
int zyg_has(const struct zyg_message *m, const char *key, const char *text);

/* The layers under key, LAYER_*. */
unsigned zyg_layers(const struct zyg_message *m, const char *key);

/* Spawn, and read the helper's HELLO. */
void zyg_spawn(struct zyg *z, uint64_t id, struct zyg_helper *h);
/* What follows a `spawned` message. */
void zyg_take_helper(struct zyg_message *m, struct zyg_helper *h);
void zyg_helper_close(struct zyg_helper *h);
/* Close it, and hear that it has ended. */
void zyg_bury(struct zyg *z, struct zyg_helper *h);
/* Let it execute Python code; does not wait for an answer. */
void zyg_exec(const struct zyg_helper *h, uint64_t request, const char *code);
/* Wait for a frame's header and skip its body; returns the opcode, 0 at
 * end-of-file. */
int zyg_frame(const struct zyg_helper *h, uint64_t *request);

/* Wait until the zygote has exactly n live children. */
void zyg_wait_children(const struct zyg *z, size_t n);

#endif
