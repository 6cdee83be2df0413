/* SPDX-License-Identifier: Apache-2.0 */
#include "lane.h"

#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "err.h"
#include "io.h"
#include "lane_layout.h"

enum {
    MAX_PIECES = 64, /* of one write over the socket */
    MAX_BELLS = 64,  /* taken at once: a peer may ring for ever */
    UNSAID_MAX = LANE_RING / 4
};

/* ---- opening and closing ---------------------------------------------------
 */

static void
set_rings(struct lane *l)
{
    struct lane_shared *s = l->shared;
    int vm = l->side == LANE_VM;
    struct lane_words *mine = vm ? &s->vm : &s->helper;
    struct lane_words *theirs = vm ? &s->helper : &s->vm;
    l->out = (struct ring_writer){.data = vm ? s->down : s->up,
                                  .size = LANE_RING,
                                  .head = &mine->head,
                                  .tail = &theirs->tail};
    l->in = (struct ring_reader){.data = vm ? s->up : s->down,
                                 .size = LANE_RING,
                                 .head = &theirs->head,
                                 .tail = &mine->tail};
}

int
lane_open(struct lane *l, enum lane_side side, int segment, int sock)
{
    int e = lane_segment_check(segment);
    if (e == 0)
        e = io_set_nonblock(sock, 1);
    if (e != 0)
        return e;
    /* Populated: a page fault costs more than a call, and the rings go around
     * through all of their pages. */
    void *p = mmap(NULL, sizeof(struct lane_shared), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_POPULATE, segment, 0);
    if (p == MAP_FAILED)
        return E_SYS;
    /* A child forked by user code has no business here. */
    madvise(p, sizeof(struct lane_shared), MADV_DONTFORK);
    memset(l, 0, sizeof *l);
    l->shared = p;
    l->sock = sock;
    l->side = side;
    set_rings(l);
    return 0;
}

void
lane_close(struct lane *l)
{
    if (l->shared != NULL)
        munmap(l->shared, sizeof *l->shared);
    l->shared = NULL;
    io_close(&l->sock);
}

static struct lane_words *
words(const struct lane *l, int mine)
{
    int vm = (l->side == LANE_VM) == (mine != 0);
    return vm ? &l->shared->vm : &l->shared->helper;
}

/* ---- bells ----------------------------------------------------------------
 */

/* Amid our bulk bytes there is no place for a bell, and no need: those that are
 * still to come wake the peer as well.  A full socket has something in it that
 * does.  docs/lane.md: why we do send them. */
static void
send_bell(struct lane *l)
{
    uint8_t bell = LANE_BELL;
    if (l->bulk_out > 0)
        return;
    l->count.bells++;
    (void)!send(l->sock, &bell, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Something has changed that a side asleep for `want` must see.  The fence
 * orders our change before the look at `asleep`; the sleeper's fence in
 * lane_arm orders its `asleep` before its look at our change: one of the two
 * sees the other. */
static void
wake(struct lane *l, uint32_t want)
{
    _Atomic uint32_t *asleep = &words(l, 0)->asleep;
    atomic_thread_fence(memory_order_seq_cst);
    if (!(atomic_load_explicit(asleep, memory_order_relaxed) & want))
        return;
    if (atomic_exchange_explicit(asleep, 0, memory_order_relaxed) == 0)
        return;
    send_bell(l);
}

static void
announce(struct lane *l)
{
    if (l->held)
        l->owed = 1;
    else
        wake(l, LANE_DATA);
}

void
lane_hold(struct lane *l)
{
    l->held = 1;
}

void
lane_release(struct lane *l)
{
    int owed = l->owed;
    l->held = l->owed = 0;
    if (owed)
        wake(l, LANE_DATA);
}

void
lane_ring(struct lane *l)
{
    lane_release(l);
    send_bell(l);
}

/* n bytes of the ring are free again.  A writer is refused, and sleeps, only
 * when more than half of the ring is full, so what we have taken since we last
 * looked for one must be much before there can be one: it need not be looked
 * for each time.  Before we sleep ourselves we look (lane_arm). */
static void
freed(struct lane *l, size_t n)
{
    l->unsaid += (uint32_t)n;
    if (l->unsaid <= UNSAID_MAX)
        return;
    l->unsaid = 0;
    wake(l, LANE_SPACE);
}

int
lane_arm(struct lane *l, int want, short *events)
{
    struct lane_words *w = words(l, 1);
    lane_release(l);
    *events = POLLIN;
    if ((want & LANE_SPACE) && l->bulk_out > 0)
        *events |= POLLOUT;
    atomic_store_explicit(&w->asleep, (uint32_t)want, memory_order_relaxed);
    if (l->unsaid > 0) {
        l->unsaid = 0;
        wake(l, LANE_SPACE); /* with a fence of its own */
    } else {
        atomic_thread_fence(memory_order_seq_cst);
    }
    if ((want & LANE_DATA) && l->bulk_in == 0 && ring_has_data(&l->in))
        return 1;
    if ((want & LANE_SPACE) && l->bulk_out == 0 &&
        ring_has_room(&l->out, l->refused) != 0)
        return 1;
    return 0;
}

void
lane_disarm(struct lane *l)
{
    atomic_store_explicit(&words(l, 1)->asleep, 0, memory_order_relaxed);
}

void
lane_polled(struct lane *l)
{
    l->polled = 1;
}

/* ---- reading ------------------------------------------------------------- */

/* One recv.  0 with *n bytes, E_AGAIN, E_EOF, E_SYS. */
static int
receive(struct lane *l, void *p, size_t cap, size_t *n)
{
    int e = io_read(l->sock, p, cap, n);
    if (e == E_AGAIN)
        l->polled = 0;
    return e;
}

/* Take items off the socket up to the BULK that the marker announced.  What is
 * left makes poll() say so again. */
static int
skip_to_bulk(struct lane *l)
{
    for (int i = 0; i < MAX_BELLS && !l->bulk_in_begun; i++) {
        uint8_t item;
        size_t n;
        int e = receive(l, &item, 1, &n);
        if (e != 0)
            return e;
        if (item == LANE_BULK)
            l->bulk_in_begun = 1;
        else if (item != LANE_BELL)
            return E_FORMAT;
    }
    return l->bulk_in_begun ? 0 : E_AGAIN;
}

static int
read_bulk(struct lane *l, void *p, size_t cap, size_t *n)
{
    int e = skip_to_bulk(l);
    if (e == 0)
        e = receive(l, p, cap < l->bulk_in ? cap : l->bulk_in, n);
    if (e != 0)
        return e;
    l->bulk_in -= (uint32_t)*n;
    if (l->bulk_in == 0)
        l->bulk_in_begun = 0;
    return 0;
}

/* The ring is empty but the socket is not: take one item.  A BULK whose marker
 * we have not come to is kept in mind: the marker was written before it, so it
 * is in the ring by now. */
static int
read_item(struct lane *l)
{
    uint8_t item;
    size_t n;
    if (l->bulk_in_begun)
        return E_FORMAT; /* there was no marker */
    if (!l->polled)
        return E_AGAIN;
    int e = receive(l, &item, 1, &n);
    int more = ring_has_data(&l->in);
    if (e != 0 && e != E_AGAIN && more && !l->ended) {
        l->ended = 1; /* what was written before the end comes first */
        return 0;
    }
    if (e != 0)
        return e;
    l->polled = 0;
    if (item == LANE_BULK && more)
        l->bulk_in_begun = 1;
    else if (item != LANE_BELL)
        return E_FORMAT;
    return 0;
}

int
lane_read(struct lane *l, void *p, size_t cap, size_t *n)
{
    if (cap == 0)
        return E_ARG;
    for (;;) {
        size_t got = 0;
        uint64_t before = l->in.at;
        if (l->bulk_in > 0)
            return read_bulk(l, p, cap, n);
        int e = ring_take(&l->in, p, cap, &got, &l->bulk_in);
        if (e != 0)
            return e;
        if (got > 0 || l->bulk_in > 0)
            freed(l, (size_t)(l->in.at - before));
        else if ((e = read_item(l)) != 0)
            return e;
        if (got > 0) {
            *n = got;
            return 0;
        }
    }
}

/* ---- writing ------------------------------------------------------------- */

/* Send what the marker announced and is offered here, and nothing beyond. */
static int
write_bulk(struct lane *l, const struct iovec *v, int count, size_t *n)
{
    uint8_t item = LANE_BULK;
    struct iovec piece[MAX_PIECES + 1];
    int k = 0;
    size_t left = l->bulk_out;
    if (!l->bulk_out_begun)
        piece[k++] = (struct iovec){&item, 1};
    for (int i = 0; i < count && i < MAX_PIECES && left > 0; i++, k++) {
        size_t len = v[i].iov_len < left ? v[i].iov_len : left;
        piece[k] = (struct iovec){v[i].iov_base, len};
        left -= len;
    }
    int e = io_writev(l->sock, piece, k, n);
    if (e != 0)
        return e;
    *n -= l->bulk_out_begun ? 0 : 1;
    l->bulk_out_begun = 1;
    l->bulk_out -= (uint32_t)*n;
    l->count.bulk += *n;
    if (l->bulk_out == 0)
        l->bulk_out_begun = 0;
    return *n > 0 ? 0 : E_AGAIN;
}

static int
write_inline(struct lane *l, const struct iovec *v, int count, uint32_t total)
{
    int r = ring_put(&l->out, v, count, total);
    if (r == 1)
        announce(l);
    else
        l->refused = total;
    return r == 1 ? 0 : r == 0 ? E_AGAIN : r;
}

/* How much is offered, or as much of it as one marker can announce. */
static size_t
sum(const struct iovec *v, int count)
{
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += v[i].iov_len < UINT32_MAX - total ? v[i].iov_len
                                                   : UINT32_MAX - total;
    return total;
}

/* The bytes that follow a marker wake the peer: it needs no bell. */
int
lane_writev(struct lane *l, const struct iovec *v, int count, size_t *n)
{
    if (l->bulk_out > 0)
        return write_bulk(l, v, count, n);
    size_t total = sum(v, count);
    if (total <= LANE_INLINE) {
        int e = total == 0 ? 0 : write_inline(l, v, count, (uint32_t)total);
        if (e == 0)
            *n = total;
        return e;
    }
    int r = ring_put_marker(&l->out, (uint32_t)total);
    l->refused = 0;
    if (r != 1)
        return r == 0 ? E_AGAIN : r;
    l->bulk_out = (uint32_t)total;
    return write_bulk(l, v, count, n);
}

/* ---- hints --------------------------------------------------------------- */

int
lane_has_data(const struct lane *l)
{
    return ring_has_data(&l->in);
}

/* The lines in which the next record begins. */
void
lane_expect(const struct lane *l)
{
    const struct ring_reader *r = &l->in;
    __builtin_prefetch(r->data + (r->at & (r->size - 1)));
    __builtin_prefetch(r->data + ((r->at + LANE_LINE) & (r->size - 1)));
}

int
lane_is_taken(const struct lane *l)
{
    return atomic_load_explicit(l->out.tail, memory_order_relaxed) == l->out.at;
}

int
lane_peer_sleeps(const struct lane *l)
{
    return atomic_load_explicit(&words(l, 0)->asleep, memory_order_relaxed) !=
           0;
}

void
lane_set_linger(struct lane *l, uint32_t ns)
{
    atomic_store_explicit(&words(l, 1)->linger_ns, ns, memory_order_relaxed);
}

uint32_t
lane_linger(const struct lane *l)
{
    return atomic_load_explicit(&words(l, 0)->linger_ns, memory_order_relaxed);
}
