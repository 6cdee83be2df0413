/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "callback.h"

#include "err.h"
#include "forked.h"
#include "interrupt.h"
#include "loop.h"
#include "mem.h"
#include "session.h"
#include "session_read.h"
#include "stream.h"
#include "turn.h"

/* The highest bit, so that a number always has the same length. */
#define FIRST_NUMBER ((uint64_t)1 << 63)

static struct session *session;

void
callback_init(struct session *s)
{
    session = s;
    s->calls.last = FIRST_NUMBER;
    s->calls.last_ready = &s->calls.ready;
}

/* ---- what waits ---------------------------------------------------------- */

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
        call_leave(s, c);
        c->next = NULL;
        *s->calls.last_ready = c;
        s->calls.last_ready = &c->next;
    } else if (call_is_main(c)) {
        session_wake_main(s);
    } else if (c->asleep) {
        nudge_give(&c->nudge);
    }
}

/* ---- waiting ------------------------------------------------------------- */

static int
run_on_top(struct session *s, struct request *r)
{
    PyObject *hidden = loop_hide();
    int e = session_run_on_top(s, r);
    loop_show(hidden);
    return e;
}

/* 0 goes on waiting, -1 with an exception. */
static int
wait_once(struct session *s, struct call *c)
{
    struct request *r = NULL;
    int e = session_flush(s);
    if (e == 0 && PyErr_Occurred())
        return -1;
    if (e == 0)
        r = session_take(s, turn_of_others(s, c));
    if (r != NULL)
        e = run_on_top(s, r);
    else if (e == 0)
        e = session_wait_more(s, turn_patience_ms(s, c));
    if (e < 0)
        session_end(e); /* the VM is gone, or makes no sense */
    return PyErr_Occurred() ? -1 : 0;
}

/* Until the answer is there, 0, or an exception, -1.  A request that was
 * cancelled goes on with KeyboardInterrupt, whether or not its answer has come
 * as well: no signal may be coming. */
static int
wait_in_main(struct session *s, struct call *c)
{
    int r = 0;
    while (r == 0 && c->answer == NULL && !call_is_cancelled(c))
        r = wait_once(s, c);
    if (r == 0 && call_is_cancelled(c)) {
        interrupt_raise();
        r = -1;
    }
    return r;
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

static void
pump(struct session *s)
{
    int e = session_read_ahead(s);
    if (e < 0)
        session_end(e);
}

static void
wait_in_thread(struct session *s, struct call *c)
{
    int e = session_flush(s);
    while (e >= 0 && c->answer == NULL) {
        c->asleep = 1;
        e = idle_wait_as_other(&s->idle, &s->channel, &c->nudge);
        c->asleep = 0;
        if (e >= 0 && c->answer == NULL)
            pump(s);
    }
    if (e < 0)
        session_end(e);
}

/* ---- calling ------------------------------------------------------------- */

/* Why there is nobody to call, or NULL. */
static const char *
why_not(const struct session *s)
{
    if (s == NULL)
        return "there is no Erlang VM to call";
    if (forked())
        return "a child that was forked has no connection to Erlang";
    if (s->stopping)
        return "a context that is being stopped can not call";
    return s->ready ? NULL : "a context that is being started can not call";
}

static int
is_connected(const struct session *s)
{
    const char *why = why_not(s);
    if (why != NULL)
        PyErr_SetString(PyExc_RuntimeError, why);
    return why == NULL;
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
    const struct call *c = s->calls.top;
    while (c != NULL && c->of == NULL)
        c = c->below;
    if (s->current == NULL || s->answered ||
        (c != NULL && c->of == s->current) || is_given_up(s))
        return NULL;
    return s->current;
}

/* Its time was up before this call.  What runs in nobody's name is clean-up
 * code, and this is none: KeyboardInterrupt, which is on its way, comes first.
 */
static int
is_to_end(const struct session *s)
{
    return s->current != NULL && !s->answered && s->current->cancelled &&
           interrupt_is_due();
}

struct request *
callback_of(void)
{
    struct session *s = session;
    if (s == NULL || !s->ready || forked() || !session_is_main(s))
        return NULL;
    return in_whose_name(s);
}

uint32_t
callback_room(void)
{
    return callback_of() != NULL ? session->context->max_frame : 0;
}

uint32_t
callback_max_frame(void)
{
    return session != NULL ? session->context->max_frame : WIRE_LIMIT_MAX_FRAME;
}

/* An event loop that waits in the main thread is to run what was read by the
 * way. */
static void
wake_loop(const struct session *s)
{
    if (s->nested.first != NULL && s->idle.others > 0)
        nudge_give(&s->idle.nudge);
}

static PyObject *
ask_in_main(struct session *s, PyObject *name, PyObject *args, PyObject *kwargs)
{
    PyObject *v = NULL;
    struct call c = {
        .number = ++s->calls.last, .of = in_whose_name(s), .nudge.fd = -1};
    if (c.of == NULL && is_to_end(s)) {
        interrupt_raise();
        return NULL;
    }
    if (c.of != NULL && stream_finish() < 0)
        return NULL;
    if (call_ask(s, &c, name, args, kwargs) < 0)
        return NULL;
    call_enter(s, &c);
    if (wait_in_main(s, &c) == 0)
        v = call_value(s, &c, name);
    call_leave(s, &c);
    wake_loop(s);
    request_free(c.answer);
    return v;
}

/* Too deep is too deep before the function is called. */
static PyObject *
call_from_main(struct session *s, PyObject *name, PyObject *args,
               PyObject *kwargs)
{
    if (Py_EnterRecursiveCall(" in a call of an Erlang function"))
        return NULL;
    PyObject *v = ask_in_main(s, name, args, kwargs);
    Py_LeaveRecursiveCall();
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
    if (call_ask(s, &c, name, args, kwargs) == 0) {
        call_enter(s, &c);
        wait_in_thread(s, &c);
        v = call_value(s, &c, name);
        call_leave(s, &c);
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
    const struct request *r = callback_of();
    uint64_t id = r != NULL ? r->h.id : 0;
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
    Py_XDECREF(c->name);
    request_free(c->answer);
    mem_free(c);
}

static void
tell(struct session *s, struct call *c)
{
    PyObject *value = call_value(s, c, c->name);
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

/* Where an interrupt raised in it, it would be taken for an error of the one
 * who is told, who would wait for ever. */
void
callback_tell(struct session *s)
{
    struct call *c;
    int main = session_is_main(s);
    if (main)
        interrupt_defer(1);
    while ((c = s->calls.ready) != NULL) {
        s->calls.ready = c->next;
        if (c->next == NULL)
            s->calls.last_ready = &s->calls.ready;
        PyObject *saved = py_err_take();
        tell(s, c);
        if (saved != NULL)
            py_err_give(saved);
    }
    if (main)
        interrupt_defer(0);
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
                       .when_there = Py_NewRef(when_there),
                       .name = Py_NewRef(name)};
    if (call_ask(s, c, name, args, kwargs) < 0) {
        free_call(c);
        return -1;
    }
    call_enter(s, c);
    int e = session_flush(s);
    if (e == 0)
        e = session_read_ahead(s); /* and be rung for from now on */
    if (e < 0)
        session_end(e);
    wake_loop(s);
    return PyErr_Occurred() ? -1 : 0; /* of a signal handler */
}

/* An event loop that waits is as good as a call that does. */
static int
run_nested(struct session *s)
{
    struct request *r;
    while (!PyErr_Occurred() && (r = session_take(s, 0)) != NULL) {
        int e = run_on_top(s, r);
        if (e == 0)
            e = session_flush(s);
        if (e < 0)
            session_end(e);
    }
    if (!PyErr_Occurred() && s->current != NULL && s->current->cancelled)
        interrupt_raise();
    return PyErr_Occurred() ? -1 : 0;
}

int
callback_pump(void)
{
    struct session *s = session;
    if (!is_connected(s))
        return -1;
    int main = session_is_main(s);
    if (main)
        nudge_take(&s->idle.nudge);
    channel_polled(&s->channel);
    pump(s);
    if (!main || s->nested.first == NULL)
        return 0;
    return run_nested(s);
}

int
callback_look(void)
{
    if (!session_is_main(session) && open_nudges(session, NULL) < 0)
        return -1;
    pump(session);
    return PyErr_Occurred() ? -1 : 0;
}

PyObject *
callback_fds(void)
{
    struct session *s = session;
    if (!is_connected(s) || open_nudges(s, NULL) < 0)
        return NULL;
    return session_is_main(s)
               ? Py_BuildValue("(ii)", s->channel.fd, s->idle.nudge.fd)
               : Py_BuildValue("(i)", s->channel.fd);
}
