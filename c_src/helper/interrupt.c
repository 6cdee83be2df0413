/* SPDX-License-Identifier: Apache-2.0 */
/* interrupt.c - the signal, its two handlers, and what lies between them.
 *
 * The C handler decides, at the moment of the signal and on the main thread,
 * whether the request meant is the one being run; the Python-level handler,
 * which CPython calls later, raises only if that is still so.  Between the
 * two Python may be about to enter a system call which the signal is then too
 * early to interrupt: a timer repeats it until Python has taken notice.
 *
 * Where Python stands is written down by the Python-level handler.  At the
 * signal itself a frame may be half made, and looking at it has crashed.  Code
 * that does not get there within some repetitions is stuck in C, where frames
 * do not change; then the C handler writes it. */
#include "py.h"

#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"

#ifndef sigev_notify_thread_id /* glibc names it from 2.37 on */
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { REPEAT_NS = 20 * 1000 * 1000, STUCK_AFTER = 3 };

static struct {
    _Atomic uint64_t running; /* id of the request being run, 0: none */
    _Atomic uint64_t pending; /* id that KeyboardInterrupt is due for */
    atomic_int hit;           /* the request being run was interrupted */
    atomic_int told;          /* by interrupt_raise: its signal is no news */
    int deferred;             /* so many times: not now */
    int repeats;              /* since the last hit; handler only */
    pid_t main_thread;
    timer_t timer;
    int has_timer;
} state;

static int
interrupt_signal(void)
{
    return SIGRTMIN + 2;
}

static void
repeat(long ns)
{
    struct itimerspec t = {.it_value.tv_nsec = ns, .it_interval.tv_nsec = ns};
    if (state.has_timer)
        timer_settime(state.timer, 0, &t, NULL);
}

/* The kernel may choose any thread.  Only the main thread knows for sure what
 * is being run, and only its system calls are worth interrupting. */
static void
forward(siginfo_t *si)
{
    if (si->si_code == SI_QUEUE)
        syscall(SYS_rt_tgsigqueueinfo, getpid(), state.main_thread,
                interrupt_signal(), si);
}

static void
hit(uint64_t id)
{
    if (id == 0 || id != atomic_load(&state.running) ||
        atomic_load(&state.told))
        return;
    atomic_store(&state.pending, id);
    atomic_store(&state.hit, 1);
    state.repeats = 0;
    PyErr_SetInterruptEx(interrupt_signal());
    repeat(REPEAT_NS);
}

/* Its arrival has ended a system call, if there was one. */
static void
repeated(void)
{
    uint64_t id = atomic_load(&state.pending);
    if (id != 0 && id == atomic_load(&state.running) &&
        ++state.repeats == STUCK_AFTER)
        crash_dump();
}

static void
on_signal(int sig, siginfo_t *si, void *ucontext)
{
    (void)sig;
    (void)ucontext;
    int saved = errno;
    if (syscall(SYS_gettid) != state.main_thread)
        forward(si);
    else if (si->si_code == SI_QUEUE)
        hit((uint64_t)(uintptr_t)si->si_value.sival_ptr);
    else if (si->si_code == SI_TIMER)
        repeated();
    errno = saved;
}

/* No code that the handler knows, so a system call is all that it ends. */
void
interrupt_sleep(void)
{
    syscall(SYS_tgkill, getpid(), state.main_thread, interrupt_signal());
}

static void
raise_here(void)
{
    crash_dump();
    PyErr_SetNone(PyExc_KeyboardInterrupt);
}

void
interrupt_raise(void)
{
    atomic_store(&state.told, 1);
    atomic_store(&state.pending, 0);
    atomic_store(&state.hit, 1);
    repeat(0);
    raise_here();
}

/* Who raises takes `pending' back; only this thread does, or hits. */
int
interrupt_is_due(void)
{
    int raised = atomic_load(&state.hit) && atomic_load(&state.pending) == 0;
    return !state.deferred && !raised;
}

/* The Python-level handler: (signal number, frame). */
static PyObject *
on_python_signal(PyObject *self, PyObject *args)
{
    (void)self;
    (void)args;
    if (state.deferred)
        Py_RETURN_NONE;
    repeat(0);
    uint64_t id = atomic_exchange(&state.pending, 0);
    if (id == 0 || id != atomic_load(&state.running))
        Py_RETURN_NONE;
    raise_here();
    return NULL;
}

static PyMethodDef python_handler = {"_on_interrupt", on_python_signal,
                                     METH_VARARGS, NULL};

/* PyErr_SetInterruptEx acts only on signals that have a Python-level handler;
 * signal.signal is the only way to give them one. */
static int
set_python_handler(void)
{
    PyObject *module = PyImport_ImportModule("signal");
    PyObject *f = PyCFunction_New(&python_handler, NULL);
    PyObject *r = NULL;
    if (module != NULL && f != NULL)
        r = PyObject_CallMethod(module, "signal", "iO", interrupt_signal(), f);
    Py_XDECREF(module);
    Py_XDECREF(f);
    Py_XDECREF(r);
    return r ? 0 : -1;
}

/* Without SA_RESTART: interrupting system calls is the point. */
static int
set_c_handler(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_sigaction = on_signal;
    a.sa_flags = SA_SIGINFO;
    sigemptyset(&a.sa_mask);
    if (sigaction(interrupt_signal(), &a, NULL) == 0)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static void
unblock(void)
{
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, interrupt_signal());
    pthread_sigmask(SIG_UNBLOCK, &s, NULL);
}

/* A child has no timers. */
void
interrupt_renew(void)
{
    state.main_thread = (pid_t)syscall(SYS_gettid);
    struct sigevent e;
    memset(&e, 0, sizeof e);
    e.sigev_notify = SIGEV_THREAD_ID;
    e.sigev_signo = interrupt_signal();
    e.sigev_notify_thread_id = state.main_thread;
    state.has_timer = timer_create(CLOCK_MONOTONIC, &e, &state.timer) == 0;
}

int
interrupt_init(void)
{
    atomic_store(&state.running, 0);
    interrupt_renew();
    if (set_python_handler() < 0 || set_c_handler() < 0)
        return -1;
    unblock();
    return 0;
}

int
interrupt_was_hit(void)
{
    return atomic_load_explicit(&state.hit, memory_order_relaxed);
}

/* The handler runs on this thread, so what it must see needs no more than to be
 * written before it comes: the compiler is told, the processor knows. */
static void
set_running(uint64_t id)
{
    atomic_store_explicit(&state.running, id, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

void
interrupt_begin(uint64_t id, struct interrupt_state *below)
{
    below->running = atomic_load_explicit(&state.running, memory_order_relaxed);
    below->deferred = state.deferred;
    state.deferred = 0;
    below->told = atomic_load_explicit(&state.told, memory_order_relaxed);
    set_running(0);
    /* From here on nothing hits the one below: what has is remembered. */
    below->hit = interrupt_was_hit();
    below->pending = atomic_load_explicit(&state.pending, memory_order_relaxed);
    atomic_store_explicit(&state.told, 0, memory_order_relaxed);
    atomic_store_explicit(&state.pending, 0, memory_order_relaxed);
    atomic_store_explicit(&state.hit, 0, memory_order_relaxed);
    set_running(id);
}

void
interrupt_defer(int on)
{
    state.deferred += on ? 1 : -1;
    if (state.deferred == 0 && atomic_load(&state.pending) != 0)
        PyErr_SetInterruptEx(interrupt_signal());
}

int
interrupt_check(void)
{
    return PyErr_CheckSignals();
}

int
interrupt_end(const struct interrupt_state *below)
{
    set_running(0);
    int late = atomic_load_explicit(&state.pending, memory_order_relaxed) != 0;
    atomic_store_explicit(&state.pending, 0, memory_order_relaxed);
    if (atomic_load_explicit(&state.hit, memory_order_relaxed))
        repeat(0);
    if (interrupt_check() < 0)
        PyErr_WriteUnraisable(NULL);
    state.deferred = below->deferred;
    atomic_store_explicit(&state.told, below->told, memory_order_relaxed);
    atomic_store_explicit(&state.hit, below->hit, memory_order_relaxed);
    set_running(below->running);
    if (below->pending != 0)
        hit(below->pending);
    return late;
}

void
interrupt_off(void)
{
    atomic_store(&state.running, 0);
    atomic_store(&state.pending, 0);
}
