/* SPDX-License-Identifier: Apache-2.0 */
#include "undertaker.h"

#include <erl_nif.h>
#include <sys/mman.h>
#include <unistd.h>

/* Less is freed sooner than handed over. */
enum { AT_ONCE = 256 << 10 };

struct dead {
    int fd;
    void *map;
    size_t length;
    struct dead *next;
};

static struct {
    ErlNifMutex *lock; /* of what follows */
    ErlNifCond *more;
    struct dead *first;
    int stopping;
    ErlNifTid thread;
} state;

static void
bury(int fd, void *map, size_t length)
{
    if (map != NULL)
        munmap(map, length);
    if (fd >= 0)
        close(fd);
}

static void
bury_all(struct dead *d)
{
    while (d != NULL) {
        struct dead *next = d->next;
        bury(d->fd, d->map, d->length);
        enif_free(d);
        d = next;
    }
}

static void *
run(void *unused)
{
    (void)unused;
    enif_mutex_lock(state.lock);
    while (state.first != NULL || !state.stopping) {
        struct dead *all = state.first;
        state.first = NULL;
        if (all == NULL) {
            enif_cond_wait(state.more, state.lock);
            continue;
        }
        enif_mutex_unlock(state.lock);
        bury_all(all);
        enif_mutex_lock(state.lock);
    }
    enif_mutex_unlock(state.lock);
    return NULL;
}

int
undertaker_start(void)
{
    state.stopping = 0;
    state.first = NULL;
    state.lock = enif_mutex_create("py_shm_undertaker");
    state.more = enif_cond_create("py_shm_undertaker");
    if (state.lock != NULL && state.more != NULL &&
        enif_thread_create("py_shm_undertaker", &state.thread, run, NULL,
                           NULL) == 0)
        return 0;
    if (state.more != NULL)
        enif_cond_destroy(state.more);
    if (state.lock != NULL)
        enif_mutex_destroy(state.lock);
    return -1;
}

void
undertaker_stop(void)
{
    enif_mutex_lock(state.lock);
    state.stopping = 1;
    enif_cond_signal(state.more);
    enif_mutex_unlock(state.lock);
    enif_thread_join(state.thread, NULL);
    enif_cond_destroy(state.more);
    enif_mutex_destroy(state.lock);
}

void
undertaker_take(int fd, void *map, size_t length)
{
    struct dead *d = length > AT_ONCE ? enif_alloc(sizeof *d) : NULL;
    if (d == NULL) {
        bury(fd, map, length);
        return;
    }
    *d = (struct dead){fd, map, length, NULL};
    enif_mutex_lock(state.lock);
    d->next = state.first;
    state.first = d;
    enif_cond_signal(state.more);
    enif_mutex_unlock(state.lock);
}
