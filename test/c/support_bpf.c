/* SPDX-License-Identifier: Apache-2.0 */
/* support_bpf.c - the instructions of a seccomp filter, one by one.  A success
 * of Check's assertions costs a system call: here only failures are told. */
#include "support_bpf.h"

#include <check.h>
#include <string.h>

static uint32_t
load(const struct seccomp_data *data, uint32_t at)
{
    uint32_t v;
    if (at > sizeof *data - sizeof v || at % 4 != 0)
        ck_abort_msg("load from %u", at);
    memcpy(&v, (const char *)data + at, sizeof v);
    return v;
}

/* Does the jump's condition hold? */
static int
holds(const struct sock_filter *i, uint32_t a)
{
    switch (BPF_OP(i->code)) {
    case BPF_JEQ:
        return a == i->k;
    case BPF_JGT:
        return a > i->k;
    case BPF_JGE:
        return a >= i->k;
    case BPF_JSET:
        return (a & i->k) != 0;
    default:
        ck_abort_msg("jump %#x", i->code);
    }
    return 0;
}

uint32_t
bpf_run(const struct sock_filter *code, size_t count,
        const struct seccomp_data *data)
{
    uint32_t a = 0;
    for (size_t pc = 0; pc < count; pc++) {
        const struct sock_filter *i = &code[pc];
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            a = load(data, i->k);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            break;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            if (BPF_CLASS(i->code) != BPF_JMP || BPF_SRC(i->code) != BPF_K)
                ck_abort_msg("instruction %zu is %#x", pc, i->code);
            pc += holds(i, a) ? i->jt : i->jf;
        }
    }
    ck_abort_msg("the filter has no end");
    return 0;
}
