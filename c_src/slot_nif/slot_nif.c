/* SPDX-License-Identifier: Apache-2.0 */
/* slot_nif.c - counts how many hold a slot of a limited number; a slot is given
 * back by whoever took it, or by the VM's collector once its holder is dead.
 *
 * Used by: erl/port/py_slot_nif.erl.   Knows: erl_nif.h and nothing else of
 * ours. Does not know: pools, calls. Ownership: the collector owns counters and
 * slots; a slot keeps its counter. Errors: badarg for what is neither.
 * Threads: any. `taken` is changed by compare-and-swap or by subtraction of
 * what was added, so it is exact and never above the maximum that was read.
 * `given` is exchanged, so a slot is subtracted once, whether given back,
 * collected, or both. The numbers guard no other memory, but sequential
 * consistency costs nothing here that anybody could measure. */
#include <erl_nif.h>
#include <stdatomic.h>
#include <stdbool.h>

struct counter {
    _Atomic ErlNifUInt64 taken, max;
};

struct slot {
    struct counter *counter;
    atomic_bool given;
};

static ErlNifResourceType *counters, *slots; /* set by load, before any call */

static void
give(struct slot *s)
{
    if (!atomic_exchange(&s->given, true))
        atomic_fetch_sub(&s->counter->taken, 1);
}

static void
slot_gone(ErlNifEnv *env, void *object)
{
    struct slot *s = object;
    (void)env;
    give(s);
    enif_release_resource(s->counter);
}

static ERL_NIF_TERM
counter_new(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    ErlNifUInt64 max;
    (void)argc;
    if (!enif_get_uint64(env, argv[0], &max))
        return enif_make_badarg(env);
    struct counter *c = enif_alloc_resource(counters, sizeof *c);
    if (c == NULL)
        return enif_raise_exception(env, enif_make_atom(env, "system_limit"));
    atomic_init(&c->taken, 0);
    atomic_init(&c->max, max);
    ERL_NIF_TERM term = enif_make_resource(env, c);
    enif_release_resource(c);
    return term;
}

static ERL_NIF_TERM
counter_set(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    void *c;
    ErlNifUInt64 max;
    (void)argc;
    if (!enif_get_resource(env, argv[0], counters, &c) ||
        !enif_get_uint64(env, argv[1], &max))
        return enif_make_badarg(env);
    atomic_store(&((struct counter *)c)->max, max);
    return enif_make_atom(env, "ok");
}

static ERL_NIF_TERM
numbers(ErlNifEnv *env, ErlNifUInt64 taken, ErlNifUInt64 max)
{
    return enif_make_tuple2(env, enif_make_uint64(env, taken),
                            enif_make_uint64(env, max));
}

static ERL_NIF_TERM
counter_read(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    void *object;
    (void)argc;
    if (!enif_get_resource(env, argv[0], counters, &object))
        return enif_make_badarg(env);
    struct counter *c = object;
    return numbers(env, atomic_load(&c->taken), atomic_load(&c->max));
}

/* A slot, or how many are taken of how many. */
static ERL_NIF_TERM
slot_take(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    void *object;
    (void)argc;
    if (!enif_get_resource(env, argv[0], counters, &object))
        return enif_make_badarg(env);
    struct counter *c = object;
    struct slot *s = enif_alloc_resource(slots, sizeof *s);
    if (s == NULL)
        return enif_raise_exception(env, enif_make_atom(env, "system_limit"));
    enif_keep_resource(c);
    s->counter = c;
    atomic_init(&s->given, true); /* not taken yet */
    ErlNifUInt64 max = atomic_load(&c->max), taken = atomic_load(&c->taken);
    ERL_NIF_TERM term;
    while (taken < max &&
           !atomic_compare_exchange_weak(&c->taken, &taken, taken + 1))
        ;
    if (taken < max) {
        atomic_store(&s->given, false);
        term = enif_make_resource(env, s);
    } else {
        term = numbers(env, taken, max);
    }
    enif_release_resource(s); /* the destructor runs if nobody has it */
    return term;
}

static ERL_NIF_TERM
slot_give(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    void *s;
    (void)argc;
    if (!enif_get_resource(env, argv[0], slots, &s))
        return enif_make_badarg(env);
    give(s);
    return enif_make_atom(env, "ok");
}

static int
load(ErlNifEnv *env, void **priv, ERL_NIF_TERM info)
{
    ErlNifResourceFlags how = ERL_NIF_RT_CREATE | ERL_NIF_RT_TAKEOVER;
    (void)priv;
    (void)info;
    counters = enif_open_resource_type(env, NULL, "py_slots", NULL, how, NULL);
    slots = enif_open_resource_type(env, NULL, "py_slot", slot_gone, how, NULL);
    return counters != NULL && slots != NULL ? 0 : -1;
}

static int
upgrade(ErlNifEnv *env, void **priv, void **old, ERL_NIF_TERM info)
{
    (void)old;
    return load(env, priv, info);
}

static ErlNifFunc functions[] = {{"new", 1, counter_new, 0},
                                 {"set", 2, counter_set, 0},
                                 {"read", 1, counter_read, 0},
                                 {"take", 1, slot_take, 0},
                                 {"give", 1, slot_give, 0}};

ERL_NIF_INIT(py_slot_nif, functions, load, NULL, upgrade, NULL)
