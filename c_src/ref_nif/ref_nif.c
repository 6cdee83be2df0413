/* SPDX-License-Identifier: Apache-2.0 */
/* ref_nif.c - handles of Python objects that tell when nobody holds them: a
 * resource whose destructor sends a message to the object's context.
 *
 * Used by: erl/port/py_ref_nif.erl.   Knows: erl_nif.h and nothing else of
 * ours. Does not know: ports, frames, what becomes of the message. Ownership:
 * the VM's collector owns the handles. Errors: badarg for what is no pid and
 * two integers; without memory the message is not sent, and the object lives as
 * long as its helper. Threads: any; the destructor only sends, so it never
 * blocks. */
#include <erl_nif.h>
#include <stdatomic.h>

struct handle {
    ErlNifPid context;
    ErlNifUInt64 generation, id;
};

static ErlNifResourceType *type; /* set by load, before any call */
static atomic_llong live;        /* handles that exist */

/* {py_release, Generation, Id} */
static void
gone(ErlNifEnv *env, void *object)
{
    const struct handle *h = object;
    ErlNifEnv *e = enif_alloc_env();
    atomic_fetch_sub(&live, 1);
    if (e == NULL)
        return;
    ERL_NIF_TERM m = enif_make_tuple3(e, enif_make_atom(e, "py_release"),
                                      enif_make_uint64(e, h->generation),
                                      enif_make_uint64(e, h->id));
    enif_send(env, &h->context, e, m); /* 0: the context has ended */
    enif_free_env(e);
}

static ERL_NIF_TERM
ref_new(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct handle h;
    (void)argc;
    if (!enif_get_local_pid(env, argv[0], &h.context) ||
        !enif_get_uint64(env, argv[1], &h.generation) ||
        !enif_get_uint64(env, argv[2], &h.id))
        return enif_make_badarg(env);
    struct handle *kept = enif_alloc_resource(type, sizeof *kept);
    if (kept == NULL)
        return enif_raise_exception(env, enif_make_atom(env, "system_limit"));
    *kept = h;
    atomic_fetch_add(&live, 1);
    ERL_NIF_TERM term = enif_make_resource(env, kept);
    enif_release_resource(kept);
    return term;
}

/* false: it is none of this VM, or was collected while its term was away */
static ERL_NIF_TERM
ref_is_held(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    void *handle;
    (void)argc;
    return enif_make_atom(
        env, enif_get_resource(env, argv[0], type, &handle) ? "true" : "false");
}

static ERL_NIF_TERM
ref_live(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    (void)argv;
    return enif_make_int64(env, atomic_load(&live));
}

static int
load(ErlNifEnv *env, void **priv, ERL_NIF_TERM info)
{
    ErlNifResourceFlags how = ERL_NIF_RT_CREATE | ERL_NIF_RT_TAKEOVER;
    (void)priv;
    (void)info;
    type = enif_open_resource_type(env, NULL, "py_ref", gone, how, NULL);
    return type != NULL ? 0 : -1;
}

static int
upgrade(ErlNifEnv *env, void **priv, void **old, ERL_NIF_TERM info)
{
    (void)old;
    return load(env, priv, info);
}

static ErlNifFunc functions[] = {{"new", 3, ref_new, 0},
                                 {"is_held", 1, ref_is_held, 0},
                                 {"live", 0, ref_live, 0}};

ERL_NIF_INIT(py_ref_nif, functions, load, NULL, upgrade, NULL)
