/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "callback.h"

enum {
    ROOM = 8192,  /* of an unfinished line, then it goes in pieces */
    PIECE = 65536 /* handed over at once */
};

/* An unfinished line. */
struct line {
    size_t n;
    char bytes[ROOM];
};

static struct {
    struct line request; /* of the request being run */
    struct line other;   /* of anything else */
} lines[3];

unsigned stream_unfinished;

/* ---- to the descriptor --------------------------------------------------- */

/* p does not change meanwhile. */
static int
write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k;
        int saved;
        Py_BEGIN_ALLOW_THREADS k = write(fd, p, n);
        saved = errno;
        Py_END_ALLOW_THREADS if (k >= 0)
        {
            p += k;
            n -= (size_t)k;
        }
        else if (saved != EINTR)
        {
            errno = saved;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        else if (PyErr_CheckSignals() < 0) return -1;
    }
    return 0;
}

static int
flush_other(int fd)
{
    struct line *l = &lines[fd].other;
    char copy[ROOM];
    size_t n = l->n;
    memcpy(copy, l->bytes, n);
    l->n = 0;
    return write_all(fd, copy, n);
}

/* The length up to the end of the last line, 0 if none ends. */
static size_t
whole_lines(const char *p, size_t n)
{
    const char *end = memrchr(p, '\n', n);
    return end != NULL ? (size_t)(end - p) + 1 : 0;
}

static int
put_other(int fd, const char *p, size_t n)
{
    struct line *l = &lines[fd].other;
    if (n > ROOM - l->n && flush_other(fd) < 0)
        return -1;
    if (n > ROOM)
        return write_all(fd, p, n);
    memcpy(l->bytes + l->n, p, n);
    l->n += n;
    return whole_lines(p, n) > 0 ? flush_other(fd) : 0;
}

/* ---- to the process that made the request ---------------------------------
 */

/* Without the start of a UTF-8 character at the end that is not all there. */
static size_t
whole_characters(const char *p, size_t n)
{
    for (size_t back = 1; back <= 3 && back < n; back++) {
        unsigned char c = (unsigned char)p[n - back];
        size_t need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
        if (c >= 0xC0)
            return need > back ? n - back : n;
        if (c < 0x80)
            return n;
    }
    return n;
}

static PyObject *
put_name(void)
{
    static PyObject *name; /* kept for ever */
    if (name == NULL)
        name = Py_BuildValue("(ss)", "io", "put");
    return name;
}

static int
call_put(int fd, const char *p, size_t n)
{
    PyObject *name = put_name(), *r = NULL;
    PyObject *args = Py_BuildValue("(iy#)", fd, p, (Py_ssize_t)n);
    PyObject *none = PyDict_New();
    if (name != NULL && args != NULL && none != NULL)
        r = callback_call(name, args, none);
    Py_XDECREF(args);
    Py_XDECREF(none);
    Py_XDECREF(r);
    return r != NULL ? 0 : -1;
}

/* Whatever went wrong, but not an interrupt, is no fault of who prints. */
static int
hand_over(int fd, const char *p, size_t n)
{
    while (n > 0) {
        size_t room = callback_room() / 2, k = n;
        if (room > PIECE)
            room = PIECE;
        if (k > room && room > 0)
            k = whole_characters(p, room);
        if (room == 0 || call_put(fd, p, k) < 0) {
            if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception))
                return -1;
            PyErr_Clear();
            return write_all(fd, p, n);
        }
        p += k;
        n -= k;
    }
    return 0;
}

/* The unfinished line, and this behind it. */
static int
say(int fd, const char *p, size_t n)
{
    struct line *l = &lines[fd].request;
    size_t before = l->n;
    PyObject *all = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(before + n));
    if (all == NULL)
        return -1;
    memcpy(PyBytes_AS_STRING(all), l->bytes, before);
    if (n > 0)
        memcpy(PyBytes_AS_STRING(all) + before, p, n);
    l->n = 0;
    stream_unfinished &= ~(1u << fd);
    int r = hand_over(fd, PyBytes_AS_STRING(all), before + n);
    Py_DECREF(all);
    return r;
}

/* Nothing is unfinished while a line is handed over, since others may run
 * then. */
static int
put_in_request(int fd, const char *p, size_t n)
{
    struct line *l = &lines[fd].request;
    size_t now = whole_lines(p, n);
    if (n - now > ROOM - (now > 0 ? 0 : l->n))
        now = whole_characters(p, n);
    if (now > 0 && say(fd, p, now) < 0)
        return -1;
    if (n - now > ROOM - l->n && say(fd, NULL, 0) < 0)
        return -1;
    if (n == now)
        return 0;
    memcpy(l->bytes + l->n, p + now, n - now);
    l->n += n - now;
    stream_unfinished |= 1u << fd;
    return 0;
}

/* Nothing is left for the next request, whatever happens. */
static int
finish_all(void)
{
    int r = 0;
    for (int fd = 1; fd <= 2; fd++) {
        if (r == 0 && lines[fd].request.n > 0)
            r = say(fd, NULL, 0);
        lines[fd].request.n = 0;
    }
    stream_unfinished = 0;
    return r;
}

int
stream_finish(void)
{
    if (stream_unfinished == 0)
        return 0;
    PyObject *saved = py_err_take();
    int r = finish_all();
    if (saved != NULL && r < 0) {
        PyErr_Clear();
        r = 0;
    }
    if (saved != NULL)
        py_err_give(saved);
    return r;
}

/* ---- the type -------------------------------------------------------------
 */

/* Behind what the base class has. */
struct stream {
    int fd;
    char closed;
};

static Py_ssize_t base_size;

static struct stream *
of(PyObject *self)
{
    return (struct stream *)((char *)self + base_size);
}

static PyObject *
unsupported(const char *text)
{
    PyObject *io = PyImport_ImportModule("io");
    PyObject *type =
        io ? PyObject_GetAttrString(io, "UnsupportedOperation") : NULL;
    if (type != NULL)
        PyErr_SetString(type, text);
    Py_XDECREF(type);
    Py_XDECREF(io);
    return NULL;
}

static int
is_open(PyObject *self)
{
    if (!of(self)->closed)
        return 1;
    PyErr_SetString(PyExc_ValueError, "I/O operation on closed file");
    return 0;
}

static PyObject *
stream_write(PyObject *self, PyObject *data)
{
    Py_buffer b;
    int fd = of(self)->fd;
    if (fd == 0)
        return unsupported("not writable");
    if (!is_open(self) || PyObject_GetBuffer(data, &b, PyBUF_SIMPLE) < 0)
        return NULL;
    Py_ssize_t n = b.len;
    int r = callback_room() > 0 ? put_in_request(fd, b.buf, (size_t)n)
                                : put_other(fd, b.buf, (size_t)n);
    PyBuffer_Release(&b);
    return r < 0 ? NULL : PyLong_FromSsize_t(n);
}

static PyObject *
stream_flush(PyObject *self, PyObject *none)
{
    int fd = of(self)->fd;
    (void)none;
    if (!is_open(self))
        return NULL;
    if (lines[fd].other.n > 0 && flush_other(fd) < 0)
        return NULL;
    if (lines[fd].request.n > 0 && callback_room() > 0 && say(fd, NULL, 0) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* The descriptor stays open: C code and child processes use it. */
static PyObject *
stream_close(PyObject *self, PyObject *none)
{
    PyObject *r = Py_NewRef(Py_None);
    if (!of(self)->closed)
        Py_SETREF(r, stream_flush(self, none));
    of(self)->closed = 1;
    return r;
}

static PyObject *
stream_read(PyObject *self, PyObject *args)
{
    (void)args;
    return unsupported(of(self)->fd == 0
                           ? "a context has no standard input to read from"
                           : "not readable");
}

static PyObject *
stream_fileno(PyObject *self, PyObject *none)
{
    (void)none;
    return is_open(self) ? PyLong_FromLong(of(self)->fd) : NULL;
}

static PyObject *
stream_writable(PyObject *self, PyObject *none)
{
    (void)none;
    return PyBool_FromLong(of(self)->fd > 0);
}

static PyObject *
stream_readable(PyObject *self, PyObject *none)
{
    (void)none;
    return PyBool_FromLong(of(self)->fd == 0);
}

static PyObject *
stream_isatty(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    Py_RETURN_FALSE;
}

static PyObject *
get_closed(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(of(self)->closed);
}

static PyObject *
get_name(PyObject *self, void *unused)
{
    static const char *const names[] = {"<stdin>", "<stdout>", "<stderr>"};
    (void)unused;
    return PyUnicode_FromString(names[of(self)->fd]);
}

static PyObject *
get_mode(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(of(self)->fd == 0 ? "rb" : "wb");
}

/* Straight to the descriptor, as in any Python. */
static PyObject *
get_raw(PyObject *self, void *unused)
{
    (void)unused;
    PyObject *io = PyImport_ImportModule("io");
    PyObject *f = io ? PyObject_GetAttrString(io, "FileIO") : NULL;
    PyObject *r =
        f ? PyObject_CallFunction(f, "isO", of(self)->fd,
                                  of(self)->fd == 0 ? "rb" : "wb", Py_False)
          : NULL;
    Py_XDECREF(f);
    Py_XDECREF(io);
    return r;
}

static PyMethodDef methods[] = {
    {"write", stream_write, METH_O, NULL},
    {"flush", stream_flush, METH_NOARGS, NULL},
    {"close", stream_close, METH_NOARGS, NULL},
    {"read", stream_read, METH_VARARGS, NULL},
    {"read1", stream_read, METH_VARARGS, NULL},
    {"readinto", stream_read, METH_VARARGS, NULL},
    {"readinto1", stream_read, METH_VARARGS, NULL},
    {"fileno", stream_fileno, METH_NOARGS, NULL},
    {"writable", stream_writable, METH_NOARGS, NULL},
    {"readable", stream_readable, METH_NOARGS, NULL},
    {"isatty", stream_isatty, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"closed", get_closed, NULL, NULL, NULL},
    {"name", get_name, NULL, NULL, NULL},
    {"mode", get_mode, NULL, NULL, NULL},
    {"raw", get_raw, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Output of the request being run; descriptor otherwise."},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyObject *
make_type(void)
{
    PyType_Spec spec = {
        .name = "erlang._Stream", .flags = Py_TPFLAGS_DEFAULT, .slots = slots};
    PyObject *io = PyImport_ImportModule("io");
    PyObject *base = io ? PyObject_GetAttrString(io, "BufferedIOBase") : NULL;
    PyObject *type = NULL;
    Py_XDECREF(io);
    if (base == NULL)
        return NULL;
    base_size = ((PyTypeObject *)base)->tp_basicsize;
    spec.basicsize = (int)(base_size + (Py_ssize_t)sizeof(struct stream));
    PyObject *bases = PyTuple_Pack(1, base);
    if (bases != NULL)
        type = PyType_FromSpecWithBases(&spec, bases);
    Py_XDECREF(bases);
    Py_DECREF(base);
    return type;
}

PyObject *
stream_new(int fd)
{
    static PyObject *type; /* kept for ever */
    if (type == NULL && (type = make_type()) == NULL)
        return NULL;
    PyObject *self = PyObject_CallNoArgs(type);
    if (self != NULL)
        *of(self) = (struct stream){.fd = fd};
    return self;
}
