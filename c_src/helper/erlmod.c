/* SPDX-License-Identifier: Apache-2.0 */
/* erlmod.c - see erlmod.h. */
#include "py.h"
#include "erlmod.h"

#include "callback.h"
#include "continuation.h"
#include "detached.h"
#include "err.h"
#include "erltypes.h"
#include "etf_decode.h"
#include "etf_encode.h"
#include "hatch.h"
#include "message.h"
#include "segment.h"
#include "slice.h"
#include "span.h"

/* max_depth as the caller gave it; 0, or -1 with ValueError. */
static int
depth_limit(Py_ssize_t depth, struct etf_limits *lim)
{
    *lim = etf_limits_default();
    if (depth < 0 || depth > ETF_DEPTH_CAP) {
        PyErr_Format(PyExc_ValueError, "max_depth is 0 to %d, not %zd",
                     ETF_DEPTH_CAP, depth);
        return -1;
    }
    lim->max_depth = (uint32_t)depth;
    return 0;
}

static PyObject *
mod_encode(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"obj", "max_depth", NULL};
    PyObject *o, *bytes = NULL;
    Py_ssize_t depth = WIRE_LIMIT_MAX_DEPTH;
    struct etf_limits lim;
    struct buf out;
    (void)self;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$n:encode", names, &o,
                                     &depth) ||
        depth_limit(depth, &lim) < 0)
        return NULL;
    buf_init(&out, WIRE_LIMIT_MAX_FRAME);
    if (etf_encode(o, &out, &lim) == 0)
        bytes =
            PyBytes_FromStringAndSize((char *)out.data, (Py_ssize_t)out.len);
    buf_fini(&out);
    return bytes;
}

static PyObject *
mod_decode(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"data", "max_depth", NULL};
    Py_buffer data;
    Py_ssize_t depth = WIRE_LIMIT_MAX_DEPTH;
    struct etf_limits lim;
    PyObject *o = NULL;
    (void)self;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*|$n:decode", names, &data,
                                     &depth))
        return NULL;
    if (depth_limit(depth, &lim) == 0)
        o = etf_decode(data.buf, (size_t)data.len, &lim);
    PyBuffer_Release(&data);
    return o;
}

/* (name, args, kwargs) */
static PyObject *
mod_call(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    (void)self;
    if (n != 3) {
        PyErr_Format(PyExc_TypeError, "call takes 3 arguments, not %zd", n);
        return NULL;
    }
    return callback_call(args[0], args[1], args[2]);
}

/* (name, args, kwargs, when_there) */
static PyObject *
mod_begin_call(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    (void)self;
    if (n != 4) {
        PyErr_Format(PyExc_TypeError, "_begin_call takes 4 arguments, not %zd",
                     n);
        return NULL;
    }
    if (callback_begin(args[0], args[1], args[2], args[3]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
mod_pump(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    if (callback_pump() < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
mod_filenos(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    return callback_fds();
}

/* (number, term) */
static PyObject *
mod_send(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    (void)self;
    if (n != 2) {
        PyErr_Format(PyExc_TypeError, "_send takes 2 arguments, not %zd", n);
        return NULL;
    }
    if (message_send(args[0], args[1]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
mod_look(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    if (message_look() < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
mod_request(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    return callback_request();
}

static PyObject *
mod_max_frame(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    return PyLong_FromUnsignedLong(callback_max_frame());
}

static PyObject *
mod_traced(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    return PyBool_FromLong(callback_traced());
}

static PyObject *
mod_consume_time_slice(PyObject *self, PyObject *percent)
{
    (void)self;
    int used_up = slice_consume(percent);
    return used_up < 0 ? NULL : PyBool_FromLong(used_up);
}

PyDoc_STRVAR(slice_doc,
             "consume_time_slice(percent, /)\n--\n\n"
             "Say that so much of a time slice is used; True: all of it is, "
             "hand over now.");
PyDoc_STRVAR(request_doc, "_request()\n--\n\nThe request that runs in this "
                          "thread, by its id; or 0.");
PyDoc_STRVAR(max_frame_doc, "_max_frame()\n--\n\nThe most bytes that an "
                            "answer may have.");
PyDoc_STRVAR(traced_doc, "_traced()\n--\n\nAre spans recorded?");
/* (number, error, value) */
static PyObject *
mod_detached_answer(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    (void)self;
    if (n != 3) {
        PyErr_Format(PyExc_TypeError,
                     "_detached_answer takes 3 arguments, not %zd", n);
        return NULL;
    }
    int r = detached_answer(args[0], args[1], args[2]);
    return r < 0 ? NULL : PyBool_FromLong(r);
}

static PyObject *
mod_detached_cancelled(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    return detached_take_cancelled();
}

static PyObject *
mod_detached_fileno(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    int fd = detached_fd();
    return fd < 0 ? NULL : PyLong_FromLong(fd);
}

PyDoc_STRVAR(detached_answer_doc,
             "_detached_answer(number, error, value, /)\n--\n\n"
             "Answer a request that is awaited; False: it has been answered.");
PyDoc_STRVAR(detached_cancelled_doc,
             "_detached_cancelled()\n--\n\n"
             "Numbers of such requests that were given up since.");
PyDoc_STRVAR(detached_fileno_doc, "_detached_fileno()\n--\n\n"
                                  "Readable when there are some.");
PyDoc_STRVAR(begin_call_doc,
             "_begin_call(name, args, kwargs, when_there, /)\n--\n\n"
             "Call without waiting: when_there(error, value) comes later, in "
             "any thread.");
PyDoc_STRVAR(pump_doc, "_pump()\n--\n\nRead what the VM has written.");
PyDoc_STRVAR(filenos_doc, "_filenos()\n--\n\nDescriptors of this thread: when "
                          "one is readable, _pump().");
PyDoc_STRVAR(send_doc, "_send(number, term, /)\n--\n\n"
                       "A message for the receiver with this number.");
PyDoc_STRVAR(look_doc, "_look()\n--\n\nRead what the VM has written, if it "
                       "has.");
PyDoc_STRVAR(call_doc, "call(name, args, kwargs, /)\n--\n\n"
                       "What the Erlang function of this name returns.");
PyDoc_STRVAR(encode_doc,
             "encode(obj, *, max_depth=1000)\n--\n\n"
             "The external term format of an object; EncodeError names what "
             "has none.");
PyDoc_STRVAR(decode_doc, "decode(data, *, max_depth=1000)\n--\n\n"
                         "The object for one term in the external format.");

PyDoc_STRVAR(passed_doc, "_passed(token, /)\n--\n\n"
                         "The descriptor that the VM passed under this token; "
                         "it is the caller's.");
static PyObject *
mod_passed(PyObject *self, PyObject *arg)
{
    (void)self;
    uint64_t token = PyLong_AsUnsignedLongLong(arg);
    if (PyErr_Occurred())
        return NULL;
    int fd, e = hatch_take(token, &fd);
    if (e == 0)
        return PyLong_FromLong(fd);
    PyErr_Format(PyExc_OSError, "no descriptor has come: %s", err_str(e));
    return NULL;
}

static PyMethodDef methods[] = {
    {"_passed", mod_passed, METH_O, passed_doc},
    {"call", (PyCFunction)(void (*)(void))mod_call, METH_FASTCALL, call_doc},
    {"_begin_call", (PyCFunction)(void (*)(void))mod_begin_call, METH_FASTCALL,
     begin_call_doc},
    {"_send", (PyCFunction)(void (*)(void))mod_send, METH_FASTCALL, send_doc},
    {"_look", mod_look, METH_NOARGS, look_doc},
    {"_pump", mod_pump, METH_NOARGS, pump_doc},
    {"_filenos", mod_filenos, METH_NOARGS, filenos_doc},
    {"consume_time_slice", mod_consume_time_slice, METH_O, slice_doc},
    {"_request", mod_request, METH_NOARGS, request_doc},
    {"_max_frame", mod_max_frame, METH_NOARGS, max_frame_doc},
    {"_traced", mod_traced, METH_NOARGS, traced_doc},
    {"_detached_answer", (PyCFunction)(void (*)(void))mod_detached_answer,
     METH_FASTCALL, detached_answer_doc},
    {"_detached_cancelled", mod_detached_cancelled, METH_NOARGS,
     detached_cancelled_doc},
    {"_detached_fileno", mod_detached_fileno, METH_NOARGS, detached_fileno_doc},
    {"encode", (PyCFunction)(void (*)(void))mod_encode,
     METH_VARARGS | METH_KEYWORDS, encode_doc},
    {"decode", (PyCFunction)(void (*)(void))mod_decode,
     METH_VARARGS | METH_KEYWORDS, decode_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_erlang",
    .m_doc = "What Terrarium's helper gives to Python; use `erlang`.",
    .m_size = -1,
    .m_methods = methods,
};

static int
add_names(PyObject *module)
{
    const struct {
        const char *name;
        PyObject *object;
    } names[] = {
        {"Atom", (PyObject *)&Atom_Type},
        {"Pid", (PyObject *)&Pid_Type},
        {"Ref", (PyObject *)&Ref_Type},
        {"Port", (PyObject *)&Port_Type},
        {"Fun", (PyObject *)&Fun_Type},
        {"BitString", (PyObject *)&BitString_Type},
        {"ImproperList", (PyObject *)&ImproperList_Type},
        {"FrozenList", (PyObject *)&FrozenList_Type},
        {"FrozenMap", (PyObject *)&FrozenMap_Type},
        {"Continuation", (PyObject *)&Continuation_Type},
        {"DecodeError", DecodeError},
        {"EncodeError", EncodeError},
        {"SharedMemory", (PyObject *)&Segment_Type},
        {"SharedMemoryError", SharedMemoryError},
        {"StaleReference", StaleReference},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (PyModule_AddObjectRef(module, names[i].name, names[i].object) < 0)
            return -1;
    }
    return 0;
}

PyMODINIT_FUNC
PyInit__erlang(void)
{
    if (erltypes_ready() < 0 || PyType_Ready(&Continuation_Type) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && (add_names(module) < 0 || span_add(module) < 0 ||
                           slice_add(module) < 0))
        Py_CLEAR(module);
    return module;
}
