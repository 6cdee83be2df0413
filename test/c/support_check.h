/* SPDX-License-Identifier: Apache-2.0 */
/* support_check.h - what several suites need.
 * Used by: check_*.c.   Does not know: Python, ERTS. */
#ifndef TERRARIUM_SUPPORT_CHECK_H
#define TERRARIUM_SUPPORT_CHECK_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"

/* The codes by their names, so that a failure can be read. */
#define ck_err(expression, expected)                                           \
    do {                                                                       \
        int ck_e_ = (expression);                                              \
        ck_assert_msg(ck_e_ == (expected), "%s: %s, not %s", #expression,      \
                      ck_e_ >= 0 ? "no error" : err_name(ck_e_),               \
                      (expected) >= 0 ? "no error" : err_name(expected));      \
    } while (0)
#define ck_ok(expression) ck_err(expression, 0)

/* The allocation loop: run `once` with its first allocation failing, then its
 * second, ... until a run gets through without one failing.  `once` returns 0
 * or E_NOMEM; it checks for itself that a failure left no trace. */
void each_allocation_fails(int (*once)(void));

/* How many descriptors this process has open. */
int open_descriptors(void);

/* A deterministic generator, so that a failure can be repeated. */
uint32_t next_random(uint32_t *state);

#define SUITE(name) Suite *make_##name##_suite(void);
#include "suites.h"
#undef SUITE

/* A suite of one case; each test has `seconds`. */
Suite *suite_of(const char *name, const TTest *const *tests, int seconds);

#endif
