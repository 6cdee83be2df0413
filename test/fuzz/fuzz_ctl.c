/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_ctl.c - control messages from a peer, and terms for one.
 *
 * Input: a byte (even: the rest is a message, odd: it is a term), then the
 * bytes.  A message that opens is read with every getter and translated; what
 * is translated, the ETF checker accepts.  A term that is translated opens.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "err.h"
#include "etf_check.h"
#include "mem.h"

static void
check(int holds)
{
    if (!holds)
        abort();
}

/* Every byte of a string is read, so that a sanitizer sees a wrong one. */
static volatile unsigned sink;

static void
touch(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sink += (unsigned char)p[i];
}

static void
read_all(const struct ctl_map *m)
{
    static const char *const keys[] = {"", "a", "b", "type", "id", "boot"};
    const char *p, *v;
    size_t n, vn;
    uint64_t u;
    int64_t i64;
    int b;
    struct ctl_map sub;
    for (size_t i = 0; i < ctl_map_len(m); i++)
        if (ctl_pair(m, i, &p, &n, &v, &vn)) {
            touch(p, n);
            touch(v, vn);
        }
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        if (ctl_get_bytes(m, keys[k], &p, &n))
            touch(p, n);
        if (ctl_get_uint(m, keys[k], &u))
            check(ctl_get_int(m, keys[k], &i64) == (u <= INT64_MAX));
        if (ctl_get_bool(m, keys[k], &b))
            check(b == 0 || b == 1);
        for (size_t i = 0; i < ctl_list_len(m, keys[k]); i++)
            if (ctl_list_bytes(m, keys[k], i, &p, &n))
                touch(p, n);
        mem_free(ctl_dup(m, keys[k]));
        if (ctl_get_map(m, keys[k], &sub))
            read_all(&sub);
    }
    sink += (unsigned)ctl_is(m, "hello");
}

static void
message(const uint8_t *data, size_t size)
{
    struct ctl_in in;
    struct ctl_map m;
    struct buf etf, back;
    buf_init(&etf, 1 << 24);
    buf_init(&back, 1 << 24);
    int opened = ctl_open(&in, data, size, &m);
    if (opened == 0) {
        read_all(&m);
        ctl_close(&in);
    }
    int e = ctl_to_etf(data, size, &etf);
    check(opened == 0 || e == opened);
    if (e == 0) {
        check(etf_check_all(etf.data, etf.len, 0, 100) == 0);
        e = ctl_from_etf(etf.data, etf.len, &back);
        check(e == 0 || e == E_REFUSED || e == E_LIMIT);
    } else {
        check(etf.len == 0);
    }
    buf_fini(&etf);
    buf_fini(&back);
}

static void
term(const uint8_t *data, size_t size)
{
    struct ctl_in in;
    struct ctl_map m;
    struct buf packed, etf;
    buf_init(&packed, 1 << 24);
    buf_init(&etf, 1 << 24);
    if (ctl_from_etf(data, size, &packed) == 0) {
        check(ctl_open(&in, packed.data, packed.len, &m) == 0);
        read_all(&m);
        ctl_close(&in);
        int e = ctl_to_etf(packed.data, packed.len, &etf);
        check(e == 0 || e == E_FORMAT); /* a key twice */
    } else {
        check(packed.len == 0);
    }
    buf_fini(&packed);
    buf_fini(&etf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 2 == 0)
        message(data + 1, size - 1);
    else
        term(data + 1, size - 1);
    return 0;
}
