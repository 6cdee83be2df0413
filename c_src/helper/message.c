/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "message.h"

#include "callback.h"
#include "etf_decode.h"
#include "forked.h"
#include "interrupt.h"
#include "session.h"

/* Looking costs a system call where there is no lane: not at each message. */
enum { LOOK_ONE_IN = 16 };

static struct session *session;

void
message_init(struct session *s)
{
    session = s;
}

static int
is_connected(const struct session *s)
{
    if (s != NULL && s->ready)
        return 1;
    PyErr_SetString(PyExc_RuntimeError,
                    s == NULL ? "there is no Erlang VM to send to"
                              : "a context that is being started can not send");
    return 0;
}

int
message_is_open(void)
{
    return session != NULL && session->ready && !session->stopping && !forked();
}

int
message_is_main(void)
{
    return session != NULL && session_is_main(session);
}

static int
look_is_due(struct session *s)
{
    return channel_has_lane(&s->channel) || ++s->sends % LOOK_ONE_IN == 0;
}

int
message_send(PyObject *number, PyObject *term)
{
    struct session *s = session;
    if (!is_connected(s))
        return -1;
    PyObject *message = PyTuple_Pack(2, number, term);
    if (message == NULL)
        return -1;
    int r = session_put_term(s, WIRE_SEND, 0, message);
    Py_DECREF(message);
    if (r < 0)
        return -1;
    if (s->current == NULL) /* else the VM waits for its answer, and looks */
        s->unasked = 1;
    int e = session_flush(s);
    if (e < 0)
        session_end(e);
    if (PyErr_Occurred()) /* a signal's, while there was no room */
        return -1;
    return look_is_due(s) ? callback_look() : 0;
}

int
message_look(void)
{
    return is_connected(session) ? callback_look() : -1;
}

/* ---- receivers that are gone --------------------------------------------- */

static void
tell(struct session *s, struct request *r)
{
    PyObject *m = PyImport_ImportModule("erlang._messages"), *done = NULL;
    PyObject *body =
        m ? etf_decode_part(r->body, r->h.length, &r->part, &s->context->limits)
          : NULL;
    if (body != NULL)
        done = PyObject_CallMethod(m, "_gone", "(O)", body);
    if (done == NULL)
        PyErr_WriteUnraisable(m);
    Py_XDECREF(done);
    Py_XDECREF(body);
    Py_XDECREF(m);
}

/* What an interrupt raised in it would be lost with it. */
void
message_tell(struct session *s)
{
    struct request *r;
    int main = session_is_main(s);
    if (main)
        interrupt_defer(1);
    while ((r = queue_take(&s->gone)) != NULL) {
        PyObject *saved = py_err_take();
        tell(s, r);
        if (saved != NULL)
            py_err_give(saved);
        request_free(r);
    }
    if (main)
        interrupt_defer(0);
}
