/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "callback.h"

#include "err.h"
#include "etf_decode.h"
#include "etf_encode.h"
#include "forked.h"
#include "interrupt.h"
#include "mem.h"
#include "session.h"
#include "session_read.h"
#include "span.h"
#include "stream.h"

/* So many requests of others are run on top of one that waits, at most. */
enum { FOREIGN_MAX = 64 };
/* The highest bit, so that a number always has the same length. */
#define FIRST_NUMBER ((uint64_t)1 << 63)

static struct session *session;

void
callback_init(struct session *s)
{
    session = s;
    s->calls.last = FIRST_NUMBER;
}

/* ---- the question -------------------------------------------------------- */

/* {Number, Name, Args, Kwargs}; a user's function within a span is called by
 * the service that makes the span known to it. */
static PyObject *
question(uint64_t number, PyObject *name, PyObject *args, PyObject *kwargs)
{
    PyObject *list = PySequence_List(args), *q = NULL, *span = NULL;
    unsigned long long n = number;
    if (list != NULL && session->traced && PyUnicode_Check(name) &&
        span_current(&span) < 0)
        Py_CLEAR(list);
    if (list != NULL && span != NULL)
        q = Py_BuildValue("(K(ss)[OOOO]{})", n, "trace", "call", span, name,
                          list, kwargs);
    else if (list != NULL)
        q = Py_BuildValue("(KOOO)", n, name, list, kwargs);
    Py_XDECREF(span);
    Py_XDECREF(list);
    return q;
}

/* 0, or -1 with an exception and the output as it was. */
static int
put_question(struct session *s, const struct call *c, PyObject *name,
             PyObject *args, PyObject *kwargs)
{
    PyObject *q = question(c->number, name, args, kwargs);
    if (q == NULL)
        return -1;
    uint64_t id = c->of != NULL ? c->of->h.id : 0;
    int r = session_put_term(s, WIRE_CALLBACK, id, q);
    Py_DECREF(q);
    if (r == 0 && c->of == NULL)
        s->unasked = 1;
    return r;
}

/* ---- what waits ---------------------------------------------------------- */

static int
is_main(const struct call *c)
{
    return c->nudge.fd < 0 && c->when_there == NULL;
}

static void
enter(struct session *s, struct call *c)
{
    struct calls *all = &s->calls;
    c->next = all->first;
    all->first = c;
    if (is_main(c)) {
        c->below = all->top;
        all->top = c;
    } else {
        s->idle.others++;
    }
}

static void
leave(struct session *s, struct call *c)
{
    struct calls *all = &s->calls;
    struct call **at = &all->first;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (is_main(c))
        all->top = c->below;
    else
        s->idle.others--;
}

void
callback_answered(struct session *s, struct request *r)
{
    struct call *c = s->calls.first;
    while (c != NULL && (c->number != r->h.id || c->answer != NULL))
        c = c->next;
    if (c == NULL) {
        request_free(r);
        return;
    }
    c->answer = r;
    if (c->when_there != NULL) {
        leave(s, c);
        c->next = s->calls.ready;
        s->calls.ready = c;
    } else {
        nudge_give(is_main(c) ? &s->idle.nudge : &c->nudge);
    }
}

int
callback_cancel(struct calls *all, uint64_t id)
{
    for (struct call *c = all->first; c != NULL; c = c->next) {
        if (c->of == NULL || c->of->h.id != id)
            continue;
        c->of->cancelled = 1;
        return 1;
    }
    return 0;
}

/* May what others ask for be run on top?  Not for ever, and not when somebody
 * below could go on. */
static int
foreign_may_run(const struct calls *all)
{
    int depth = 0;
    for (const struct call *c = all->top; c != NULL; c = c->below)
        if (c->answer != NULL || (c->of != NULL && c->of->cancelled) ||
            ++depth > FOREIGN_MAX)
            return 0;
    return 1;
}

/* ---- waiting ------------------------------------------------------------- */

/* A request that was cancelled while it waited goes on with KeyboardInterrupt,
 * whether or not its answer has come as well: no signal may be coming. */
static int
check_cancelled(const struct call *c)
{
    return c->of != NULL && c->of->cancelled && interrupt_raise() ? -1 : 0;
}

/* 0 goes on waiting, -1 with an exception. */
static int
wait_once(struct session *s, struct call *c)
{
    int e = session_flush(s);
    struct request *r = NULL;
    if (e == 0 && !PyErr_Occurred())
        r = session_take(s, foreign_may_run(&s->calls));
    if (r != NULL)
        e = session_run_on_top(s, r);
    else if (e == 0 && !PyErr_Occurred())
        e = session_wait_more(s);
    if (e < 0)
        session_end(e); /* the VM is gone, or makes no sense */
    if (PyErr_Occurred())
        return -1;
    return check_cancelled(c);
}

static int
wait_in_main(struct session *s, struct call *c)
{
    int r = 0;
    if (Py_EnterRecursiveCall(" in a call of an Erlang function"))
        return -1;
    while (r == 0 && c->answer == NULL)
        r = wait_once(s, c);
    Py_LeaveRecursiveCall();
    return r == 0 ? check_cancelled(c) : r;
}

/* Once there are others the main thread must be woken by those who read.  If it
 * sleeps now, it does so without the nudge: its next sleep is with it. */
static int
open_main_nudge(struct session *s)
{
    if (s->idle.nudge.fd >= 0)
        return 0;
    int r = nudge_open(&s->idle.nudge);
    if (r == 0 && s->idle.want != 0)
        interrupt_sleep();
    return r;
}

static int
open_nudges(struct session *s, struct nudge *n)
{
    int r = open_main_nudge(s);
    if (r == 0 && n != NULL)
        r = nudge_open(n);
    if (r != 0)
        PyErr_SetFromErrno(PyExc_OSError);
    return r != 0 ? -1 : 0;
}

static int
has_requests(const struct session *s)
{
    return s->queue.first != NULL || s->nested.first != NULL;
}

static void
pump(struct session *s)
{
    int before = has_requests(s);
    int e = session_read_ahead(s);
    if (e < 0)
        session_end(e);
    if (!before && has_requests(s))
        nudge_give(&s->idle.nudge);
}

static void
wait_in_thread(struct session *s, struct call *c)
{
    int e = session_flush(s);
    while (e >= 0 && c->answer == NULL) {
        e = idle_wait_as_other(&s->idle, &s->channel, &c->nudge);
        if (e >= 0 && c->answer == NULL)
            pump(s);
    }
    if (e < 0)
        session_end(e);
}

/* ---- the answer ---------------------------------------------------------- */

/* Raise what erlang._errors makes of {Class, Reason, Stack}. */
static void
raise_error(PyObject *parts, PyObject *name)
{
    PyObject *m = PyImport_ImportModule("erlang._errors");
    PyObject *exc =
        m ? PyObject_CallMethod(m, "_raised", "OO", name, parts) : NULL;
    if (exc != NULL)
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    Py_XDECREF(exc);
    Py_XDECREF(m);
}

static PyObject *
value_of(struct session *s, struct request *r, PyObject *name)
{
    PyObject *v =
        etf_decode_part(r->body, r->h.length, &r->part, &s->context->limits);
    if (v != NULL && r->h.opcode == WIRE_RAISED) {
        raise_error(v, name);
        Py_CLEAR(v);
    }
    return v;
}

static int
is_connected(const struct session *s)
{
    if (s != NULL && s->ready)
        return 1;
    PyErr_SetString(PyExc_RuntimeError,
                    s == NULL ? "there is no Erlang VM to call"
                              : "a context that is being started can not call");
    return 0;
}

/* Who made the request does not wait for it any more, and would run nothing. It
 * is told by a frame before the signal, which may be unread. */
static int
is_given_up(struct session *s)
{
    if (!s->current->cancelled && interrupt_was_hit()) {
        int e = session_read_ahead(s);
        if (e < 0)
            session_end(e);
    }
    return s->current->cancelled;
}

/* The request in whose name the main thread may call: it has not been answered
 * or given up, and does not wait already (else this is a signal handler). */
static struct request *
in_whose_name(struct session *s)
{
    const struct call *top = s->calls.top;
    if (s->current == NULL || s->answered ||
        (top != NULL && top->of == s->current) || is_given_up(s))
        return NULL;
    return s->current;
}

uint32_t
callback_room(void)
{
    struct session *s = session;
    if (s == NULL || !s->ready || forked() || !session_is_main(s) ||
        in_whose_name(s) == NULL)
        return 0;
    return s->context->max_frame;
}

static PyObject *
call_from_main(struct session *s, PyObject *name, PyObject *args,
               PyObject *kwargs)
{
    PyObject *v = NULL;
    struct call c = {
        .number = ++s->calls.last, .of = in_whose_name(s), .nudge.fd = -1};
    if (c.of != NULL && stream_finish() < 0)
        return NULL;
    if (put_question(s, &c, name, args, kwargs) < 0)
        return NULL;
    enter(s, &c);
    if (wait_in_main(s, &c) == 0)
        v = value_of(s, c.answer, name);
    leave(s, &c);
    request_free(c.answer);
    return v;
}

static PyObject *
call_from_thread(struct session *s, PyObject *name, PyObject *args,
                 PyObject *kwargs)
{
    PyObject *v = NULL;
    struct call c = {.number = ++s->calls.last, .nudge.fd = -1};
    if (open_nudges(s, &c.nudge) < 0)
        return NULL;
    if (put_question(s, &c, name, args, kwargs) == 0) {
        enter(s, &c);
        wait_in_thread(s, &c);
        v = value_of(s, c.answer, name);
        leave(s, &c);
    }
    nudge_close(&c.nudge);
    request_free(c.answer);
    return v;
}

PyObject *
callback_call(PyObject *name, PyObject *args, PyObject *kwargs)
{
    struct session *s = session;
    if (!is_connected(s))
        return NULL;
    return session_is_main(s) ? call_from_main(s, name, args, kwargs)
                              : call_from_thread(s, name, args, kwargs);
}

PyObject *
callback_request(void)
{
    uint64_t id = callback_room() > 0 ? session->current->h.id : 0;
    return PyLong_FromUnsignedLongLong(id);
}

int
callback_traced(void)
{
    return session != NULL && session->traced;
}

/* ---- without waiting ----------------------------------------------------- */

static void
free_call(struct call *c)
{
    Py_XDECREF(c->when_there);
    request_free(c->answer);
    mem_free(c);
}

static void
tell(struct session *s, struct call *c)
{
    PyObject *value = value_of(s, c->answer, Py_None);
    PyObject *error = value == NULL ? py_err_take() : NULL;
    PyObject *r = PyObject_CallFunctionObjArgs(
        c->when_there, error ? error : Py_None, value ? value : Py_None, NULL);
    if (r == NULL)
        PyErr_WriteUnraisable(c->when_there);
    Py_XDECREF(r);
    Py_XDECREF(value);
    Py_XDECREF(error);
    free_call(c);
}

void
callback_tell(struct session *s)
{
    struct call *c;
    while ((c = s->calls.ready) != NULL) {
        s->calls.ready = c->next;
        PyObject *saved = py_err_take();
        tell(s, c);
        if (saved != NULL)
            py_err_give(saved);
    }
}

int
callback_begin(PyObject *name, PyObject *args, PyObject *kwargs,
               PyObject *when_there)
{
    struct session *s = session;
    if (!is_connected(s) || open_nudges(s, NULL) < 0)
        return -1;
    struct call *c = mem_alloc(sizeof *c);
    if (c == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *c = (struct call){.number = ++s->calls.last,
                       .nudge.fd = -1,
                       .when_there = Py_NewRef(when_there)};
    if (put_question(s, c, name, args, kwargs) < 0) {
        free_call(c);
        return -1;
    }
    enter(s, c);
    int e = session_flush(s);
    if (e == 0)
        e = session_read_ahead(s); /* and be rung for from now on */
    if (e < 0)
        session_end(e);
    return 0;
}

int
callback_pump(void)
{
    if (!is_connected(session))
        return -1;
    channel_polled(&session->channel);
    pump(session);
    return 0;
}

int
callback_look(void)
{
    if (!session_is_main(session) && open_nudges(session, NULL) < 0)
        return -1;
    pump(session);
    return PyErr_Occurred() ? -1 : 0;
}

int
callback_fd(void)
{
    return session != NULL ? session->channel.fd : -1;
}
