/* SPDX-License-Identifier: Apache-2.0 */
#include "segment.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "erltypes.h"
#include "etf_encode.h"
#include "segment_open.h"

enum { MAX_TERM = 4096 }; /* bytes; py_shm.erl takes no longer one */

/* A singleton of the process: it may send no references. */
static int only_copies;

/* Secret => the address of the open Segment, which removes itself. */
static PyObject *open_ones;

/* ---- the object ---------------------------------------------------------- */

static int
reserve(struct segment *s)
{
    void *p = mmap(NULL, segment_length(s), PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        PyErr_Format(PyExc_MemoryError,
                     "no address space for a segment of %zu bytes", s->size);
        return -1;
    }
    s->map = p;
    return 0;
}

static void
set_strides(struct segment *s)
{
    Py_ssize_t stride = s->itemsize;
    for (int i = s->ndim; i-- > 0;) {
        s->strides[i] = stride;
        stride *= s->shape[i];
    }
}

struct segment *
segment_new(size_t size, const char *format, Py_ssize_t itemsize, int ndim,
            const Py_ssize_t *shape)
{
    struct segment *s = PyObject_New(struct segment, &Segment_Type);
    if (s == NULL)
        return NULL;
    memset((char *)s + sizeof(PyObject), 0, sizeof *s - sizeof(PyObject));
    s->size = size;
    s->itemsize = itemsize;
    s->ndim = ndim;
    memcpy(s->shape, shape, (size_t)ndim * sizeof *shape);
    memcpy(s->format, format, strlen(format));
    set_strides(s);
    if (reserve(s) == 0)
        return s;
    Py_DECREF(s);
    return NULL;
}

int
segment_map(struct segment *s, int fd)
{
    /* Not by fstat(), which a strict context may not call. */
    off_t length = lseek(fd, 0, SEEK_END);
    if (length < 0 || (size_t)length < segment_length(s)) {
        PyErr_SetString(SharedMemoryError,
                        "the segment is smaller than its term says");
        return -1;
    }
    if (mmap(s->map, segment_length(s), PROT_READ, MAP_SHARED | MAP_FIXED, fd,
             0) != MAP_FAILED)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static void
forget(struct segment *s)
{
    PyObject *at = s->secret != NULL && open_ones != NULL
                       ? PyDict_GetItemWithError(open_ones, s->secret)
                       : NULL;
    if (at != NULL && PyLong_AsVoidPtr(at) == s &&
        PyDict_DelItem(open_ones, s->secret) < 0)
        PyErr_Clear();
}

static void
segment_dealloc(PyObject *self)
{
    struct segment *s = (struct segment *)self;
    PyObject *saved = py_err_take();
    forget(s);
    if (s->map != NULL)
        munmap(s->map, segment_length(s));
    if (s->token != 0)
        segment_release(s->token, s->sent);
    Py_XDECREF(s->term);
    Py_XDECREF(s->secret);
    if (saved != NULL)
        py_err_give(saved);
    PyObject_Free(self);
}

static int
segment_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    struct segment *s = (struct segment *)self;
    if ((flags & PyBUF_WRITABLE) == PyBUF_WRITABLE) {
        PyErr_SetString(PyExc_BufferError, "shared memory is read-only");
        return -1;
    }
    int plain = (flags & PyBUF_ND) != PyBUF_ND;
    *view = (Py_buffer){
        .buf = s->map,
        .obj = Py_NewRef(self),
        .len = (Py_ssize_t)s->size,
        .itemsize = s->itemsize,
        .readonly = 1,
        .ndim = plain ? 1 : s->ndim,
        .format = (flags & PyBUF_FORMAT) == PyBUF_FORMAT ? s->format : NULL,
        .shape = plain ? NULL : s->shape,
        .strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? s->strides : NULL,
    };
    return 0;
}

static PyObject *
segment_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"data", NULL};
    PyObject *data;
    (void)type;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:SharedMemory", names,
                                     &data))
        return NULL;
    return segment_publish(data);
}

static PyObject *
segment_repr(PyObject *self)
{
    struct segment *s = (struct segment *)self;
    return PyUnicode_FromFormat("<erlang.SharedMemory of %zu bytes>", s->size);
}

static PyObject *
get_nbytes(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(((struct segment *)self)->size);
}

static PyObject *
get_format(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(((struct segment *)self)->format);
}

static PyObject *
get_shape(PyObject *self, void *unused)
{
    struct segment *s = (struct segment *)self;
    (void)unused;
    PyObject *shape = PyTuple_New(s->ndim);
    for (int i = 0; shape != NULL && i < s->ndim; i++) {
        PyObject *n = PyLong_FromSsize_t(s->shape[i]);
        if (n == NULL)
            Py_CLEAR(shape);
        else
            PyTuple_SET_ITEM(shape, i, n);
    }
    return shape;
}

static PyGetSetDef segment_getset[] = {
    {"nbytes", get_nbytes, NULL, "Bytes in all.", NULL},
    {"format", get_format, NULL, "Of an element, as struct has it.", NULL},
    {"shape", get_shape, NULL, "Elements in each dimension.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyBufferProcs segment_buffer = {.bf_getbuffer = segment_getbuffer};

PyDoc_STRVAR(
    segment_doc,
    "SharedMemory(data)\n--\n\n"
    "A copy of a buffer's bytes in shared memory, which nobody can "
    "change.\n\nGive it to Erlang: it passes as a segment of py_shm, "
    "and reaches other contexts\nas a read-only memoryview without "
    "being copied.  data is any C-contiguous\nbuffer, such as bytes or "
    "a numpy array, whose format and shape are kept.");

PyTypeObject Segment_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "erlang.SharedMemory",
    .tp_basicsize = sizeof(struct segment),
    .tp_doc = segment_doc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = segment_tp_new,
    .tp_dealloc = segment_dealloc,
    .tp_repr = segment_repr,
    .tp_getset = segment_getset,
    .tp_as_buffer = &segment_buffer,
};

int
segment_remember(struct segment *s)
{
    if (open_ones == NULL && (open_ones = PyDict_New()) == NULL)
        return -1;
    PyObject *at = PyLong_FromVoidPtr(s);
    int r = at != NULL ? PyDict_SetItem(open_ones, s->secret, at) : -1;
    Py_XDECREF(at);
    return r;
}

void
segment_send_copies(void)
{
    only_copies = 1;
}

int
segment_send(struct segment *s)
{
    if (s->term == NULL || only_copies)
        return 0;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    s->sent = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    return 1;
}

struct segment *
segment_of_view(PyObject *view)
{
    const Py_buffer *b = PyMemoryView_GET_BUFFER(view);
    if (b->obj == NULL || !segment_check(b->obj))
        return NULL;
    struct segment *s = (struct segment *)b->obj;
    size_t dims = (size_t)s->ndim * sizeof s->shape[0];
    if (b->buf != s->map || b->ndim != s->ndim || b->format == NULL ||
        strcmp(b->format, s->format) != 0 ||
        (s->ndim > 0 && (memcmp(b->shape, s->shape, dims) != 0 ||
                         memcmp(b->strides, s->strides, dims) != 0)))
        return NULL;
    return s;
}

/* ---- from a term --------------------------------------------------------- */

int
segment_is_term(PyObject *tuple)
{
    PyObject *name = PyTuple_GET_ITEM(tuple, 0);
    return Py_TYPE(name) == &Atom_Type &&
           PyUnicode_CompareWithASCIIString(name, "py_shm") == 0;
}

static int
no_segment(const char *what)
{
    PyErr_Format(PyExc_ValueError, "a py_shm term with a bad %s", what);
    return -1;
}

/* struct does not know complex numbers, numpy does. */
static Py_ssize_t
size_of_item(const char *format)
{
    if (strcmp(format, "B") == 0)
        return 1;
    if (strcmp(format, "Zf") == 0)
        return 8;
    if (strcmp(format, "Zd") == 0)
        return 16;
    Py_ssize_t n = PyBuffer_SizeFromFormat(format);
    if (n < 0)
        PyErr_Clear();
    return n;
}

/* A term may come from another context, which may lie. */
static int
read_shape(PyObject *list, int *ndim, Py_ssize_t *shape)
{
    if (!PyList_Check(list) || PyList_GET_SIZE(list) > SEGMENT_MAX_DIMS)
        return no_segment("shape");
    *ndim = (int)PyList_GET_SIZE(list);
    for (int i = 0; i < *ndim; i++) {
        PyObject *n = PyList_GET_ITEM(list, i);
        shape[i] = PyLong_CheckExact(n) ? PyLong_AsSsize_t(n) : -1;
        if (shape[i] < 0) {
            PyErr_Clear();
            return no_segment("shape");
        }
    }
    return 0;
}

/* Is itemsize times the elements the size?  Without overflow; where there is an
 * empty dimension, the others are bounded by the address space as well. */
static int
fits(size_t size, Py_ssize_t itemsize, int ndim, const Py_ssize_t *shape)
{
    size_t all = (size_t)itemsize, most = PY_SSIZE_T_MAX;
    int empty = 0;
    for (int i = 0; i < ndim; i++) {
        size_t n = (size_t)shape[i];
        empty |= n == 0;
        if (n > 0 && all > most / n)
            return 0;
        all *= n > 0 ? n : 1;
    }
    return size == (empty ? 0 : all);
}

/* An unopened Segment from the tuple's parts, or NULL. */
static struct segment *
from_parts(PyObject *tuple)
{
    enum { HANDLE = 1, SECRET, SIZE, FORMAT, SHAPE };
    PyObject *size = PyTuple_GET_ITEM(tuple, SIZE);
    PyObject *text = PyTuple_GET_ITEM(tuple, FORMAT);
    Py_ssize_t shape[SEGMENT_MAX_DIMS], length = 0;
    int ndim;
    size_t n = PyLong_CheckExact(size) ? PyLong_AsSize_t(size) : (size_t)-1;
    if (n > PY_SSIZE_T_MAX) {
        PyErr_Clear();
        no_segment("size");
        return NULL;
    }
    const char *format =
        PyUnicode_Check(text) ? PyUnicode_AsUTF8AndSize(text, &length) : NULL;
    Py_ssize_t itemsize = 0;
    if (format != NULL && length <= SEGMENT_MAX_FORMAT &&
        strlen(format) == (size_t)length)
        itemsize = size_of_item(format);
    if (itemsize <= 0) {
        PyErr_Clear();
        no_segment("format");
        return NULL;
    }
    if (read_shape(PyTuple_GET_ITEM(tuple, SHAPE), &ndim, shape) < 0)
        return NULL;
    if (fits(n, itemsize, ndim, shape))
        return segment_new(n, format, itemsize, ndim, shape);
    no_segment("shape for its size");
    return NULL;
}

/* Bytes, although the decoder may have found text in them. */
static PyObject *
secret_of(PyObject *tuple)
{
    PyObject *secret = PyTuple_GET_ITEM(tuple, 2);
    if (PyBytes_Check(secret))
        return Py_NewRef(secret);
    if (PyUnicode_Check(secret))
        return PyUnicode_AsUTF8String(secret);
    no_segment("secret");
    return NULL;
}

int
segment_name(struct segment *s, PyObject *tuple)
{
    struct buf b;
    int r = -1;
    buf_init(&b, MAX_TERM);
    if (etf_encode(tuple, &b, NULL) == 0) {
        s->secret = secret_of(tuple);
        s->term = PyBytes_FromStringAndSize((char *)b.data + 1,
                                            (Py_ssize_t)b.len - 1);
        r = s->secret != NULL && s->term != NULL ? 0 : -1;
    }
    buf_fini(&b);
    return r;
}

static struct segment *
opened_before(PyObject *secret)
{
    PyObject *at =
        open_ones ? PyDict_GetItemWithError(open_ones, secret) : NULL;
    struct segment *s = at != NULL ? PyLong_AsVoidPtr(at) : NULL;
    Py_XINCREF(s);
    return s;
}

static int
add(struct segment_list *l, struct segment *s)
{
    if (l->all == NULL && (l->all = PyList_New(0)) == NULL)
        return -1;
    return PyList_Append(l->all, (PyObject *)s);
}

static struct segment *
unopened_segment(PyObject *tuple, struct segment_list *l)
{
    struct segment *s = from_parts(tuple);
    if (s == NULL || (segment_name(s, tuple) == 0 && add(l, s) == 0))
        return s;
    Py_DECREF(s);
    return NULL;
}

PyObject *
segment_view(PyObject *tuple, struct segment_list *unopened)
{
    PyObject *view = NULL, *secret = secret_of(tuple);
    if (secret == NULL)
        return NULL;
    struct segment *s = opened_before(secret);
    if (s == NULL)
        s = unopened_segment(tuple, unopened);
    if (s != NULL)
        view = PyMemoryView_FromObject((PyObject *)s);
    Py_XDECREF(s);
    Py_DECREF(secret);
    return view;
}
