/* SPDX-License-Identifier: Apache-2.0 */
#include "undertaker.h"

#include <erl_nif.h>
#include <pthread.h>
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
    int users; /* of start and stop, which the VM calls one at a time */
    ErlNifTid thread;
    /* Never destroyed: segments may outlive the module. */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t more;
    struct dead *first;
    int running;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

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
    pthread_mutex_lock(&state.lock);
    while (state.first != NULL || state.running) {
        struct dead *all = state.first;
        state.first = NULL;
        if (all == NULL) {
            pthread_cond_wait(&state.more, &state.lock);
            continue;
        }
        pthread_mutex_unlock(&state.lock);
        bury_all(all);
        pthread_mutex_lock(&state.lock);
    }
    pthread_mutex_unlock(&state.lock);
    return NULL;
}

static void
set_running(int running)
{
    pthread_mutex_lock(&state.lock);
    state.running = running;
    pthread_cond_signal(&state.more);
    pthread_mutex_unlock(&state.lock);
}

int
undertaker_start(void)
{
    if (state.users == 0) {
        set_running(1);
        if (enif_thread_create("py_shm_undertaker", &state.thread, run, NULL,
                               NULL) != 0) {
            set_running(0);
            return -1;
        }
    }
    state.users++;
    return 0;
}

void
undertaker_stop(void)
{
    if (--state.users > 0)
        return;
    set_running(0);
    enif_thread_join(state.thread, NULL);
}

/* 1, or 0: there is nobody to do it. */
static int
handed_over(struct dead *d)
{
    pthread_mutex_lock(&state.lock);
    int running = state.running;
    if (running) {
        d->next = state.first;
        state.first = d;
        pthread_cond_signal(&state.more);
    }
    pthread_mutex_unlock(&state.lock);
    return running;
}

void
undertaker_take(int fd, void *map, size_t length)
{
    struct dead *d = length > AT_ONCE ? enif_alloc(sizeof *d) : NULL;
    if (d != NULL) {
        *d = (struct dead){fd, map, length, NULL};
        if (handed_over(d))
            return;
        enif_free(d);
    }
    bury(fd, map, length);
}
