/* SPDX-License-Identifier: Apache-2.0 */
/* session_write.c - see session_write.h. */
#include "py.h"

#include "session_write.h"

#include <unistd.h>

#include "err.h"
#include "etf_encode.h"
#include "forked.h"
#include "mem.h"
#include "pyerr.h"
#include "session.h"
#include "session_read.h"

enum {
    OUT_KEEP = 1 << 20,  /* memory kept when the output is empty */
    PIECES = 16,         /* written at once */
    LOOK_AROUND_MS = 20, /* how often to read while the VM does not */
    NAP_US = 500         /* how often another thread tries to write */
};

/* ---- drafts -------------------------------------------------------------- */

/* One that is kept, or a new one. */
static struct draft *
take_draft(struct session *s)
{
    struct draft *d = s->drafts;
    if (d != NULL) {
        s->drafts = d->next;
        return d;
    }
    d = mem_alloc(sizeof *d);
    if (d != NULL)
        out_init(&d->out, 0);
    return d;
}

void
session_discard(struct session *s, struct draft *d)
{
    out_clear(&d->out, OUT_KEEP);
    d->next = s->drafts;
    s->drafts = d;
}

int
session_begin(struct session *s, const struct wire_header *h, struct draft **d)
{
    struct draft *new = take_draft(s);
    if (new == NULL)
        return E_NOMEM;
    struct buf *b = &new->out.bytes;
    out_set_max(&new->out,
                (size_t)s->context->max_frame + WIRE_LIMIT_HEADER_SIZE);
    int r = buf_reserve(b, WIRE_LIMIT_HEADER_SIZE + PYERR_ROOM);
    if (r != 0) {
        session_discard(s, new);
        return r;
    }
    wire_put_header(b->data, h);
    b->len = WIRE_LIMIT_HEADER_SIZE;
    *d = new;
    return 0;
}

int
session_commit(struct session *s, struct draft *d)
{
    struct wire_header h;
    uint8_t *p = d->out.bytes.data;
    int r = wire_get_header(p, &h);
    if (r == 0) {
        h.length = (uint32_t)(out_left(&d->out) - WIRE_LIMIT_HEADER_SIZE);
        wire_put_header(p, &h);
        r = out_append(&s->out, &d->out);
    }
    session_discard(s, d);
    return r;
}

int
session_put_empty(struct session *s, uint8_t opcode, uint64_t id)
{
    struct wire_header h = {.opcode = opcode, .id = id};
    struct draft *d;
    int r = session_begin(s, &h, &d);
    return r == 0 ? session_commit(s, d) : r;
}

int
session_draft_term(struct session *s, uint8_t opcode, uint64_t id,
                   PyObject *term, struct draft **d)
{
    struct wire_header h = {.opcode = opcode, .id = id};
    struct draft *new;
    if (session_begin(s, &h, &new) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (etf_encode_out(term, &new->out, &s->context->limits) < 0) {
        session_discard(s, new);
        return -1;
    }
    *d = new;
    return 0;
}

int
session_put_term(struct session *s, uint8_t opcode, uint64_t id, PyObject *term)
{
    struct draft *d;
    if (session_draft_term(s, opcode, id, term, &d) < 0)
        return -1;
    if (session_commit(s, d) == 0)
        return 0;
    PyErr_NoMemory();
    return -1;
}

void
session_write_fini(struct session *s)
{
    struct draft *d;
    out_fini(&s->out);
    while ((d = s->drafts) != NULL) {
        s->drafts = d->next;
        out_fini(&d->out);
        mem_free(d);
    }
}

/* ---- to the channel ------------------------------------------------------ */

/* There is no room.  While the VM does not read, read what it writes, or both
 * could wait for ever.  The main thread does that; others come again. */
static int
wait_writable(struct session *s)
{
    if (!session_is_main(s)) {
        Py_BEGIN_ALLOW_THREADS usleep(NAP_US);
        Py_END_ALLOW_THREADS return 0;
    }
    int r = idle_wait(&s->idle, &s->channel, CHANNEL_WRITE, LOOK_AROUND_MS);
    return r < 0 ? r : session_read_ahead(s);
}

/* While no request is pending the VM is not armed for us. */
static void
ring_unasked(struct session *s)
{
    if (s->unasked)
        channel_ring(&s->channel);
}

int
session_flush(struct session *s)
{
    if (forked()) /* by a destructor, say */
        forked_exit(NULL);
    while (out_left(&s->out) > 0) {
        struct iovec v[PIECES];
        size_t n = 0;
        int count = out_view(&s->out, v, PIECES);
        int r = channel_writev(&s->channel, v, count, &n);
        if (r == E_AGAIN) {
            ring_unasked(s);
            r = wait_writable(s);
        }
        if (r != 0)
            return r;
        out_consume(&s->out, n, OUT_KEEP);
    }
    ring_unasked(s);
    s->unasked = 0;
    return 0;
}
