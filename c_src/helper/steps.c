/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "steps.h"

#include "continuation.h"
#include "crash.h"
#include "forked.h"
#include "interrupt.h"
#include "session.h"
#include "session_read.h"
#include "stream.h"

/* Nothing may stand behind STOP. */
static int
somebody_waits(const struct session *s)
{
    const struct request *q = s->queue.first;
    int any = q != NULL;
    while (q != NULL && q->h.opcode != WIRE_STOP)
        q = q->next;
    return any && q == NULL;
}

/* 1: it goes to the end of the line; 0: it goes on; -1 with an exception. */
static int
yields(struct session *s, const struct request *r)
{
    if (r->h.flags & WIRE_FLAG_NESTED)
        return 0;
    int e = session_read_ahead(s);
    if (e < 0)
        session_end(e);
    if (PyErr_Occurred())
        return -1;
    if (r->cancelled) {
        interrupt_raise();
        return -1;
    }
    if (!somebody_waits(s))
        return 0;
    return stream_finish() < 0 ? -1 : 1;
}

static void
note(const struct continuation *c)
{
    if (c->module != NULL)
        crash_what_call(c->module, c->name, PyTuple_GET_SIZE(c->args));
}

/* One step, with a slice of time of its own; takes value. */
static PyObject *
step(struct request *r, PyObject *value)
{
    const struct continuation *c = (const struct continuation *)value;
    r->slice = 0;
    note(c);
    PyObject *next = continuation_step(c);
    Py_DECREF(value);
    if (next == NULL || !PyErr_Occurred())
        return next;
    Py_DECREF(next);
    return NULL;
}

static int
is_inline(PyObject *value)
{
    return ((struct continuation *)value)->kind == CONTINUE_INLINE;
}

/* One that has just come out of the line goes on, whoever came meanwhile. */
PyObject *
steps_run(struct session *s, struct request *r, PyObject *value)
{
    int had_its_turn = r->resumed;
    r->resumed = 0;
    while (value != NULL && continuation_check(value) && !forked()) {
        int y = interrupt_check() < 0 ? -1 : 0;
        if (y == 0 && !had_its_turn && !is_inline(value))
            y = yields(s, r);
        had_its_turn = 0;
        if (y > 0) {
            r->step = value;
            return NULL;
        }
        if (y < 0)
            Py_CLEAR(value);
        else
            value = step(r, value);
    }
    return value;
}

PyObject *
steps_resume(struct request *r)
{
    PyObject *value = r->step;
    r->step = NULL;
    r->resumed = 1;
    if (r->interrupted) {
        Py_CLEAR(value);
        interrupt_raise();
    }
    return value;
}
