/* SPDX-License-Identifier: Apache-2.0 */
/* pysupport_helper.h - a helper to talk to, as the VM would.
 *
 * Python runs in the test as well: bodies are written as Python expressions
 * and answers are looked at with them.  Every wait is bounded.
 *
 * TERRARIUM_TEST_WAY=lane lets both speak through a lane, where a driver would
 * do so: everything but BOOT.  The helper may poll it.
 * Used by: check_helper*.c.   Threads: none. */
#ifndef TERRARIUM_PYSUPPORT_HELPER_H
#define TERRARIUM_PYSUPPORT_HELPER_H

#include "py.h"

#include <check.h>
#include <sys/types.h>

#include "blackbox.h"
#include "channel.h"
#include "frame.h"

#define SUITE(name) Suite *make_##name##_suite(void);
#include "suites_py.h"
#undef SUITE

struct peer {
    struct channel channel;
    int segment; /* of the lane that is not in use yet, or -1 */
    pid_t pid;
    int box;      /* its black box */
    int out, err; /* the reading ends of its stdout and stderr */
    struct frame_reader in;
    struct buf held; /* what is to be written in one go */
    int holding;
    uint64_t last_id;
};

/* An unchecked fixture: start Python once, before the tests are forked. */
void peer_python(void);
/* A suite of one case with that fixture. */
Suite *peer_suite(const char *name, const TTest *const *tests, int seconds);

/* Fork a helper; with peer_boot it is also booted from this map (a Python
 * dict, its values strings, ints, lists and dicts). */
void peer_fork(struct peer *p);
void peer_boot(struct peer *p, const char *map);
void peer_start(struct peer *p); /* both, with an empty map */
/* Close the connection and wait: the helper ends by itself, with status 0. */
void peer_stop(struct peer *p);
/* The wait status of a helper that ends by itself. */
int peer_wait(struct peer *p);

/* Send a request with this body; its id. */
uint64_t peer_send(struct peer *p, uint8_t opcode, uint8_t flags,
                   const char *body);
/* Between these two nothing is written; then all of it at once. */
void peer_hold(struct peer *p);
void peer_let_go(struct peer *p);
void peer_send_raw(struct peer *p, const void *bytes, size_t n);
/* A notice, or anything else, with this id and body (NULL: empty). */
void peer_send_frame(struct peer *p, uint8_t opcode, uint8_t flags, uint64_t id,
                     const char *body);
/* The signal that the driver sends. */
void peer_interrupt(struct peer *p, uint64_t id);

/* The next frame, which must have this opcode and id; its body decoded, as a
 * new reference (NULL if it has none). */
PyObject *peer_receive(struct peer *p, uint8_t opcode, uint64_t id);
/* Whichever frame is next; its header, its body in *body if not NULL. */
struct wire_header peer_next(struct peer *p, PyObject **body);
/* 1 if the helper writes nothing for so long. */
int peer_is_silent(struct peer *p, int ms);
/* 1 if the connection ends (in time) with nothing before that. */
int peer_hangs_up(struct peer *p);

/* The expression, with v bound to this object (NULL: to None), is true. */
void peer_true(PyObject *v, const char *expression);
/* Send, receive the RESULT, and see that the expression is true of it. */
void peer_ask(struct peer *p, uint8_t opcode, const char *body,
              const char *expression);
/* The same for an ERROR: of this type, v is (type, message, story dict). */
void peer_ask_error(struct peer *p, uint8_t opcode, const char *body,
                    const char *type, const char *expression);
/* The ERROR that answers this id. */
void peer_error(struct peer *p, uint64_t id, const char *type,
                const char *expression);

/* What the black box says now: its header and its text. */
void peer_box(const struct peer *p, struct blackbox *b, char *text, size_t n);
/* Read from a descriptor until these bytes came by. */
void peer_read_until(int fd, const char *bytes);

#endif
