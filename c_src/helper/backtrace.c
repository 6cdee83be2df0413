/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "backtrace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#ifndef sigev_notify_thread_id /* glibc names it from 2.37 on */
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum {
    TICK_NS = 20 * 1000 * 1000,
    STUCK_AFTER = 3,   /* ticks: it is in C code */
    GIVE_UP_AFTER = 6, /* and has not come out of its system call */
    LOW_FD = 10
};

/* One write each, which nothing else comes into: at most PIPE_BUF. */
struct piece {
    char mark[4];
    unsigned char token[8];
    unsigned char is_last;
    unsigned char length[2]; /* little-endian */
    char text[WIRE_LIMIT_BACKTRACE_PIECE];
};
enum { PIECE_HEAD = sizeof(struct piece) - WIRE_LIMIT_BACKTRACE_PIECE };

static struct {
    volatile sig_atomic_t wanted;
    uint64_t token;
    int ticks;
    int memory; /* faulthandler writes here */
    int pipe;   /* standard error, whatever user code makes of descriptor 2 */
    pid_t main_thread;
    PyThreadState *main_state;
    PyInterpreterState *interpreter;
    timer_t timer;
} state = {.memory = -1, .pipe = -1};

static int
request_signal(void)
{
    return WIRE_SIGNAL_BACKTRACE;
}

/* What faulthandler dumps on: all threads, or the one that raises it. */
static int
dump_signal(int all)
{
    return SIGRTMIN + (all ? 5 : 6);
}

/* ---- to the VM ------------------------------------------------------------
 */

static int
write_piece(struct piece *p, size_t n, int is_last)
{
    ssize_t k;
    p->is_last = (unsigned char)is_last;
    p->length[0] = (unsigned char)(n & 255);
    p->length[1] = (unsigned char)(n >> 8);
    do
        k = write(state.pipe, p, PIECE_HEAD + n);
    while (k < 0 && errno == EINTR);
    return k == (ssize_t)(PIECE_HEAD + n);
}

/* What faulthandler wrote, as far as it is not too much. */
static void
send_all(void)
{
    struct piece p = {.mark = {0, 'T', 'B', 'T'}};
    off_t at = 0;
    int is_last = 0;
    for (int i = 0; i < 8; i++)
        p.token[i] = (unsigned char)(state.token >> (8 * i));
    while (!is_last) {
        ssize_t n = pread(state.memory, p.text, sizeof p.text, at);
        if (n < 0)
            n = 0;
        at += n;
        is_last =
            n < (ssize_t)sizeof p.text ||
            at >= WIRE_LIMIT_BACKTRACE_PIECE * WIRE_LIMIT_BACKTRACE_PIECES;
        if (!write_piece(&p, (size_t)n, is_last))
            return;
    }
}

static void
say(const char *text)
{
    ssize_t k = write(state.memory, text, strlen(text));
    (void)k;
}

static void
set_timer(long ns)
{
    struct itimerspec t = {.it_value.tv_nsec = ns, .it_interval.tv_nsec = ns};
    timer_settime(state.timer, 0, &t, NULL);
}

static void set_handler(int flags);

/* Where signals are held back, this one is not. */
static void
dump(int all)
{
    sigset_t s, old;
    sigemptyset(&s);
    sigaddset(&s, dump_signal(all));
    pthread_sigmask(SIG_UNBLOCK, &s, &old);
    raise(dump_signal(all));
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void
tell(int all)
{
    if (!state.wanted)
        return;
    state.wanted = 0;
    set_timer(0);
    set_handler(SA_RESTART);
    lseek(state.memory, 0, SEEK_SET);
    dump(all);
    if (!all)
        say("(The other threads may be running: their stacks are not "
            "known.)\n");
    send_all();
    if (ftruncate(state.memory, 0) < 0)
        state.pipe = -1; /* never: it would say old text again */
}

/* ---- when -----------------------------------------------------------------
 */

/* No thread changes frames while this one is in C code: it holds the GIL, or
 * there is no other. */
static int
nobody_runs(void)
{
    return _PyThreadState_UncheckedGet() == state.main_state ||
           PyInterpreterState_ThreadHead(state.interpreter) == state.main_state;
}

static void
tick(void)
{
    if (!state.wanted)
        return;
    state.ticks++;
    if (state.ticks >= STUCK_AFTER && nobody_runs())
        tell(1);
    else if (state.ticks == STUCK_AFTER)
        set_handler(0); /* the next one ends its system call */
    else if (state.ticks >= GIVE_UP_AFTER)
        tell(0);
}

static void
begin(uint64_t token)
{
    state.token = token;
    state.ticks = 0;
    state.wanted = 1;
    set_handler(SA_RESTART);
    PyErr_SetInterruptEx(request_signal());
    set_timer(TICK_NS);
}

/* The kernel may choose any thread. */
static void
on_signal(int sig, siginfo_t *si, void *ucontext)
{
    (void)ucontext;
    int saved = errno;
    if (state.pipe < 0)
        ;
    else if (syscall(SYS_gettid) == state.main_thread) {
        if (si->si_code == SI_QUEUE)
            begin((uint64_t)(uintptr_t)si->si_value.sival_ptr);
        else if (si->si_code == SI_TIMER)
            tick();
    } else if (si->si_code == SI_QUEUE) {
        syscall(SYS_rt_tgsigqueueinfo, getpid(), state.main_thread, sig, si);
    }
    errno = saved;
}

/* CPython calls it between two instructions, or before it begins an interrupted
 * system call again. */
static PyObject *
on_python_signal(PyObject *self, PyObject *args)
{
    (void)self;
    (void)args;
    tell(1);
    Py_RETURN_NONE;
}

/* ---- set-up ---------------------------------------------------------------
 */

static void
set_handler(int flags)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_sigaction = on_signal;
    a.sa_flags = SA_SIGINFO | flags;
    sigemptyset(&a.sa_mask);
    sigaction(request_signal(), &a, NULL);
}

static int
memfd_open(void)
{
    return (int)syscall(SYS_memfd_create, "terrarium-backtrace", MFD_CLOEXEC);
}

static int
open_descriptors(void)
{
    state.memory = memfd_open();
    state.pipe = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, LOW_FD);
    if (state.memory >= 0 && state.pipe >= 0)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static int
open_timer(void)
{
    struct sigevent e;
    memset(&e, 0, sizeof e);
    e.sigev_notify = SIGEV_THREAD_ID;
    e.sigev_signo = request_signal();
    e.sigev_notify_thread_id = state.main_thread;
    if (timer_create(CLOCK_MONOTONIC, &e, &state.timer) == 0)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static int
register_dump(PyObject *faulthandler, int all)
{
    PyObject *r =
        PyObject_CallMethod(faulthandler, "register", "iiOO", dump_signal(all),
                            state.memory, all ? Py_True : Py_False, Py_False);
    Py_XDECREF(r);
    return r ? 0 : -1;
}

static int
register_dumps(void)
{
    PyObject *m = PyImport_ImportModule("faulthandler");
    int r = m && register_dump(m, 1) == 0 && register_dump(m, 0) == 0 ? 0 : -1;
    Py_XDECREF(m);
    return r;
}

static PyMethodDef python_handler = {"_on_backtrace", on_python_signal,
                                     METH_VARARGS, NULL};

static int
set_python_handler(void)
{
    PyObject *m = PyImport_ImportModule("signal");
    PyObject *f = PyCFunction_New(&python_handler, NULL);
    PyObject *r = NULL;
    if (m != NULL && f != NULL)
        r = PyObject_CallMethod(m, "signal", "iO", request_signal(), f);
    Py_XDECREF(m);
    Py_XDECREF(f);
    Py_XDECREF(r);
    return r ? 0 : -1;
}

static void
unblock(void)
{
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, request_signal());
    pthread_sigmask(SIG_UNBLOCK, &s, NULL);
}

int
backtrace_init(void)
{
    state.main_thread = (pid_t)syscall(SYS_gettid);
    state.main_state = PyThreadState_Get();
    state.interpreter = PyThreadState_GetInterpreter(state.main_state);
    if (open_descriptors() < 0 || open_timer() < 0 || register_dumps() < 0 ||
        set_python_handler() < 0)
        return -1;
    set_handler(SA_RESTART);
    unblock();
    return 0;
}

/* Under the same numbers: faulthandler knows one of them. */
int
backtrace_renew(void)
{
    state.main_thread = (pid_t)syscall(SYS_gettid);
    int fresh = memfd_open();
    int ok = fresh >= 0 && dup3(fresh, state.memory, O_CLOEXEC) >= 0 &&
             dup3(STDERR_FILENO, state.pipe, O_CLOEXEC) >= 0;
    if (!ok)
        PyErr_SetFromErrno(PyExc_OSError);
    if (fresh >= 0)
        close(fresh);
    return ok ? open_timer() : -1;
}

void
backtrace_detach(void)
{
    state.wanted = 0;
    state.pipe = -1;
}
