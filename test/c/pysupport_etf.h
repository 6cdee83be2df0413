/* SPDX-License-Identifier: Apache-2.0 */
/* pysupport_etf.h - what the codec's suites share: golden terms, expressions,
 * and an allocator that counts and fails.
 * Used by: check_etf*.c.   Threads: none. */
#ifndef TERRARIUM_PYSUPPORT_ETF_H
#define TERRARIUM_PYSUPPORT_ETF_H

#include "py.h"

#include "buf.h"
#include "pysupport_helper.h"
#include "support_check.h"

/* One term of test/data/etf; what is NULL does not exist. */
struct golden {
    char name[64];
    char *etf;
    size_t etf_len;
    char *back;
    size_t back_len;
    char *repr;
    char *error;
};

/* Call `each` for every golden term whose name starts with prefix, in the
 * order of their names; at least `least` of them. */
void each_golden(const char *prefix, int least,
                 void (*each)(const struct golden *g));

/* The value of an expression over the names of _erlang; new reference. */
PyObject *eval_erlang(const char *expression);
/* Its ETF. */
void encode_expression(const char *expression, struct buf *out);

/* The text of an object's repr; free() it. */
char *repr_of(PyObject *o);
/* The exception that is set is of this class and says this; it is cleared. */
void expect_error(PyObject *type, const char *text);

/* From now on Python's allocations are counted; the n-th from now fails
 * (0: none). */
struct watched {
    size_t bytes; /* asked for, in all */
    long calls;
    long failed;
    long live; /* blocks taken and not yet given back */
};
void watch_start(long fail_at);
struct watched watch_stop(void);

#endif
