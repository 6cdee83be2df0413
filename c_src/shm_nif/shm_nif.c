/* SPDX-License-Identifier: Apache-2.0 */
/* shm_nif.c - segments of shared memory, as Erlang terms.
 *
 * A segment is a memfd.  It is filled here and sealed (nobody, also not a
 * helper that has its descriptor, can change it any more), or made blank for
 * one helper to fill and sealed then.  Its size is sealed before anybody else
 * has the descriptor.  Its handle is a resource: when the last term of it has
 * been collected the descriptor is closed, and the kernel frees the memory once
 * no helper maps it.  Who names a segment has to know its secret as well: a
 * helper could make up a handle, which is only a number.
 *
 * Used by: erl/port/py_shm_nif.erl.   Knows: erl_nif.h, and of erl_driver.h the
 * names of errors.   Does not know: ports, helpers.
 * Ownership: the handle owns descriptor and mapping; a binary of it holds the
 * handle.   Errors: badarg; {error, gone | Posix}.
 * Threads: any.  `sealed` and `map` are under the segment's lock; the other
 * fields do not change once its handle exists, but for `used`, a time of its
 * own that guards nothing else. */
#include <erl_driver.h>
#include <erl_nif.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "undertaker.h"

enum { SECRET = 16 };

struct segment {
    unsigned char secret[SECRET];
    size_t size; /* bytes of data; the file has at least one */
    int fd;
    ErlNifMutex *lock;
    int sealed;
    void *map;          /* for reading; NULL: not yet */
    atomic_ullong used; /* when it was last asked for; CLOCK_MONOTONIC, ns */
};

static ErlNifResourceType *type;
static atomic_ullong live, bytes; /* of all segments, only to be shown */

static ERL_NIF_TERM
error(ErlNifEnv *env, int code)
{
    return enif_make_tuple2(env, enif_make_atom(env, "error"),
                            enif_make_atom(env, erl_errno_id(code)));
}

static ERL_NIF_TERM
ok(ErlNifEnv *env, ERL_NIF_TERM value)
{
    return enif_make_tuple2(env, enif_make_atom(env, "ok"), value);
}

/* ---- one segment --------------------------------------------------------- */

static size_t
length(const struct segment *s)
{
    return s->size > 0 ? s->size : 1;
}

static void
destroy(ErlNifEnv *env, void *object)
{
    struct segment *s = object;
    (void)env;
    undertaker_take(s->fd, s->map, length(s));
    if (s->lock != NULL)
        enif_mutex_destroy(s->lock);
    atomic_fetch_sub(&live, 1);
    atomic_fetch_sub(&bytes, s->size);
}

/* A file of that size, which it keeps. */
static int
open_file(size_t size, int *fd)
{
    *fd = memfd_create("terrarium-shm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0 || ftruncate(*fd, (off_t)size) != 0)
        return errno;
    return fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0 ? 0
                                                                     : errno;
}

static int
fit_out(struct segment *s)
{
    s->lock = enif_mutex_create("py_shm_segment");
    if (s->lock == NULL)
        return ENOMEM;
    if (getrandom(s->secret, SECRET, 0) != SECRET)
        return EAGAIN;
    return open_file(length(s), &s->fd);
}

/* 0 or errno; *out is referred to once. */
static int
segment_new(size_t size, struct segment **out)
{
    struct segment *s = enif_alloc_resource(type, sizeof *s);
    if (s == NULL)
        return ENOMEM;
    memset(s, 0, sizeof *s);
    s->fd = -1;
    s->size = size;
    atomic_fetch_add(&live, 1);
    atomic_fetch_add(&bytes, size);
    int e = fit_out(s);
    if (e != 0)
        enif_release_resource(s);
    else
        *out = s;
    return e;
}

/* With all seals nobody can write; EBUSY while somebody has it mapped to
 * write. */
static int
seal(struct segment *s)
{
    int e = 0;
    enif_mutex_lock(s->lock);
    if (!s->sealed &&
        fcntl(s->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) != 0)
        e = errno;
    if (e == 0)
        s->sealed = 1;
    enif_mutex_unlock(s->lock);
    return e;
}

/* Pages come as they are written: what the system has not is ENOSPC or ENOMEM
 * here, and no signal later. */
static int
fill(int fd, const unsigned char *p, size_t n)
{
    size_t at = 0;
    while (at < n) {
        ssize_t k = pwrite(fd, p + at, n - at, (off_t)at);
        if (k < 0 && errno != EINTR)
            return errno;
        if (k > 0)
            at += (size_t)k;
    }
    return 0;
}

static int
map(struct segment *s)
{
    int e = 0;
    enif_mutex_lock(s->lock);
    if (!s->sealed) {
        e = EPERM;
    } else if (s->map == NULL) {
        void *p = mmap(NULL, length(s), PROT_READ, MAP_SHARED, s->fd, 0);
        if (p == MAP_FAILED)
            e = errno;
        else
            s->map = p;
    }
    enif_mutex_unlock(s->lock);
    return e;
}

/* Helpers tell when they sent its term by the same clock. */
static void
use(struct segment *s)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    atomic_store(&s->used, (unsigned long long)t.tv_sec * 1000000000u +
                               (unsigned long long)t.tv_nsec);
}

/* ---- functions ----------------------------------------------------------- */

/* {ok, Handle, Secret}; takes the reference. */
static ERL_NIF_TERM
made(ErlNifEnv *env, struct segment *s)
{
    ERL_NIF_TERM secret, handle = enif_make_resource(env, s);
    memcpy(enif_make_new_binary(env, SECRET, &secret), s->secret, SECRET);
    enif_release_resource(s);
    return enif_make_tuple3(env, enif_make_atom(env, "ok"), handle, secret);
}

/* new(Bytes) */
static ERL_NIF_TERM
shm_new(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct segment *s;
    ErlNifBinary in;
    (void)argc;
    if (!enif_inspect_binary(env, argv[0], &in))
        return enif_make_badarg(env);
    int e = segment_new(in.size, &s);
    if (e != 0)
        return error(env, e);
    e = fill(s->fd, in.data, in.size);
    if (e == 0)
        e = seal(s);
    if (e == 0)
        return made(env, s);
    enif_release_resource(s);
    return error(env, e);
}

/* blank(Size): to be filled by somebody else */
static ERL_NIF_TERM
shm_blank(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct segment *s;
    ErlNifUInt64 size;
    (void)argc;
    if (!enif_get_uint64(env, argv[0], &size) || size > INT64_MAX)
        return enif_make_badarg(env);
    int e = segment_new((size_t)size, &s);
    return e != 0 ? error(env, e) : made(env, s);
}

/* The segment of (Handle, Secret, ...), or NULL. */
static struct segment *
named(ErlNifEnv *env, const ERL_NIF_TERM argv[])
{
    struct segment *s;
    ErlNifBinary secret;
    if (!enif_get_resource(env, argv[0], type, (void **)&s) ||
        !enif_inspect_binary(env, argv[1], &secret) || secret.size != SECRET ||
        memcmp(secret.data, s->secret, SECRET) != 0)
        return NULL;
    return s;
}

static ERL_NIF_TERM
gone(ErlNifEnv *env)
{
    return enif_make_tuple2(env, enif_make_atom(env, "error"),
                            enif_make_atom(env, "gone"));
}

/* seal(Handle, Secret) */
static ERL_NIF_TERM
shm_seal(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct segment *s = named(env, argv);
    (void)argc;
    if (s == NULL)
        return gone(env);
    int e = seal(s);
    return e != 0 ? error(env, e) : enif_make_atom(env, "ok");
}

/* fd(Handle, Secret): good as long as the caller holds the handle */
static ERL_NIF_TERM
shm_fd(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct segment *s = named(env, argv);
    (void)argc;
    if (s == NULL)
        return gone(env);
    use(s);
    return ok(env, enif_make_int(env, s->fd));
}

/* binary(Handle, Secret): what is in it, not copied */
static ERL_NIF_TERM
shm_binary(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct segment *s = named(env, argv);
    (void)argc;
    if (s == NULL)
        return gone(env);
    use(s);
    int e = map(s);
    if (e != 0)
        return error(env, e);
    return ok(env, enif_make_resource_binary(env, s, s->map, s->size));
}

/* used_since(Handle, Secret, Nanoseconds) */
static ERL_NIF_TERM
shm_used_since(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct segment *s = named(env, argv);
    ErlNifUInt64 since;
    (void)argc;
    if (!enif_get_uint64(env, argv[2], &since))
        return enif_make_badarg(env);
    int is = s == NULL || atomic_load(&s->used) > since;
    return enif_make_atom(env, is ? "true" : "false");
}

/* live(): {Segments, Bytes} */
static ERL_NIF_TERM
shm_live(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    (void)argv;
    return enif_make_tuple2(env, enif_make_uint64(env, atomic_load(&live)),
                            enif_make_uint64(env, atomic_load(&bytes)));
}

/* ---- the library --------------------------------------------------------- */

static int
load(ErlNifEnv *env, void **priv, ERL_NIF_TERM info)
{
    ErlNifResourceFlags how = ERL_NIF_RT_CREATE | ERL_NIF_RT_TAKEOVER;
    (void)priv;
    (void)info;
    type = enif_open_resource_type(env, NULL, "py_shm", destroy, how, NULL);
    return type != NULL && undertaker_start() == 0 ? 0 : -1;
}

static int
upgrade(ErlNifEnv *env, void **priv, void **old, ERL_NIF_TERM info)
{
    (void)old;
    return load(env, priv, info);
}

static void
unload(ErlNifEnv *env, void *priv)
{
    (void)env;
    (void)priv;
    undertaker_stop();
}

/* Filling may wait for pages. */
static ErlNifFunc functions[] = {
    {"new", 1, shm_new, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"blank", 1, shm_blank, 0},
    {"seal", 2, shm_seal, 0},
    {"fd", 2, shm_fd, 0},
    {"binary", 2, shm_binary, 0},
    {"used_since", 3, shm_used_since, 0},
    {"live", 0, shm_live, 0},
};

ERL_NIF_INIT(py_shm_nif, functions, load, NULL, upgrade, unload)
