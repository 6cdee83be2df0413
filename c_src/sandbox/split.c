/* SPDX-License-Identifier: Apache-2.0 */
/* split.c - a filter is followed for each call that passes early, with the
 * number and the architecture known, up to where it looks at arguments; what it
 * can do from there on is copied.  Programs only jump forwards. */
#include "split.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "err.h"
#include "mem.h"

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#define NATIVE 0 /* no program is understood, then */
#endif

#define NR offsetof(struct seccomp_data, nr)
#define ARCH offsetof(struct seccomp_data, arch)

enum { LOAD = BPF_LD | BPF_W | BPF_ABS, RETURN = BPF_RET | BPF_K };

/* What no filter lets pass as it is done between the two: in the process that
 * forks, in the forked one until it is locked up (brood.c, helper.c,
 * profile.c). */
static const int early_calls[] = {
#ifdef SYS_clone3
    SYS_clone3,
#endif
#ifdef SYS_dup2
    SYS_dup2,
#endif
#ifdef SYS_newfstatat
    SYS_newfstatat, /* fstat() */
#endif
    SYS_readlinkat,
    SYS_recvmsg,
    SYS_setsid,
    SYS_prctl,
    SYS_dup3,
    SYS_timer_create,
    SYS_memfd_create,
    SYS_prlimit64,
    SYS_unshare,
    SYS_mount,
    SYS_setgroups,
    SYS_setresgid,
    SYS_setresuid,
    SYS_capset,
    SYS_umask,
    SYS_chdir,
    SYS_landlock_create_ruleset,
    SYS_landlock_add_rule,
    SYS_landlock_restrict_self,
    SYS_seccomp,
};
enum { EARLY = sizeof early_calls / sizeof early_calls[0] };

/* ---- a program that grows ------------------------------------------------ */

static int
put(struct filter *f, struct sock_filter i)
{
    if (f->count == BPF_MAXINSNS)
        return E_FORMAT;
    if (f->code == NULL)
        f->code = mem_alloc(BPF_MAXINSNS * sizeof *f->code);
    if (f->code == NULL)
        return E_NOMEM;
    f->code[f->count++] = i;
    return 0;
}

static int
put_all(struct filter *f, const struct sock_filter *code, size_t n)
{
    int e = 0;
    for (size_t i = 0; e == 0 && i < n; i++)
        e = put(f, code[i]);
    return e;
}

/* ---- following ----------------------------------------------------------- */

static int
is_jump(const struct sock_filter *i)
{
    return BPF_CLASS(i->code) == BPF_JMP;
}

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
    default: /* BPF_JSET */
        return (a & i->k) != 0;
    }
}

/* Where the program is when it first does more than to look at number and
 * architecture: at a return, or where it loads an argument. */
static int
follow(const struct filter *f, uint32_t nr, size_t *at)
{
    uint32_t a = 0;
    int known = 0;
    size_t pc = 0;
    for (; pc < f->count; pc++) {
        const struct sock_filter *i = &f->code[pc];
        if (i->code == LOAD && (i->k == NR || i->k == ARCH)) {
            a = i->k == NR ? nr : NATIVE;
            known = 1;
        } else if (i->code == (BPF_JMP | BPF_JA)) {
            pc += i->k;
        } else if (is_jump(i) && BPF_SRC(i->code) == BPF_K && known) {
            pc += holds(i, a) ? i->jt : i->jf;
        } else if (i->code == LOAD || i->code == RETURN) {
            *at = pc;
            return 0;
        } else {
            break;
        }
    }
    return E_FORMAT;
}

/* ---- copying ------------------------------------------------------------- */

enum { NOT_REACHED = 0xffff };

/* Mark where it can go from one instruction; -1 where that is not understood.
 */
static int
mark_next(const struct filter *f, size_t pc, uint16_t *marks)
{
    const struct sock_filter *i = &f->code[pc];
    size_t next[2] = {pc + 1, pc + 1};
    if (i->code == RETURN)
        return 0;
    if (i->code == (BPF_JMP | BPF_JA)) {
        next[0] = next[1] = pc + 1 + i->k;
    } else if (is_jump(i) && BPF_SRC(i->code) == BPF_K) {
        next[0] += i->jt;
        next[1] += i->jf;
    } else if (i->code != LOAD && i->code != (BPF_ALU | BPF_AND | BPF_K)) {
        return E_FORMAT;
    }
    if (next[0] >= f->count || next[1] >= f->count)
        return E_FORMAT;
    marks[next[0]] = marks[next[1]] = 0;
    return 0;
}

/* The jumps of a copy are shorter, for what is not reached is left out. */
static struct sock_filter
moved(const struct filter *f, size_t pc, const uint16_t *places)
{
    struct sock_filter i = f->code[pc];
    unsigned next = places[pc] + 1u;
    if (i.code == (BPF_JMP | BPF_JA)) {
        i.k = places[pc + 1 + i.k] - next;
    } else if (is_jump(&i)) {
        unsigned yes = places[pc + 1 + i.jt], no = places[pc + 1 + i.jf];
        i.jt = (uint8_t)(yes - next);
        i.jf = (uint8_t)(no - next);
    }
    return i;
}

/* All that can happen from here on. */
static int
copy_from(const struct filter *f, size_t from, struct filter *to)
{
    uint16_t *places = mem_alloc(f->count * sizeof *places);
    uint16_t place = 0;
    int e = places != NULL ? 0 : E_NOMEM;
    for (size_t i = 0; e == 0 && i < f->count; i++)
        places[i] = i == from ? 0 : NOT_REACHED;
    for (size_t i = from; e == 0 && i < f->count; i++)
        if (places[i] != NOT_REACHED) {
            places[i] = place++;
            e = mark_next(f, i, places);
        }
    for (size_t i = from; e == 0 && i < f->count; i++)
        if (places[i] != NOT_REACHED)
            e = put(to, moved(f, i, places));
    mem_free(places);
    return e;
}

/* ---- the two ------------------------------------------------------------- */

static const struct sock_filter allow = {RETURN, 0, 0, SECCOMP_RET_ALLOW};

/* Of another architecture's calls only the early one knows anything. */
static int
begin(struct filter *f, unsigned elsewhere)
{
    const struct sock_filter head[] = {
        BPF_STMT(LOAD, ARCH),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0),
        BPF_STMT(BPF_JMP | BPF_JA, elsewhere),
        BPF_STMT(LOAD, NR),
    };
    return put_all(f, head, sizeof head / sizeof head[0]);
}

static int
make_early(const struct filter *whole, struct filter *early)
{
    int e = begin(early, 1 + 2 * EARLY);
    for (int i = 0; e == 0 && i < EARLY; i++) {
        const struct sock_filter pass[] = {
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)early_calls[i], 0, 1),
            allow};
        e = put_all(early, pass, 2);
    }
    return e != 0 ? e : put_all(early, whole->code, whole->count);
}

/* What the whole one does with some of these calls, from one place on. */
struct block {
    size_t from; /* there */
    size_t to;   /* here */
};

static int
is_same(const struct filter *whole, size_t a, size_t b)
{
    const struct sock_filter *x = &whole->code[a], *y = &whole->code[b];
    return a == b || (x->code == RETURN && memcmp(x, y, sizeof *x) == 0);
}

/* A question for each of these calls that the whole one does not just allow: if
 * it is this, go to its block, whose place is not known yet.  The kernel goes
 * through all of them for each other call, to know what is always allowed. */
static int
put_questions(const struct filter *whole, struct filter *late, size_t *from)
{
    int e = 0;
    for (int i = 0; e == 0 && i < EARLY; i++) {
        e = follow(whole, (uint32_t)early_calls[i], &from[i]);
        if (e == 0 &&
            memcmp(&whole->code[from[i]], &allow, sizeof allow) == 0) {
            from[i] = whole->count;
            continue;
        }
        const struct sock_filter question =
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)early_calls[i], 0, 0);
        if (e == 0)
            e = put(late, question);
    }
    return e != 0 ? e : put(late, allow);
}

/* Where the block is that does what the whole one does from there on: one that
 * is there already, or a new one. */
static int
find_block(const struct filter *whole, struct filter *late, size_t from,
           struct block *blocks, int *count, size_t *to)
{
    for (int i = 0; i < *count; i++)
        if (is_same(whole, blocks[i].from, from)) {
            *to = blocks[i].to;
            return 0;
        }
    *to = late->count;
    blocks[(*count)++] = (struct block){from, late->count};
    return copy_from(whole, from, late);
}

static int
put_calls(const struct filter *whole, struct filter *late)
{
    struct block blocks[EARLY];
    size_t from[EARLY], at = late->count, to = 0;
    int count = 0, e = put_questions(whole, late, from);
    for (int i = 0; e == 0 && i < EARLY; i++) {
        if (from[i] == whole->count)
            continue;
        e = find_block(whole, late, from[i], blocks, &count, &to);
        if (e == 0 && to - at - 1 > UINT8_MAX)
            e = E_FORMAT;
        if (e == 0)
            late->code[at].jt = (uint8_t)(to - at - 1);
        at++;
    }
    return e;
}

/* The selfkill filter is in front, and goes on where it would allow a call that
 * is none of its. */
static int
make_late(const struct filter *whole, struct filter *late)
{
    struct sock_filter selfkill[SELFKILL_COUNT];
    selfkill_make(selfkill, 0);
    int e = put_all(late, selfkill, SELFKILL_COUNT);
    if (e == 0)
        e = begin(late, 0);
    size_t elsewhere = late->count - 2;
    if (e == 0)
        e = put_calls(whole, late);
    if (e == 0) /* another architecture: to the end */
        late->code[elsewhere].k = (uint32_t)(late->count - elsewhere - 1);
    return e != 0 ? e : put(late, allow);
}

int
filter_split(const struct filter *whole, struct filter *early,
             struct filter *late)
{
    *early = *late = (struct filter){NULL, 0};
    int e = NATIVE != 0 ? make_early(whole, early) : E_FORMAT;
    if (e == 0)
        e = make_late(whole, late);
    if (e != 0) {
        filter_free(early);
        filter_free(late);
    }
    return e;
}

void
filter_of(struct filter *late, pid_t self)
{
    selfkill_make(late->code, self);
    late->code[SELFKILL_OTHERS] = (struct sock_filter)BPF_STMT(
        BPF_JMP | BPF_JA, SELFKILL_COUNT - SELFKILL_OTHERS - 1);
}
