/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "detached.h"

#include "dispatch.h"
#include "session.h"

static struct session *session;

void
detached_init(struct session *s)
{
    session = s;
}

void
detached_close(void)
{
    session->detached.closed = 1;
}

int
detached_can_be(PyObject *result)
{
    const PyAsyncMethods *m = Py_TYPE(result)->tp_as_async;
    return m != NULL && m->am_await != NULL;
}

/* ---- the table ----------------------------------------------------------- */

static int
make_tables(struct detached *d)
{
    if (d->waiting == NULL)
        d->waiting = PyDict_New();
    if (d->cancelled == NULL)
        d->cancelled = PyList_New(0);
    return d->waiting != NULL && d->cancelled != NULL ? 0 : -1;
}

static int
put(struct detached *d, PyObject *id, uint8_t flags)
{
    PyObject *v = PyLong_FromLong(flags);
    int r = v != NULL && make_tables(d) == 0 ? PyDict_SetItem(d->waiting, id, v)
                                             : -1;
    Py_XDECREF(v);
    return r;
}

/* The flags of its frame; -1: it is not there, no exception. */
static int
take(struct detached *d, PyObject *id)
{
    PyObject *v = d->waiting ? PyDict_GetItemWithError(d->waiting, id) : NULL;
    long flags = v != NULL ? PyLong_AsLong(v) : -1;
    if (v == NULL || PyDict_DelItem(d->waiting, id) < 0) {
        PyErr_Clear();
        return -1;
    }
    return (int)flags;
}

/* ---- the main thread ----------------------------------------------------- */

/* erlang._loop.start(id, awaitable) */
static PyObject *
start(PyObject *id, PyObject *awaitable)
{
    PyObject *m = PyImport_ImportModule("erlang._loop");
    PyObject *r =
        m ? PyObject_CallMethod(m, "start", "OO", id, awaitable) : NULL;
    Py_XDECREF(m);
    return r;
}

/* The loop may have begun it, and may even have answered. */
static int
not_started(struct session *s, PyObject *id, uint64_t number)
{
    PyObject *exc = py_err_take();
    int e = 0;
    (void)detached_cancel(&s->detached, number);
    if (take(&s->detached, id) >= 0)
        e = dispatch_error(s, number, exc);
    Py_XDECREF(exc);
    return e;
}

/* While spans are recorded: ask the request's caller for the span around it, as
 * long as it is the request that runs here. */
static int
note_span(const struct session *s)
{
    if (!s->traced)
        return 0;
    PyObject *m = PyImport_ImportModule("erlang._trace");
    PyObject *r = m ? PyObject_CallMethod(m, "note_parent", NULL) : NULL;
    Py_XDECREF(m);
    Py_XDECREF(r);
    return r ? 0 : -1;
}

int
detached_begin(struct session *s, const struct request *r, PyObject *awaitable)
{
    PyObject *id = PyLong_FromUnsignedLongLong(r->h.id), *started = NULL;
    int e;
    if (id == NULL || note_span(s) < 0 ||
        put(&s->detached, id, r->h.flags) < 0) {
        e = dispatch_answer(s, r->h.id, r->h.flags, NULL);
    } else {
        e = session_put_empty(s, WIRE_DETACHED, r->h.id);
        /* It is no longer the one that runs: what is said from here on, of a
         * coroutine that was never awaited for instance, is in nobody's name.
         */
        s->answered = 1;
        if (e == 0 && (started = start(id, awaitable)) == NULL)
            e = not_started(s, id, r->h.id);
    }
    Py_XDECREF(started);
    Py_XDECREF(id);
    Py_DECREF(awaitable);
    return e;
}

int
detached_cancel(struct detached *d, uint64_t id)
{
    int found = 0;
    if (d->waiting == NULL || PyDict_GET_SIZE(d->waiting) == 0)
        return 0;
    PyObject *exc = py_err_take();
    PyObject *number = PyLong_FromUnsignedLongLong(id);
    if (number != NULL && PyDict_Contains(d->waiting, number) == 1) {
        found = 1;
        if (PyList_Append(d->cancelled, number) == 0)
            nudge_give(&d->nudge);
    }
    Py_XDECREF(number);
    py_err_give(exc);
    return found;
}

/* ---- the loop's side ----------------------------------------------------- */

static int
is_open(void)
{
    return session != NULL && session->ready && !session->detached.closed;
}

int
detached_answer(PyObject *id, PyObject *error, PyObject *value)
{
    if (!is_open())
        return 0;
    struct session *s = session;
    uint64_t number = PyLong_AsUnsignedLongLong(id);
    if (PyErr_Occurred())
        return -1;
    int flags = take(&s->detached, id);
    if (flags < 0)
        return 0;
    if (error != Py_None)
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    PyObject *result = error == Py_None ? Py_NewRef(value) : NULL;
    int e = dispatch_answer(s, number, (uint8_t)flags, result);
    if (e == 0)
        e = session_flush(s);
    if (e != 0)
        session_end(e);
    return 1;
}

PyObject *
detached_take_cancelled(void)
{
    struct detached *d = session != NULL ? &session->detached : NULL;
    if (d == NULL || d->cancelled == NULL)
        return PyList_New(0);
    nudge_take(&d->nudge);
    PyObject *fresh = PyList_New(0), *taken = d->cancelled;
    if (fresh == NULL)
        return NULL;
    d->cancelled = fresh;
    return taken;
}

int
detached_fd(void)
{
    struct nudge *n = session != NULL ? &session->detached.nudge : NULL;
    if (n == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "there is no Erlang VM to answer");
        return -1;
    }
    if (n->fd < 0 && nudge_open(n) != 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return n->fd;
}
