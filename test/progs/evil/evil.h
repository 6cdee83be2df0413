/* SPDX-License-Identifier: Apache-2.0 */
/* evil.h - a helper that was taken over: it speaks the protocol well up to the
 * one deed that its context's name asks for.
 *
 *   zygote.c  stands in for `terrarium_py zygote`, without Python: makes the
 *             descriptors, forks, reaps, reports
 *   evil.c    what every deed needs: boot, hello, frames, the request
 *   deeds_*.c the deeds, one theme a file; each says who should stop it
 *
 * Used by: test/ct/py_evil_SUITE.erl and its like.   Knows: base, lane, wire.
 * Errors: what fails that has no business to is exit status EVIL_BROKEN, which
 * the suites tell from being killed.   Threads: none. */
#ifndef EVIL_H
#define EVIL_H

#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "frame.h"
#include "lane_layout.h"
#include "wire.h"

enum {
    EVIL_BROKEN = 99,   /* the deed could not be done */
    EVIL_SUCCEEDED = 98 /* something worked that must not */
};

struct evil {
    char name[64]; /* of the deed */
    int sock, hatch, segment;
    struct channel channel;
    struct frame_reader in;
    uint64_t id; /* of the request just read */
    uint8_t opcode;
};

struct deed {
    const char *name;
    void (*run)(struct evil *e);
};

/* At boot (in place of HELLO), and once a request has come. */
extern const struct deed deeds_boot[];
extern const struct deed deeds_frames[], deeds_answers[], deeds_lane[],
    deeds_floods[], deeds_fds[], deeds_policy[];

/* The body of the answer that this name stands for, or NULL. */
const uint8_t *etf_named(const char *name, size_t *n);
/* The same for bodies that are built; they are said at once.  1, or 0. */
int etf_build(struct evil *e);

_Noreturn void evil_main(int sock, int hatch, int segment);

/* ---- evil.c -------------------------------------------------------------- */

void evil_broken(const char *what) __attribute__((noreturn));
/* Until we are killed; reads nothing. */
_Noreturn void evil_wait(void);
/* Read; answer each request with 42. */
_Noreturn void evil_serve(struct evil *e);
/* Read until a request, or a CANCEL (opcode says), has come. */
void evil_next(struct evil *e);
/* Bytes, all of them; waits for room. */
void evil_say(struct evil *e, const void *p, size_t n);
void evil_header(struct evil *e, uint32_t length, uint8_t opcode, uint8_t flags,
                 uint16_t zero, uint64_t id);
void evil_frame(struct evil *e, uint8_t opcode, uint64_t id, const void *body,
                size_t n);
void evil_answer(struct evil *e, uint64_t id); /* 42 */
/* A control map with these two numbers, as HELLO. */
void evil_hello(struct evil *e, uint64_t version, uint64_t fingerprint);
void evil_sleep_ms(long ms);
/* CALLBACK: the head that Erlang relies on, with this number. */
size_t evil_question(uint8_t *to, uint64_t number);

#endif
