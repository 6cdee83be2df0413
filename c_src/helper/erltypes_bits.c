/* SPDX-License-Identifier: Apache-2.0 */
/* erltypes_bits.c - BitString: bytes of which the last may be partly used,
 * from its high bit on.  The unused bits are always zero, so equal bit
 * strings have equal bytes. */
#include "py.h"
#include "erltypes.h"

#include <string.h>

PyObject *
bitstring_new(const uint8_t *data, size_t n, size_t bits)
{
    struct bitstring *b = PyObject_New(struct bitstring, &BitString_Type);
    if (b == NULL)
        return NULL;
    b->bits = (Py_ssize_t)bits;
    /* Not made from the data at once: bytes of length one are shared. */
    b->data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n);
    if (b->data == NULL) {
        Py_DECREF(b);
        return NULL;
    }
    char *copy = PyBytes_AS_STRING(b->data);
    if (n != 0)
        memcpy(copy, data, n);
    if (bits % 8 != 0)
        copy[n - 1] &= (char)(0xff << (8 - bits % 8));
    return (PyObject *)b;
}

static PyObject *
bits_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"data", "bits", NULL};
    Py_buffer view;
    Py_ssize_t bits;
    (void)type;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*n:BitString", names,
                                     &view, &bits))
        return NULL;
    PyObject *self = NULL;
    size_t n = (size_t)view.len;
    if (bits < 0 || (size_t)bits / 8 + (bits % 8 != 0) != n)
        PyErr_Format(PyExc_ValueError, "%zd bits do not take %zd bytes", bits,
                     view.len);
    else
        self = bitstring_new(view.buf, n, (size_t)bits);
    PyBuffer_Release(&view);
    return self;
}

static void
bits_dealloc(PyObject *self)
{
    Py_XDECREF(((struct bitstring *)self)->data);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *
bits_repr(PyObject *self)
{
    struct bitstring *b = (struct bitstring *)self;
    return PyUnicode_FromFormat("BitString(%R, %zd)", b->data, b->bits);
}

static Py_hash_t
bits_hash(PyObject *self)
{
    struct bitstring *b = (struct bitstring *)self;
    Py_hash_t h = PyObject_Hash(b->data);
    if (h == -1)
        return -1;
    h ^= (Py_hash_t)((size_t)b->bits * 1000003u);
    return h == -1 ? -2 : h;
}

static PyObject *
bits_compare(PyObject *self, PyObject *other, int op)
{
    if (Py_TYPE(other) != &BitString_Type || (op != Py_EQ && op != Py_NE))
        Py_RETURN_NOTIMPLEMENTED;
    struct bitstring *a = (struct bitstring *)self;
    struct bitstring *b = (struct bitstring *)other;
    if (a->bits != b->bits)
        return PyBool_FromLong(op == Py_NE);
    return PyObject_RichCompare(a->data, b->data, op);
}

static PyObject *
bits_reduce(PyObject *self, PyObject *unused)
{
    struct bitstring *b = (struct bitstring *)self;
    (void)unused;
    return Py_BuildValue("O(On)", Py_TYPE(self), b->data, b->bits);
}

static PyObject *
bits_get_data(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(((struct bitstring *)self)->data);
}

static PyObject *
bits_get_bits(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(((struct bitstring *)self)->bits);
}

static PyMethodDef bits_methods[] = {
    {"__reduce__", bits_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef bits_getset[] = {
    {"data", bits_get_data, NULL, "The bytes; unused bits are zero.", NULL},
    {"bits", bits_get_bits, NULL, "The number of bits in all.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(bits_doc, "BitString(data, bits)\n--\n\n"
                       "The first `bits` bits of `data`, which has no more "
                       "bytes than they need.");

PyTypeObject BitString_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "erlang.BitString",
    .tp_basicsize = sizeof(struct bitstring),
    .tp_doc = bits_doc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = bits_tp_new,
    .tp_dealloc = bits_dealloc,
    .tp_repr = bits_repr,
    .tp_hash = bits_hash,
    .tp_richcompare = bits_compare,
    .tp_methods = bits_methods,
    .tp_getset = bits_getset,
};
