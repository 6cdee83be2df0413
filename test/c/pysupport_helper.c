/* SPDX-License-Identifier: Apache-2.0 */
#include "pysupport_helper.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"
#include "etf_decode.h"
#include "etf_encode.h"
#include "helper.h"
#include "interp.h"
#include "io.h"
#include "support_check.h"
#include "support_process.h"

enum {
    PATIENCE_MS = 20000,
    LINGER_NS = 100000 /* granted to a helper over a lane */
};

/* ---- Python in the test -------------------------------------------------- */

void
peer_python(void)
{
    static const struct interp_options options;
    char reason[512] = "";
    if (Py_IsInitialized())
        return;
    if (interp_init(&options, reason, sizeof reason) != 0) {
        fprintf(stderr, "%s\n", reason);
        exit(1);
    }
}

Suite *
peer_suite(const char *name, const TTest *const *tests, int seconds)
{
    Suite *s = suite_create(name);
    TCase *c = tcase_create(name);
    tcase_add_unchecked_fixture(c, peer_python, NULL);
    tcase_set_timeout(c, seconds);
    for (; *tests != NULL; tests++)
        tcase_add_test(c, *tests);
    suite_add_tcase(s, c);
    return s;
}

/* The value of an expression that may use v; fails the test if it raises. */
static PyObject *
value(const char *expression, PyObject *v)
{
    PyObject *globals = PyDict_New();
    ck_assert_ptr_nonnull(globals);
    PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins());
    PyDict_SetItemString(globals, "v", v ? v : Py_None);
    PyObject *r = PyRun_String(expression, Py_eval_input, globals, globals);
    if (r == NULL)
        PyErr_Print();
    ck_assert_msg(r != NULL, "%s raised", expression);
    Py_DECREF(globals);
    return r;
}

void
peer_true(PyObject *v, const char *expression)
{
    PyObject *r = value(expression, v);
    int yes = PyObject_IsTrue(r);
    PyObject *shown = PyObject_Repr(v ? v : Py_None);
    const char *text = shown ? PyUnicode_AsUTF8(shown) : NULL;
    ck_assert_msg(yes == 1, "not true: %s, v = %.2000s", expression,
                  text ? text : "?");
    Py_XDECREF(shown);
    Py_DECREF(r);
}

/* ---- its life ------------------------------------------------------------ */

static int
new_box(void)
{
    int fd = memfd_create("blackbox", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, WIRE_LIMIT_BLACKBOX_SIZE), 0);
    return fd;
}

static int
over_lane(void)
{
    const char *way = getenv("TERRARIUM_TEST_WAY");
    return way != NULL && strcmp(way, "lane") == 0;
}

static _Noreturn void
child(int sock, int box, int lane, const int *output)
{
    dup2(output[0], 1);
    dup2(output[1], 2);
    /* A process group of its own, as under a zygote: Check kills its test's
     * group, and tests kill the helper's. */
    setsid();
    signal(SIGTERM, SIG_DFL); /* Check's own handlers */
    signal(SIGALRM, SIG_DFL);
    for (int fd = 3; fd < 1024; fd++) {
        if (fd != sock && fd != box && fd != lane)
            close(fd);
    }
    PyOS_AfterFork_Child();
    helper_main(sock, box, lane, -1, NULL);
}

void
peer_fork(struct peer *p)
{
    int s[2], out[2], err[2];
    memset(p, 0, sizeof *p);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
    ck_assert_int_eq(pipe(out), 0);
    ck_assert_int_eq(pipe(err), 0);
    ck_ok(channel_socket_init(&p->channel, s[0]));
    p->segment = -1;
    if (over_lane())
        ck_ok(lane_segment_create(&p->segment));
    p->box = new_box();
    p->out = out[0];
    p->err = err[0];
    p->last_id = (uint64_t)getpid() << 32;
    frame_reader_init(&p->in, WIRE_UP, WIRE_LIMIT_MAX_FRAME);
    buf_init(&p->held, 1 << 30);
    fflush(NULL);
    PyOS_BeforeFork();
    p->pid = fork();
    if (p->pid == 0)
        child(s[1], p->box, p->segment, (int[]){out[1], err[1]});
    PyOS_AfterFork_Parent();
    ck_assert_int_gt(p->pid, 0);
    close(s[1]);
    close(out[1]);
    close(err[1]);
}

static void pack(struct ctl_out *o, PyObject *dict);

static void
pack_value(struct ctl_out *o, const char *key, PyObject *v)
{
    if (PyBool_Check(v))
        ctl_put_bool(o, key, v == Py_True);
    else if (PyLong_Check(v))
        ctl_put_uint(o, key, PyLong_AsUnsignedLongLong(v));
    else if (PyUnicode_Check(v))
        ctl_put_str(o, key, PyUnicode_AsUTF8(v));
    else if (PyDict_Check(v)) {
        struct ctl_out sub;
        pack(&sub, v);
        ctl_put_map(o, key, &sub);
        ctl_free(&sub);
    } else {
        char *strings[16];
        size_t n = (size_t)PyList_Size(v);
        ck_assert_uint_le(n, 16);
        for (size_t i = 0; i < n; i++)
            strings[i] =
                (char *)PyUnicode_AsUTF8(PyList_GetItem(v, (Py_ssize_t)i));
        ctl_put_strs(o, key, strings, n);
    }
}

static void
pack(struct ctl_out *o, PyObject *dict)
{
    Py_ssize_t at = 0;
    PyObject *k, *v;
    ctl_begin(o);
    while (PyDict_Next(dict, &at, &k, &v))
        pack_value(o, PyUnicode_AsUTF8(k), v);
    ck_ok(ctl_end(o));
}

static void
send_packed(struct peer *p, const char *map)
{
    struct ctl_out o;
    PyObject *dict = value(map, NULL);
    if (p->segment >= 0)
        PyDict_SetItemString(dict, "lane", Py_True);
    pack(&o, dict);
    Py_DECREF(dict);
    uint8_t head[WIRE_LIMIT_HEADER_SIZE];
    struct wire_header h = {.length = (uint32_t)o.bytes.len,
                            .opcode = WIRE_BOOT};
    wire_put_header(head, &h);
    peer_send_raw(p, head, sizeof head);
    peer_send_raw(p, o.bytes.data, o.bytes.len);
    ctl_free(&o);
}

/* All that comes after BOOT goes through it. */
static void
use_lane(struct peer *p)
{
    struct channel over;
    ck_ok(channel_lane_init(&over, LANE_VM, p->segment, p->channel.fd));
    p->channel = over;
    lane_set_linger(&p->channel.lane, LINGER_NS);
    io_close(&p->segment);
}

void
peer_boot(struct peer *p, const char *map)
{
    peer_fork(p);
    send_packed(p, map);
    if (p->segment >= 0)
        use_lane(p);
}

void
peer_start(struct peer *p)
{
    peer_boot(p, "{}");
    struct wire_header h = peer_next(p, NULL);
    ck_assert_uint_eq(h.opcode, WIRE_HELLO);
    /* The way that was asked for is the one that is taken. */
    ck_assert_int_eq(channel_has_lane(&p->channel), over_lane());
    ck_assert(!over_lane() || p->channel.lane.in.at > 0);
}

int
peer_wait(struct peer *p)
{
    int status = 0;
    if (!process_wait_exit(p->pid, &status, PATIENCE_MS)) {
        kill(p->pid, SIGKILL);
        ck_abort_msg("the helper did not end");
    }
    channel_close(&p->channel);
    io_close(&p->segment);
    io_close(&p->box);
    io_close(&p->out);
    io_close(&p->err);
    frame_reader_fini(&p->in);
    buf_fini(&p->held);
    return status;
}

void
peer_stop(struct peer *p)
{
    channel_close(&p->channel);
    int status = peer_wait(p);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                  "wait status %x", status);
}

/* ---- frames -------------------------------------------------------------- */

void
peer_hold(struct peer *p)
{
    p->holding = 1;
}

void
peer_let_go(struct peer *p)
{
    p->holding = 0;
    peer_send_raw(p, p->held.data, p->held.len);
    buf_reset(&p->held, SIZE_MAX);
}

static void
write_all(struct peer *p, const uint8_t *bytes, size_t n)
{
    for (size_t at = 0, k; at < n;) {
        struct iovec v = {(void *)(bytes + at), n - at};
        int e = channel_writev(&p->channel, &v, 1, &k);
        if (e == 0) {
            at += k;
            continue;
        }
        ck_err(e, E_AGAIN);
        ck_assert_msg(channel_wait(&p->channel, CHANNEL_WRITE, PATIENCE_MS) !=
                          0,
                      "no room in time");
    }
}

void
peer_send_raw(struct peer *p, const void *bytes, size_t n)
{
    if (p->holding)
        ck_ok(buf_put(&p->held, bytes, n));
    else
        write_all(p, bytes, n);
}

void
peer_send_frame(struct peer *p, uint8_t opcode, uint8_t flags, uint64_t id,
                const char *body)
{
    struct buf b;
    uint8_t head[WIRE_LIMIT_HEADER_SIZE] = {0};
    buf_init(&b, SIZE_MAX / 2);
    ck_ok(buf_put(&b, head, sizeof head));
    if (body != NULL) {
        PyObject *v = value(body, NULL);
        if (etf_encode(v, &b, NULL) != 0) {
            PyErr_Print();
            ck_abort_msg("%s: no term", body);
        }
        Py_DECREF(v);
    }
    struct wire_header h = {.length = (uint32_t)(b.len - sizeof head),
                            .opcode = opcode,
                            .flags = flags,
                            .id = id};
    wire_put_header(b.data, &h);
    peer_send_raw(p, b.data, b.len);
    buf_fini(&b);
}

uint64_t
peer_send(struct peer *p, uint8_t opcode, uint8_t flags, const char *body)
{
    peer_send_frame(p, opcode, flags, ++p->last_id, body);
    return p->last_id;
}

void
peer_interrupt(struct peer *p, uint64_t id)
{
    union sigval v = {.sival_ptr = (void *)(uintptr_t)id};
    ck_assert_int_eq(sigqueue(p->pid, SIGRTMIN + 2, v), 0);
}

/* Read what there is, or comes in time: 1, 0 nothing, negative as
 * channel_read.  That something woke us does not mean that there is data. */
static int
fill(struct peer *p, int ms)
{
    uint8_t *at;
    size_t cap, n = 0;
    long until = process_now_ms() + ms;
    ck_ok(frame_reader_space(&p->in, 1 << 16, &at, &cap));
    for (;;) {
        int e = channel_read(&p->channel, at, cap, &n);
        if (e == 0)
            frame_reader_filled(&p->in, n);
        if (e != E_AGAIN)
            return e == 0 ? 1 : e;
        long left = until - process_now_ms();
        if (left <= 0)
            return 0;
        channel_wait(&p->channel, CHANNEL_READ, (int)left);
    }
}

int
peer_is_silent(struct peer *p, int ms)
{
    return p->in.at == p->in.in.len && fill(p, ms) == 0;
}

int
peer_hangs_up(struct peer *p)
{
    return p->in.at == p->in.in.len && fill(p, PATIENCE_MS) == E_EOF;
}

/* It should not have: say what it died of. */
static void
gone(struct peer *p)
{
    struct blackbox b;
    char text[4096];
    int status = 0;
    process_wait_exit(p->pid, &status, 1000);
    peer_box(p, &b, text, sizeof text);
    ck_abort_msg("the helper is gone, wait status %x: %s", status, text);
}

static void
next_frame(struct peer *p, struct frame *f)
{
    int e;
    while ((e = frame_next(&p->in, f)) == E_AGAIN) {
        int r = fill(p, PATIENCE_MS);
        ck_assert_msg(r != 0, "no answer in time");
        if (r < 0)
            gone(p);
    }
    ck_ok(e);
}

struct wire_header
peer_next(struct peer *p, PyObject **body)
{
    struct frame f;
    next_frame(p, &f);
    if (body == NULL)
        return f.h;
    *body = NULL;
    if (wire_info(f.h.opcode)->body == WIRE_BODY_term) {
        *body = etf_decode(f.body, f.h.length, NULL);
        if (*body == NULL)
            PyErr_Print();
        ck_assert_ptr_nonnull(*body);
    }
    return f.h;
}

PyObject *
peer_receive(struct peer *p, uint8_t opcode, uint64_t id)
{
    PyObject *body;
    struct wire_header h = peer_next(p, &body);
    ck_assert_msg(h.opcode == opcode, "%s, not %s", wire_info(h.opcode)->name,
                  wire_info(opcode)->name);
    ck_assert_msg(h.id == id, "the answer to another request");
    return body;
}

void
peer_ask(struct peer *p, uint8_t opcode, const char *body,
         const char *expression)
{
    PyObject *v = peer_receive(p, WIRE_RESULT, peer_send(p, opcode, 0, body));
    peer_true(v, expression);
    Py_DECREF(v);
}

/* {Type, Message, Story} as two strings and a dict. */
static PyObject *
open_error(PyObject *body)
{
    PyObject *m = PyImport_ImportModule("_erlang");
    ck_assert_ptr_nonnull(m);
    PyObject *pair = Py_BuildValue("(OO)", body, m);
    PyObject *v = value("(lambda b, m: (''.join(map(chr, b[0])),"
                        " ''.join(map(chr, b[1])), m.decode(b[2])))(*v)",
                        pair);
    Py_DECREF(m);
    Py_DECREF(pair);
    return v;
}

void
peer_error(struct peer *p, uint64_t id, const char *type,
           const char *expression)
{
    PyObject *body = peer_receive(p, WIRE_ERROR, id);
    PyObject *v = open_error(body);
    const char *got = PyUnicode_AsUTF8(PyTuple_GET_ITEM(v, 0));
    if (strcmp(got, type) != 0)
        peer_true(v, "'another exception' == ''");
    peer_true(v, expression);
    Py_DECREF(v);
    Py_DECREF(body);
}

void
peer_ask_error(struct peer *p, uint8_t opcode, const char *body,
               const char *type, const char *expression)
{
    peer_error(p, peer_send(p, opcode, 0, body), type, expression);
}

/* ---- what is beside the protocol ----------------------------------------- */

void
peer_box(const struct peer *p, struct blackbox *b, char *text, size_t n)
{
    memset(text, 0, n);
    ck_assert_int_eq(pread(p->box, b, sizeof *b, 0), (ssize_t)sizeof *b);
    ck_assert_int_ge(pread(p->box, text, n - 1, WIRE_LIMIT_BLACKBOX_TEXT), 0);
}

void
peer_read_until(int fd, const char *bytes)
{
    static char text[1 << 16];
    size_t n = 0;
    memset(text, 0, sizeof text);
    while (strstr(text, bytes) == NULL) {
        struct pollfd w = {.fd = fd, .events = POLLIN};
        ck_assert_msg(poll(&w, 1, PATIENCE_MS) == 1, "got only: %s", text);
        ssize_t k = read(fd, text + n, sizeof text - 1 - n);
        ck_assert_msg(k > 0, "got only: %s", text);
        n += (size_t)k;
    }
}
