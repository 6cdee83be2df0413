/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "call.h"

#include "callback.h"
#include "segment_open.h"
#include "session.h"
#include "span.h"

/* ---- the question -------------------------------------------------------- */

/* {Number, Name, Args, Kwargs}; a user's function within a span is called by
 * the service that makes the span known to it. */
static PyObject *
question(const struct call *c, int traced, PyObject *name, PyObject *args,
         PyObject *kwargs)
{
    PyObject *list = PySequence_List(args), *q = NULL, *span = NULL;
    unsigned long long n = c->number;
    if (list != NULL && traced && PyUnicode_Check(name) &&
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

int
call_ask(struct session *s, const struct call *c, PyObject *name,
         PyObject *args, PyObject *kwargs)
{
    PyObject *q = question(c, s->traced, name, args, kwargs);
    if (q == NULL)
        return -1;
    uint64_t id = c->of != NULL ? c->of->h.id : 0;
    int r = session_put_term(s, WIRE_CALLBACK, id, q);
    Py_DECREF(q);
    if (r == 0 && c->of == NULL)
        s->unasked = 1;
    else if (r == 0)
        c->of->told = 1;
    return r;
}

/* ---- what waits ---------------------------------------------------------- */

int
call_is_main(const struct call *c)
{
    return c->nudge.fd < 0 && c->when_there == NULL;
}

void
call_enter(struct session *s, struct call *c)
{
    struct calls *all = &s->calls;
    c->next = all->first;
    all->first = c;
    if (call_is_main(c)) {
        c->below = all->top;
        all->top = c;
    } else {
        s->idle.others++;
    }
}

void
call_leave(struct session *s, struct call *c)
{
    struct calls *all = &s->calls;
    struct call **at = &all->first;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (call_is_main(c))
        all->top = c->below;
    else
        s->idle.others--;
}

int
call_is_cancelled(const struct call *c)
{
    return c->of != NULL && c->of->cancelled;
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

PyObject *
call_value(struct session *s, const struct call *c, PyObject *name)
{
    struct request *r = c->answer;
    PyObject *v =
        segment_decode(r->body, r->h.length, &r->part, &s->context->limits);
    if (v != NULL && r->h.opcode == WIRE_RAISED) {
        raise_error(v, name);
        Py_CLEAR(v);
    }
    return v;
}
