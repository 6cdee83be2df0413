/* SPDX-License-Identifier: Apache-2.0 */
/* codec.c - do one piece of a helper's work so often, for callgrind to count.
 *
 *   codec decode|encode|call|eval TIMES EXPRESSION
 *
 * The expression is Python's; its value is the term, or the request's body.
 * Each piece is done once before, so that nothing is counted that only the
 * first request pays.  test/bench/codec/run knows what to ask for.
 * Errors: says what failed and exits with 1.   Threads: none. */
#include "py.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crash.h"
#include "dispatch.h"
#include "etf_decode.h"
#include "etf_encode.h"
#include "interp.h"
#include "session.h"

/* The functions that callgrind is told to count are these, and not those of
 * the helper, which the first time runs as well. */
PyObject *count_decode(const struct buf *b);
int count_encode(PyObject *o, struct buf *b);
int count_request(struct session *s, struct request *r);

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "codec: %s failed\n", what);
    if (PyErr_Occurred())
        PyErr_Print();
    exit(1);
}

static void
start_python(void)
{
    static const struct interp_options options;
    char reason[512] = "";
    if (interp_init(&options, reason, sizeof reason) != 0)
        fail(reason);
    /* Collections would come when they like, and are no part of this. */
    if (PyRun_SimpleString("import gc\ngc.disable()\n") != 0)
        fail("gc.disable");
}

static PyObject *
value_of(const char *expression)
{
    PyObject *globals = PyDict_New();
    PyObject *m = PyImport_ImportModule("_erlang");
    PyObject *v = NULL;
    if (globals != NULL && m != NULL &&
        PyDict_Update(globals, PyModule_GetDict(m)) == 0)
        v = PyRun_String(expression, Py_eval_input, globals, globals);
    if (v == NULL)
        fail(expression);
    Py_DECREF(globals);
    Py_DECREF(m);
    return v;
}

__attribute__((noinline)) PyObject *
count_decode(const struct buf *b)
{
    return etf_decode(b->data, b->len, NULL);
}

__attribute__((noinline)) int
count_encode(PyObject *o, struct buf *b)
{
    b->len = 0;
    return etf_encode(o, b, NULL);
}

__attribute__((noinline)) int
count_request(struct session *s, struct request *r)
{
    return dispatch_request(s, r);
}

static void
decode(const struct buf *b, long times)
{
    for (long i = 0; i <= times; i++) {
        PyObject *o =
            i == 0 ? etf_decode(b->data, b->len, NULL) : count_decode(b);
        if (o == NULL)
            fail("decode");
        Py_DECREF(o);
    }
}

static void
encode(PyObject *v, struct buf *b, long times)
{
    for (long i = 0; i < times; i++) {
        if (count_encode(v, b) < 0)
            fail("encode");
    }
}

static void
start_session(struct session *s, struct context *c)
{
    int pair[2];
    int box = memfd_create("blackbox", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (box < 0 || ftruncate(box, WIRE_LIMIT_BLACKBOX_SIZE) < 0 ||
        crash_init(box) < 0)
        fail("the black box");
    if (context_init(c) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
        session_init(s, pair[0], c) != 0)
        fail("the session");
}

static int
is_result(const struct session *s)
{
    struct wire_header h;
    return wire_get_header(s->out.bytes.data, &h) == 0 &&
           h.opcode == WIRE_RESULT;
}

/* The body's bytes come as they do from the VM; the answers are dropped. */
static void
request(uint8_t opcode, const struct buf *b, long times)
{
    static struct context context;
    static struct session session;
    struct request *r = calloc(1, sizeof *r + b->len);
    if (r == NULL)
        fail("calloc");
    r->h = (struct wire_header){
        .opcode = opcode, .id = 1, .length = (uint32_t)b->len};
    memcpy(r->small, b->data, b->len);
    r->body = r->small;
    start_session(&session, &context);
    for (long i = -2; i < times; i++) {
        r->body = r->small; /* the last one was dropped */
        int e =
            i < 0 ? dispatch_request(&session, r) : count_request(&session, r);
        if (e != 0 || !is_result(&session))
            fail("dispatch");
        out_consume(&session.out, out_left(&session.out), 1 << 20);
    }
    free(r);
}

int
main(int argc, char **argv)
{
    struct buf b;
    if (argc != 4) {
        fputs("usage: codec decode|encode|call|eval TIMES EXPRESSION\n",
              stderr);
        return 2;
    }
    long times = atol(argv[2]);
    start_python();
    buf_init(&b, WIRE_LIMIT_MAX_FRAME);
    PyObject *v = value_of(argv[3]);
    if (etf_encode(v, &b, NULL) < 0)
        fail("encode");
    if (strcmp(argv[1], "decode") == 0)
        decode(&b, times);
    else if (strcmp(argv[1], "encode") == 0)
        encode(v, &b, times);
    else
        request(argv[1][0] == 'c' ? WIRE_CALL : WIRE_EVAL, &b, times);
    return 0;
}
