/* SPDX-License-Identifier: Apache-2.0 */
/* crash.c - the black box, written while there is still time. */
#include "crash.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "blackbox.h"
#include "wire.h"

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1
#endif

enum {
    TEXT_SIZE = WIRE_LIMIT_BLACKBOX_SIZE - WIRE_LIMIT_BLACKBOX_TEXT,
    CODE_SHOWN = 100
};

static struct {
    struct blackbox *box; /* NULL: none */
    char *text;
    int fd;
    volatile sig_atomic_t dirty; /* something was written to text */
} crash = {.fd = -1};

/* faulthandler dumps on this one; raised only by crash_dump. */
static int
dump_signal(void)
{
    return SIGRTMIN + 3;
}

/* at: NULL, or what it takes the place of. */
static int
map_box(int fd, void *at)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_size < WIRE_LIMIT_BLACKBOX_SIZE)
        return -1;
    void *p = mmap(at, WIRE_LIMIT_BLACKBOX_SIZE, PROT_READ | PROT_WRITE,
                   MAP_SHARED | (at != NULL ? MAP_FIXED : 0), fd, 0);
    if (p == MAP_FAILED)
        return -1;
    crash.box = p;
    crash.text = (char *)p + WIRE_LIMIT_BLACKBOX_TEXT;
    crash.fd = fd;
    return lseek(fd, WIRE_LIMIT_BLACKBOX_TEXT, SEEK_SET) < 0 ? -1 : 0;
}

static int
enable_faulthandler(int fd)
{
    PyObject *m = PyImport_ImportModule("faulthandler");
    PyObject *a = NULL, *b = NULL;
    if (m != NULL)
        a = PyObject_CallMethod(m, "enable", "iO", fd, Py_True);
    /* This thread only: at an interrupt the others may be running, and their
     * frames are not ours to read. */
    if (a != NULL)
        b = PyObject_CallMethod(m, "register", "iiOO", dump_signal(), fd,
                                Py_False, Py_False);
    Py_XDECREF(m);
    Py_XDECREF(a);
    Py_XDECREF(b);
    return b ? 0 : -1;
}

int
crash_init(int fd)
{
    if (fd < 0)
        return 0;
    if (map_box(fd, NULL) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return enable_faulthandler(fd);
}

int
crash_renew(int fd)
{
    int same = dup3(fd, crash.fd, O_CLOEXEC);
    close(fd);
    if (same >= 0 && map_box(same, crash.box) == 0)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static void
clear_text(void)
{
    memset(crash.text, 0, TEXT_SIZE);
    lseek(crash.fd, WIRE_LIMIT_BLACKBOX_TEXT, SEEK_SET);
    crash.dirty = 0;
}

void
crash_begin(uint64_t id, uint32_t opcode, struct crash_what *what)
{
    if (crash.box == NULL)
        return;
    what->below.request = crash.box->request;
    if (what->below.request != 0)
        what->below = *crash.box;
    if (crash.dirty)
        clear_text();
    crash.box->what_len = 0;
    crash.box->opcode = opcode;
    crash.box->request = id;
}

void
crash_end(const struct crash_what *what)
{
    if (crash.box == NULL)
        return;
    if (what->below.request != 0)
        *crash.box = what->below;
    crash.box->request = what->below.request;
}

/* Append bytes, cut at the end of a UTF-8 character. */
static void
what_bytes(const char *p, size_t n)
{
    uint32_t len = crash.box->what_len;
    size_t room = sizeof crash.box->what - len;
    if (n > room) {
        n = room;
        while (n > 0 && (p[n] & 0xC0) == 0x80)
            n--;
    }
    memcpy(crash.box->what + len, p, n);
    crash.box->what_len = len + (uint32_t)n;
}

static void
what_string(PyObject *s)
{
    Py_ssize_t n = 0;
    const char *p = PyUnicode_Check(s) ? PyUnicode_AsUTF8AndSize(s, &n) : NULL;
    if (p != NULL)
        what_bytes(p, (size_t)n);
    else {
        PyErr_Clear();
        what_bytes("?", 1);
    }
}

static void
what_number(uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    what_bytes(digits + at, sizeof digits - at);
}

void
crash_what_call(PyObject *module, PyObject *function, Py_ssize_t arity)
{
    if (crash.box == NULL)
        return;
    what_string(module);
    what_bytes(":", 1);
    what_string(function);
    what_bytes("/", 1);
    what_number((uint64_t)arity);
}

void
crash_what_method(uint64_t ref, PyObject *name, Py_ssize_t arity)
{
    if (crash.box == NULL)
        return;
    what_bytes("reference ", 10);
    what_number(ref);
    what_bytes(".", 1);
    what_string(name);
    what_bytes("/", 1);
    what_number((uint64_t)arity);
}

void
crash_what_text(PyObject *text)
{
    if (crash.box == NULL)
        return;
    PyObject *start = PyUnicode_Substring(text, 0, CODE_SHOWN);
    if (start != NULL)
        what_string(start);
    else
        PyErr_Clear();
    Py_XDECREF(start);
}

void
crash_dump(void)
{
    if (crash.box == NULL)
        return;
    clear_text();
    crash.dirty = 1;
    raise(dump_signal());
}

const char *
crash_text(size_t *n)
{
    *n = 0;
    if (crash.box == NULL || !crash.dirty)
        return "";
    *n = strnlen(crash.text, TEXT_SIZE);
    return crash.text;
}

/* While this runs SIGSYS is blocked, so the next forbidden call is the end: the
 * kernel then takes the default action, for all threads. */
static void
on_forbidden_call(int sig, siginfo_t *si, void *ucontext)
{
    (void)sig;
    (void)ucontext;
    if (crash.box != NULL && si->si_code == SYS_SECCOMP)
        crash.box->syscall = (uint32_t)si->si_syscall + 1;
    for (;;)
        syscall(SYS_ptrace, 0, 0, 0, 0);
}

void
crash_watch_calls(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_sigaction = on_forbidden_call;
    a.sa_flags = SA_SIGINFO;
    sigfillset(&a.sa_mask);
    sigaction(SIGSYS, &a, NULL);
}

void
crash_detach(void)
{
    if (crash.box == NULL)
        return;
    munmap(crash.box, WIRE_LIMIT_BLACKBOX_SIZE);
    crash.box = NULL;
    dup3(STDERR_FILENO, crash.fd, O_CLOEXEC);
}
