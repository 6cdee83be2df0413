/* SPDX-License-Identifier: Apache-2.0 */
/* helper.c - a helper's life in one screen: set up, be locked up, boot, serve,
 * end. */
#include "py.h"

#include "helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backtrace.h"
#include "boot.h"
#include "crash.h"
#include "dispatch.h"
#include "err.h"
#include "forked.h"
#include "handoff.h"
#include "hatch.h"
#include "interrupt.h"
#include "io.h"
#include "message.h"
#include "session.h"
#include "stdio_setup.h"
#include "warm.h"
#include "wire.h"

/* A socket takes so much that nobody reads. */
enum { REHEARSAL_MAX = 4096 };

/* Nobody listens yet: standard error is what there is. */
static _Noreturn void
set_up_failed(const char *what)
{
    fprintf(stderr, "terrarium_py: cannot set up %s\n", what);
    if (PyErr_Occurred())
        PyErr_Print();
    fflush(stderr);
    _exit(HANDOFF_EXIT_INIT);
}

/* Not on the stack: code that a destructor or an exit handler calls may outlive
 * a frame's view of them. */
static struct context context;
static struct session session;

/* Done in a process that this one was forked from. */
static int prepared;

static const char *
set_up_process(int blackbox_fd)
{
    warm_init();
    stdio_setup_c();
    if (crash_init(blackbox_fd) < 0)
        return "the black box";
    if (interrupt_init() < 0)
        return "interrupts";
    if (backtrace_init() < 0)
        return "backtraces";
    return context_init(&context) < 0 ? "the context" : NULL;
}

/* What a process does not have from the one it was forked from. */
static const char *
set_up_again(int blackbox_fd)
{
    if (crash_renew(blackbox_fd) < 0)
        return "the black box";
    interrupt_renew();
    objref_renew(&context.refs);
    return backtrace_renew() < 0 ? "backtraces" : NULL;
}

static const char *
set_up_session(int sock)
{
    if (session_init(&session, sock, &context) != 0)
        return "the session";
    callback_init(&session);
    message_init(&session);
    detached_init(&session);
    return NULL;
}

static void
set_up(int sock, int blackbox_fd)
{
    const char *failed =
        prepared ? set_up_again(blackbox_fd) : set_up_process(blackbox_fd);
    if (failed == NULL && forked_init(sock) != 0)
        failed = "fork handling";
    if (failed == NULL)
        failed = set_up_session(sock);
    if (failed != NULL)
        set_up_failed(failed);
}

static int
make_box(void)
{
    int box = memfd_create("terrarium-blackbox", MFD_CLOEXEC);
    if (box >= 0 && ftruncate(box, WIRE_LIMIT_BLACKBOX_SIZE) != 0)
        io_close(&box);
    return box;
}

/* The box is for faulthandler to have a descriptor, whose number the helpers'
 * will have. */
int
helper_prepare(void)
{
    int box = make_box();
    if (box < 0 || set_up_process(box) != NULL)
        return -1;
    prepared = 1;
    return 0;
}

int
helper_try(void)
{
    int box = make_box();
    hatch_init(-1);
    return box >= 0 && set_up_again(box) == NULL ? 0 : -1;
}

/* ---- rehearsal ----------------------------------------------------------- */

static int
write_call(int fd, const void *body, size_t n)
{
    uint8_t header[WIRE_LIMIT_HEADER_SIZE];
    struct wire_header call = {
        .opcode = WIRE_CALL, .length = (uint32_t)n, .id = 1};
    struct wire_header end = {.opcode = WIRE_STOP};
    wire_put_header(header, &call);
    int e = io_write_all(fd, header, sizeof header);
    if (e == 0)
        e = io_write_all(fd, body, n);
    wire_put_header(header, &end);
    return e != 0 ? e : io_write_all(fd, header, sizeof header);
}

int
helper_rehearse(const void *call, size_t n)
{
    int pair[2];
    if (n > REHEARSAL_MAX ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return E_SYS;
    int e = write_call(pair[0], call, n);
    if (e != 0 || set_up_session(pair[1]) != NULL) {
        close(pair[1]);
        e = E_SYS;
    } else {
        e = session_run(&session);
        session_fini(&session);
    }
    close(pair[0]);
    return e;
}

/* Whoever can not be locked up must not run anybody's code. */
static void
lock_up(const struct helper_lock *lock)
{
    char why[512] = "";
    if (lock == NULL || lock->apply(lock->arg, why, sizeof why) == 0)
        return;
    fprintf(stderr, "%s\n", why);
    fflush(stderr);
    _exit(HANDOFF_EXIT_SANDBOX);
}

static int
say_hello(struct session *s)
{
    struct wire_header h = {.opcode = WIRE_HELLO};
    struct draft *d;
    int r = session_begin(s, &h, &d);
    if (r != 0)
        return r;
    r = boot_hello(&d->out.bytes);
    if (r == 0)
        r = session_commit(s, d);
    else
        session_discard(s, d);
    return r ? r : session_flush(s);
}

/* An ERROR with id 0 in place of HELLO, and the end. */
static _Noreturn void
boot_failed(struct session *s)
{
    PyObject *exc = py_err_take();
    if (forked())
        forked_exit(exc);
    int r = dispatch_error(s, 0, exc);
    if (r == 0)
        r = session_flush(s);
    if (r != 0)
        session_end(r);
    _exit(HANDOFF_EXIT_INIT);
}

/* The boot frame says whether the VM has the lane as well. */
static int
choose_channel(struct session *s, const struct request *boot, int lane_fd)
{
    int wanted = 0;
    int e = boot_wants_lane(boot->body, boot->h.length, &wanted);
    if (e == 0 && wanted && lane_fd >= 0)
        e = session_use_lane(s, lane_fd);
    io_close(&lane_fd);
    return e;
}

static int
boot(struct session *s, int lane_fd)
{
    struct request *r = NULL;
    int e = session_next(s, &r);
    if (e == 0 && r->h.opcode != WIRE_BOOT)
        e = E_FORMAT;
    if (e == 0)
        e = choose_channel(s, r, lane_fd);
    if (e == 0) {
        struct crash_what none;
        crash_begin(0, WIRE_BOOT, &none);
        e = boot_apply(s->context, r->body, r->h.length);
        crash_end(&none);
    }
    request_free(r);
    if (e > 0)
        boot_failed(s);
    if (e < 0)
        return e;
    if (forked())
        forked_exit(NULL);
    session_apply_limits(s);
    return say_hello(s);
}

/* STOP: end as a script does, with its threads joined and its atexit handlers
 * run.  The socket stays open until then: for the VM, end-of-file is the end of
 * the process. */
static _Noreturn void
stop(struct session *s)
{
    s->stopping = 1;
    interrupt_off();
    if (Py_FinalizeEx() < 0)
        fputs("terrarium_py: output was lost at exit\n", stderr);
    session_fini(s);
    exit(HANDOFF_EXIT_OK);
}

void
helper_main(int sock, int blackbox_fd, int lane_fd, int hatch_fd,
            const struct helper_lock *lock)
{
    hatch_init(hatch_fd);
    set_up(sock, blackbox_fd);
    lock_up(lock);
    int r = boot(&session, lane_fd);
    if (r == 0)
        r = session_run(&session);
    if (r != 0)
        session_end(r);
    detached_close();
    context_fini(&context);
    stop(&session);
}
