/* SPDX-License-Identifier: Apache-2.0 */
/* etf_check_cli.c - the ETF checker behind a port.
 *
 * usage: etf_check_cli [FLAGS [MAX_DEPTH [STEP]]]
 * Reads packets as an Erlang port with {packet, 4} writes them, each a term
 * with its leading 131, and answers each by a packet of one byte: the
 * verdict, 0 or a (signed) error.  With STEP the term is fed in steps of so
 * many bytes.  FLAGS are etf_check_flags.
 *
 * Used by: prop_etf_check.erl. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "buf.h"
#include "err.h"
#include "etf_check.h"
#include "io.h"

struct options {
    uint32_t flags;
    uint32_t max_depth;
    size_t step; /* 0: all at once */
};

static int
read_exactly(int fd, uint8_t *p, size_t n)
{
    size_t got;
    for (; n > 0; p += got, n -= got) {
        int e = io_read(fd, p, n, &got);
        if (e != 0)
            return e;
    }
    return 0;
}

/* A packet's body into `in`; E_EOF at the end of the input. */
static int
read_packet(struct buf *in)
{
    uint8_t head[4];
    in->len = 0;
    int e = read_exactly(STDIN_FILENO, head, sizeof head);
    if (e == 0)
        e = buf_reserve(in, get_be32(head));
    if (e == 0)
        e = read_exactly(STDIN_FILENO, in->data, get_be32(head));
    if (e == 0)
        in->len = get_be32(head);
    return e;
}

static int
judge(const struct buf *in, const struct options *o)
{
    static struct etf_check c;
    int e = E_AGAIN;
    if (o->step == 0)
        return etf_check_all(in->data, in->len, o->flags, o->max_depth);
    etf_check_init(&c, o->flags, o->max_depth);
    for (size_t at = 0; at < in->len && (e == 0 || e == E_AGAIN);) {
        at = in->len - at < o->step ? in->len : at + o->step;
        e = etf_check(&c, in->data, at);
    }
    return e == E_AGAIN ? E_SHORT : e;
}

static unsigned long
number(char *const *argv, int argc, int i, unsigned long otherwise)
{
    return i < argc ? strtoul(argv[i], NULL, 10) : otherwise;
}

int
main(int argc, char **argv)
{
    struct options o = {
        .flags = (uint32_t)number(argv, argc, 1, 0),
        .max_depth = (uint32_t)number(argv, argc, 2, ETF_CHECK_MAX_DEPTH),
        .step = number(argv, argc, 3, 0)};
    uint8_t answer[5] = {0, 0, 0, 1, 0};
    struct buf in;
    buf_init(&in, 1u << 30);
    int e;
    while ((e = read_packet(&in)) == 0) {
        answer[4] = (uint8_t)judge(&in, &o);
        e = io_write_all(STDOUT_FILENO, answer, sizeof answer);
        if (e != 0)
            break;
    }
    buf_fini(&in);
    if (e != E_EOF)
        fprintf(stderr, "etf_check_cli: %s\n", err_str(e));
    return e == E_EOF ? EXIT_SUCCESS : EXIT_FAILURE;
}
