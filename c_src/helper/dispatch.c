/* SPDX-License-Identifier: Apache-2.0 */
#include "dispatch.h"

#include "continuation.h"
#include "crash.h"
#include "detached.h"
#include "err.h"
#include "etf_encode.h"
#include "exec.h"
#include "forked.h"
#include "info.h"
#include "interrupt.h"
#include "pyerr.h"
#include "segment_open.h"
#include "steps.h"
#include "stream.h"

typedef PyObject *handler(struct context *c, PyObject *body);

static handler *const handlers[64] = {
    [WIRE_CALL] = exec_call,       [WIRE_EVAL] = exec_eval,
    [WIRE_EXEC] = exec_exec,       [WIRE_METHOD] = exec_method,
    [WIRE_GETATTR] = exec_getattr, [WIRE_TO_TERM] = exec_to_term,
    [WIRE_INFO] = info_get,
};

/* The result, or NULL with an exception set. */
static PyObject *
run(struct context *c, struct request *r)
{
    handler *h = r->h.opcode < 64 ? handlers[r->h.opcode] : NULL;
    if (h == NULL) {
        PyErr_Format(PyExc_NotImplementedError, "no request %s",
                     wire_info(r->h.opcode)->name);
        return NULL;
    }
    PyObject *body = segment_decode(r->body, r->h.length, &r->part, &c->limits);
    request_drop_body(r);
    PyObject *result = body ? h(c, body) : NULL;
    Py_XDECREF(body);
    return result;
}

/* What tells of exc, as a draft. */
static int
draft_error(struct session *s, uint64_t id, PyObject *exc, struct draft **d)
{
    struct wire_header h = {.opcode = WIRE_ERROR, .id = id};
    const char *stack = "";
    struct draft *new;
    size_t n = 0;
    int r = session_begin(s, &h, &new);
    if (r != 0)
        return r;
    if (id != 0 && session_is_main(s) && interrupt_was_hit())
        stack = crash_text(&n);
    r = pyerr_put(&new->out.bytes, exc, stack, n);
    if (r == 0)
        *d = new;
    else
        session_discard(s, new);
    return r;
}

/* erlang._stream.Stream(value); takes it. */
static PyObject *
stream_over(PyObject *value)
{
    PyObject *m = PyImport_ImportModule("erlang._stream");
    PyObject *s = m ? PyObject_CallMethod(m, "Stream", "O", value) : NULL;
    Py_XDECREF(m);
    Py_DECREF(value);
    return s;
}

int
dispatch_error(struct session *s, uint64_t id, PyObject *exc)
{
    struct draft *d;
    int r = draft_error(s, id, exc, &d);
    return r == 0 ? session_commit(s, d) : r;
}

/* The exception that is set, as a draft; it is gone then. */
static int
draft_raised(struct session *s, uint64_t id, struct draft **d)
{
    PyObject *exc = py_err_take();
    int e = draft_error(s, id, exc, d);
    Py_XDECREF(exc);
    return e;
}

/* The answer is not given before all is over: destructors are part of the
 * request as well.  They can be interrupted, may call Erlang, and what they say
 * comes first. */
static int
draft_answer(struct session *s, uint64_t id, PyObject *result, struct draft **d)
{
    int e = result ? session_draft_term(s, WIRE_RESULT, id, result, d) : -1;
    if (e != 0)
        e = draft_raised(s, id, d);
    Py_XDECREF(result);
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(NULL);
    /* What is unfinished there is of what the main thread runs. */
    if (!session_is_main(s) || stream_finish() == 0)
        return e;
    if (e == 0)
        session_discard(s, *d);
    return draft_raised(s, id, d);
}

int
dispatch_answer(struct session *s, uint64_t id, uint8_t flags, PyObject *result)
{
    struct draft *d = NULL;
    if (result != NULL && (flags & WIRE_FLAG_STREAM))
        result = stream_over(result);
    if (result != NULL && (flags & (WIRE_FLAG_RETURN_REF | WIRE_FLAG_STREAM)))
        Py_SETREF(result, objref_put(&s->context->refs, result));
    int e = draft_answer(s, id, result, &d);
    if (forked())
        forked_exit(NULL);
    return e == 0 ? session_commit(s, d) : e;
}

int
dispatch_request(struct session *s, struct request *r)
{
    PyObject *result = r->step == NULL ? run(s->context, r) : steps_resume(r);
    if (result != NULL && continuation_check(result))
        result = steps_run(s, r, result);
    if (forked())
        forked_exit(result ? NULL : py_err_take());
    if (r->step != NULL)
        return 0;
    if (result != NULL && (r->h.flags & WIRE_FLAG_ASYNC) &&
        detached_can_be(result)) {
        if (stream_finish() == 0)
            return detached_begin(s, r, result);
        Py_CLEAR(result);
    }
    return dispatch_answer(s, r->h.id, r->h.flags, result);
}

void
dispatch_notice(struct context *c, const struct request *r)
{
    PyObject *body = etf_decode(r->body, r->h.length, &c->limits);
    if (body != NULL && r->h.opcode == WIRE_RELEASE)
        exec_release(c, body);
    else if (body != NULL)
        exec_forget(c, body);
    PyErr_Clear();
    Py_XDECREF(body);
}
