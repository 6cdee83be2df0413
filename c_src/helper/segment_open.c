/* SPDX-License-Identifier: Apache-2.0 */
#include "segment_open.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "callback.h"
#include "err.h"
#include "erltypes.h"
#include "hatch.h"
#include "interrupt.h"
#include "io.h"
#include "message.h"
#include "segment.h"

/* What the VM chooses has the highest bit. */
static uint64_t last_token;

/* ---- asking -------------------------------------------------------------- */

/* What the service says, but for `ok` alone or with values, as an exception. */
static int
is_ok(PyObject *answer)
{
    PyObject *first = answer;
    if (PyTuple_Check(answer) && PyTuple_GET_SIZE(answer) > 0)
        first = PyTuple_GET_ITEM(answer, 0);
    if (PyUnicode_Check(first) &&
        PyUnicode_CompareWithASCIIString(first, "ok") == 0)
        return 1;
    if (first != answer && PyTuple_GET_SIZE(answer) == 2)
        PyErr_Format(SharedMemoryError, "%S", PyTuple_GET_ITEM(answer, 1));
    else
        PyErr_Format(SharedMemoryError, "%S", answer);
    return 0;
}

/* Call the service with these arguments, which are taken.  An interrupt waits
 * until the answer is there, so that we know of every hold. */
static PyObject *
ask(const char *function, PyObject *args)
{
    PyObject *name = Py_BuildValue("(ss)", "shm", function);
    PyObject *none = PyDict_New(), *answer = NULL;
    int main = message_is_main();
    if (main)
        interrupt_defer(1);
    if (args != NULL && name != NULL && none != NULL)
        answer = callback_call(name, args, none);
    if (main)
        interrupt_defer(0);
    Py_XDECREF(args);
    Py_XDECREF(name);
    Py_XDECREF(none);
    if (answer != NULL && !is_ok(answer))
        Py_CLEAR(answer);
    return answer;
}

void
segment_release(uint64_t token, uint64_t sent)
{
    if (!message_is_open())
        return;
    PyObject *zero = PyLong_FromLong(0);
    PyObject *what =
        Py_BuildValue("(sKK)", "release", (unsigned long long)token,
                      (unsigned long long)sent);
    if (zero == NULL || what == NULL || message_send(zero, what) < 0)
        PyErr_WriteUnraisable(NULL);
    Py_XDECREF(zero);
    Py_XDECREF(what);
}

/* The descriptor that was sent before the answer. */
static int
take(uint64_t token)
{
    int fd, e = hatch_take(token, &fd);
    if (e == 0)
        return fd;
    PyErr_Format(SharedMemoryError, "no descriptor has come: %s", err_str(e));
    return -1;
}

/* ---- opening ------------------------------------------------------------- */

static int
map_it(struct segment *s, uint64_t token)
{
    int fd = take(token);
    if (fd < 0)
        return -1;
    int r = segment_map(s, fd);
    io_close(&fd);
    return r == 0 ? segment_remember(s) : -1;
}

static int
open_one(struct segment *s)
{
    uint64_t token = ++last_token;
    /* As bytes: a context that may send no references can ask as well. */
    PyObject *answer =
        ask("open", Py_BuildValue("(KO)", (unsigned long long)token, s->term));
    if (answer != NULL && map_it(s, token) == 0) {
        s->token = token;
        Py_DECREF(answer);
        return 0;
    }
    Py_XDECREF(answer);
    PyObject *saved = py_err_take();
    segment_release(token, 0);
    py_err_give(saved);
    return -1;
}

static int
open_all(PyObject *all)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(all); i++) {
        if (open_one((struct segment *)PyList_GET_ITEM(all, i)) < 0)
            return -1;
    }
    return 0;
}

PyObject *
segment_decode(const uint8_t *p, size_t n, struct etf_part *part,
               const struct etf_limits *lim)
{
    struct segment_list unopened = {NULL};
    struct etf_limits l = *lim;
    l.segments = &unopened;
    PyObject *o = etf_decode_part(p, n, part, &l);
    if (unopened.all == NULL)
        return o;
    if (o != NULL && open_all(unopened.all) < 0)
        Py_CLEAR(o);
    Py_DECREF(unopened.all);
    return o;
}

/* ---- publishing ---------------------------------------------------------- */

static int
fill(int fd, size_t length, const Py_buffer *from)
{
    void *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    PyThreadState *saved = PyEval_SaveThread();
    memcpy(p, from->buf, (size_t)from->len);
    munmap(p, length);
    PyEval_RestoreThread(saved);
    return 0;
}

/* ("ok", the term as bytes); as such it is not taken for a segment to open. */
static int
set_name(struct segment *s, PyObject *answer)
{
    PyObject *ok;
    const char *p;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(answer, "Oy#", &ok, &p, &n))
        return -1;
    PyObject *tuple = etf_decode((const uint8_t *)p, (size_t)n, NULL);
    int r = tuple != NULL ? segment_name(s, tuple) : -1;
    Py_XDECREF(tuple);
    return r;
}

/* Have a blank one made, fill it, have it sealed; then it can be mapped. */
static int
make(struct segment *s, uint64_t token, const Py_buffer *from)
{
    int r = -1, fd = -1;
    PyObject *shape = PyObject_GetAttrString((PyObject *)s, "shape");
    PyObject *list = shape ? PySequence_List(shape) : NULL;
    PyObject *sealed = NULL, *answer = NULL;
    unsigned long long t = token;
    if (list != NULL)
        answer = ask("create",
                     Py_BuildValue("(KnsO)", t, from->len, s->format, list));
    if (answer == NULL || set_name(s, answer) < 0 || (fd = take(token)) < 0 ||
        fill(fd, segment_length(s), from) < 0)
        goto out;
    sealed = ask("seal", Py_BuildValue("(K)", t));
    if (sealed != NULL && segment_map(s, fd) == 0)
        r = segment_remember(s);
out:
    io_close(&fd);
    Py_XDECREF(shape);
    Py_XDECREF(list);
    Py_XDECREF(answer);
    Py_XDECREF(sealed);
    return r;
}

static struct segment *
shaped_like(const Py_buffer *b)
{
    const char *format = b->format != NULL ? b->format : "B";
    if (!PyBuffer_IsContiguous(b, 'C')) {
        PyErr_SetString(PyExc_TypeError, "the buffer is not C-contiguous");
        return NULL;
    }
    if (strlen(format) > SEGMENT_MAX_FORMAT || b->ndim > SEGMENT_MAX_DIMS) {
        PyErr_Format(PyExc_TypeError, "elements of the format %.100s", format);
        return NULL;
    }
    return segment_new((size_t)b->len, format, b->itemsize, b->ndim, b->shape);
}

PyObject *
segment_publish(PyObject *data)
{
    Py_buffer from;
    if (PyObject_GetBuffer(data, &from, PyBUF_FULL_RO) < 0)
        return NULL;
    struct segment *s = shaped_like(&from);
    if (s != NULL) {
        s->token = ++last_token; /* from now on its end releases it */
        if (make(s, s->token, &from) < 0) {
            PyObject *saved = py_err_take();
            Py_CLEAR(s);
            py_err_give(saved);
        }
    }
    PyBuffer_Release(&from);
    return (PyObject *)s;
}
