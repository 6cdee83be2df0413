/* SPDX-License-Identifier: Apache-2.0 */
/* drvsupport_callbacks.h - a port whose helper calls functions.
 *
 * There is one, `cb`, from the fixture of the suite; callers are numbers.  The
 * n-th callback has the number CB_FIRST + n.
 * Used by: check_drv_callback*.c.   Errors: Check's assertions.   Threads: one.
 */
#ifndef TERRARIUM_DRVSUPPORT_CALLBACKS_H
#define TERRARIUM_DRVSUPPORT_CALLBACKS_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_helper.h"

enum { CB_A = 1, CB_B = 2, CB_C = 3, CB_OTHER = 9 };
enum { CB_QUESTION = 14 + 7 }; /* the length of one */
#define CB_FIRST ((uint64_t)1 << 63)

extern struct fake_helper cb;
extern const uint8_t cb_etf_one[3];

/* A suite of one case over that port, and the case. */
Suite *cb_suite(const char *name, const TTest *const *tests, size_t n,
                TCase **tc);

/* As the helper: call a function in a request's name; say that it has begun, or
 * how it ended. */
void cb_ask(uint64_t id, uint64_t n);
void cb_say(uint8_t opcode, uint64_t id);
/* The next frame that the helper gets, whatever its flags; or there is none. */
void cb_takes(uint8_t opcode, uint64_t id);
void cb_takes_nothing(void);

/* As a caller: a small request; its id. */
uint64_t cb_submit_as(ErlDrvTermData who);
/* The same, which waits in its n-th callback by now. */
uint64_t cb_waiting(ErlDrvTermData who, const char *ref, uint64_t n);
/* Answer that one: the length of the reply (of 64 bytes), or its first byte. */
long cb_resume_as(ErlDrvTermData who, uint64_t id, uint64_t n, uint8_t *reply);
int cb_resume(ErlDrvTermData who, uint64_t id, uint64_t n);

/* What the helper said last was a lie: it is killed, and the owner told. */
void cb_expect_violation(void);

#endif
