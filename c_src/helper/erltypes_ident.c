/* SPDX-License-Identifier: Apache-2.0 */
/* erltypes_ident.c - Pid, Ref, Port, Fun: opaque values that Python carries
 * and gives back.  They hold their ETF in the one spelling of etf_copy.h,
 * which has checked it, so equal bytes are equal values and reading the bytes
 * here needs no second check; it stays within the length all the same. */
#include "py.h"
#include "erltypes.h"

#include <string.h>

#include "etf_tags.h"
#include "rd.h"

PyObject *
ident_new(PyTypeObject *type, const uint8_t *etf, size_t n)
{
    struct ident *id = PyObject_NewVar(struct ident, type, (Py_ssize_t)n);
    if (id == NULL)
        return NULL;
    id->hash = -1;
    memcpy(id->etf, etf, n);
    return (PyObject *)id;
}

/* ---- reading ------------------------------------------------------------- */

struct parts {
    const char *node; /* not NUL-terminated */
    size_t node_len;
    uint64_t number[3]; /* in the order in which Erlang compares them */
    uint32_t words;
    uint32_t creation;
};

static int
read_atom(struct rd *r, const char **text, size_t *n)
{
    uint8_t tag, n8 = 0;
    uint16_t n16 = 0;
    int rc = rd_u8(r, &tag);
    if (rc == 0)
        rc = tag == ETF_SMALL_ATOM_UTF8 ? rd_u8(r, &n8) : rd_be16(r, &n16);
    *n = (size_t)n8 + n16;
    const uint8_t *p = NULL;
    if (rc == 0)
        rc = rd_bytes(r, *n, &p);
    *text = (const char *)p;
    return rc;
}

/* Up to five words, the last of which counts most. */
static int
read_words(struct rd *r, struct parts *a)
{
    int rc = 0;
    for (uint32_t i = 0; i < a->words && rc == 0; i++) {
        uint32_t word;
        rc = rd_be32(r, &word);
        uint32_t at = a->words - 1 - i;
        if (rc == 0)
            a->number[at / 2] |= (uint64_t)word << (at % 2 == 0 ? 32 : 0);
    }
    return rc;
}

static int
read_rest(struct rd *r, uint8_t tag, struct parts *a)
{
    uint32_t low = 0, high = 0;
    int rc;
    switch (tag) {
    case ETF_NEW_PID:
        if ((rc = rd_be32(r, &low)) != 0 || (rc = rd_be32(r, &high)) != 0)
            return rc;
        a->number[0] = high;
        a->number[1] = low;
        return rd_be32(r, &a->creation);
    case ETF_NEW_PORT:
        if ((rc = rd_be32(r, &low)) != 0)
            return rc;
        a->number[0] = low;
        return rd_be32(r, &a->creation);
    case ETF_V4_PORT:
        if ((rc = rd_be64(r, &a->number[0])) != 0)
            return rc;
        return rd_be32(r, &a->creation);
    default:
        if ((rc = rd_be32(r, &a->creation)) != 0)
            return rc;
        return read_words(r, a);
    }
}

static int
read_parts(PyObject *self, struct parts *a)
{
    struct rd r;
    uint8_t tag;
    uint16_t words = 0;
    memset(a, 0, sizeof *a);
    rd_init(&r, ((struct ident *)self)->etf, (size_t)Py_SIZE(self));
    int rc = rd_u8(&r, &tag);
    if (rc == 0 && tag == ETF_NEWER_REFERENCE)
        rc = rd_be16(&r, &words);
    a->words = words > 5 ? 5 : words;
    if (rc == 0)
        rc = read_atom(&r, &a->node, &a->node_len);
    return rc != 0 ? rc : read_rest(&r, tag, a);
}

/* ---- repr ---------------------------------------------------------------- */

static PyObject *
malformed(void)
{
    PyErr_SetString(PyExc_SystemError, "malformed Erlang identifier");
    return NULL;
}

static PyObject *
text_of(const char *p, size_t n)
{
    return PyUnicode_DecodeUTF8(p, (Py_ssize_t)n, "replace");
}

/* The words of a reference as Erlang prints them: the last one first. */
static PyObject *
ref_number(const struct parts *a)
{
    char text[64] = "0";
    size_t at = 1;
    for (uint32_t i = 0; i < a->words; i++) {
        uint32_t w = (uint32_t)(a->number[i / 2] >> (i % 2 == 0 ? 32 : 0));
        int n = PyOS_snprintf(text + at, sizeof text - at, ".%lu",
                              (unsigned long)w);
        at += n > 0 ? (size_t)n : 0;
    }
    return PyUnicode_FromString(text);
}

static PyObject *
ident_repr(PyObject *self)
{
    struct parts a;
    if (read_parts(self, &a) != 0)
        return malformed();
    PyObject *number;
    if (Py_TYPE(self) == &Pid_Type)
        number =
            PyUnicode_FromFormat("0.%llu.%llu", (unsigned long long)a.number[1],
                                 (unsigned long long)a.number[0]);
    else if (Py_TYPE(self) == &Port_Type)
        number =
            PyUnicode_FromFormat("0.%llu", (unsigned long long)a.number[0]);
    else
        number = ref_number(&a);
    PyObject *node = text_of(a.node, a.node_len), *repr = NULL;
    if (number != NULL && node != NULL)
        repr = PyUnicode_FromFormat("<%s %U %U>", Py_TYPE(self)->tp_name, node,
                                    number);
    Py_XDECREF(number);
    Py_XDECREF(node);
    return repr;
}

/* `mod:fun/2` of an export; `mod/2` of a fun, whose name is the module's. */
static PyObject *
fun_repr(PyObject *self)
{
    enum { MODULE_AT = 30 };
    struct ident *id = (struct ident *)self;
    struct rd r;
    const char *m, *f = "";
    size_t m_len, f_len = 0, n = (size_t)Py_SIZE(self);
    int export = id->etf[0] == ETF_EXPORT;
    size_t at = export ? 1 : MODULE_AT;
    if (at > n)
        return malformed();
    rd_init(&r, id->etf + at, n - at);
    if (read_atom(&r, &m, &m_len) != 0 ||
        (export && (read_atom(&r, &f, &f_len) != 0 || rd_left(&r) != 2)))
        return malformed();
    PyObject *module = text_of(m, m_len), *name = text_of(f, f_len);
    PyObject *repr = NULL;
    if (module != NULL && name != NULL)
        repr = PyUnicode_FromFormat("<%s %U%s%U/%d>", Py_TYPE(self)->tp_name,
                                    module, export ? ":" : "", name,
                                    export ? id->etf[n - 1] : id->etf[5]);
    Py_XDECREF(module);
    Py_XDECREF(name);
    return repr;
}

/* ---- behaviour ------------------------------------------------------------
 */

static Py_hash_t
ident_hash(PyObject *self)
{
    struct ident *id = (struct ident *)self;
    if (id->hash == -1) {
        PyObject *bytes =
            PyBytes_FromStringAndSize((char *)id->etf, Py_SIZE(self));
        if (bytes == NULL)
            return -1;
        id->hash = PyObject_Hash(bytes);
        Py_DECREF(bytes);
    }
    return id->hash;
}

static int
same_bytes(PyObject *a, PyObject *b)
{
    return Py_SIZE(a) == Py_SIZE(b) &&
           memcmp(((struct ident *)a)->etf, ((struct ident *)b)->etf,
                  (size_t)Py_SIZE(a)) == 0;
}

/* As Erlang orders two of a kind: longer references later, then the numbers,
 * then the node's name, then its creation. */
static int
order(const struct parts *a, const struct parts *b)
{
    if (a->words != b->words)
        return a->words < b->words ? -1 : 1;
    for (int i = 0; i < 3; i++) {
        if (a->number[i] != b->number[i])
            return a->number[i] < b->number[i] ? -1 : 1;
    }
    size_t n = a->node_len < b->node_len ? a->node_len : b->node_len;
    int c = memcmp(a->node, b->node, n);
    if (c != 0)
        return c;
    if (a->node_len != b->node_len)
        return a->node_len < b->node_len ? -1 : 1;
    return (a->creation > b->creation) - (a->creation < b->creation);
}

static PyObject *
ident_compare(PyObject *self, PyObject *other, int op)
{
    if (Py_TYPE(other) != Py_TYPE(self))
        Py_RETURN_NOTIMPLEMENTED;
    if (op == Py_EQ || op == Py_NE)
        return PyBool_FromLong(same_bytes(self, other) == (op == Py_EQ));
    if (Py_TYPE(self) == &Fun_Type)
        Py_RETURN_NOTIMPLEMENTED;
    struct parts a, b;
    if (read_parts(self, &a) != 0 || read_parts(other, &b) != 0)
        return malformed();
    Py_RETURN_RICHCOMPARE(order(&a, &b), 0, op);
}

/* (_erlang.decode, (etf,)): there is no other way to make one. */
static PyObject *
ident_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct ident *id = (struct ident *)self;
    PyObject *etf = PyBytes_FromStringAndSize(NULL, Py_SIZE(self) + 1);
    if (etf == NULL)
        return NULL;
    PyBytes_AS_STRING(etf)[0] = (char)ETF_VERSION;
    memcpy(PyBytes_AS_STRING(etf) + 1, id->etf, (size_t)Py_SIZE(self));
    PyObject *module = PyImport_ImportModule("_erlang"), *decode = NULL;
    if (module != NULL)
        decode = PyObject_GetAttrString(module, "decode");
    Py_XDECREF(module);
    if (decode == NULL) {
        Py_DECREF(etf);
        return NULL;
    }
    return Py_BuildValue("N(N)", decode, etf);
}

static PyObject *
ident_get_node(PyObject *self, void *unused)
{
    (void)unused;
    struct parts a;
    if (read_parts(self, &a) != 0)
        return malformed();
    PyObject *text = text_of(a.node, a.node_len);
    PyObject *node = text == NULL ? NULL : atom_new(text);
    Py_XDECREF(text);
    return node;
}

static PyMethodDef ident_methods[] = {
    {"__reduce__", ident_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef ident_getset[] = {
    {"node", ident_get_node, NULL, "The node it belongs to, an Atom.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define IDENT_TYPE(c_name, py_name, doc, repr, getset)                         \
    PyTypeObject c_name = {                                                    \
        PyVarObject_HEAD_INIT(NULL, 0).tp_name = py_name,                      \
        .tp_basicsize = offsetof(struct ident, etf),                           \
        .tp_itemsize = 1,                                                      \
        .tp_doc = doc,                                                         \
        .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,    \
        .tp_repr = repr,                                                       \
        .tp_hash = ident_hash,                                                 \
        .tp_richcompare = ident_compare,                                       \
        .tp_methods = ident_methods,                                           \
        .tp_getset = getset,                                                   \
    }

IDENT_TYPE(Pid_Type, "erlang.Pid", "An Erlang process identifier.", ident_repr,
           ident_getset);
IDENT_TYPE(Ref_Type, "erlang.Ref", "An Erlang reference.", ident_repr,
           ident_getset);
IDENT_TYPE(Port_Type, "erlang.Port", "An Erlang port identifier.", ident_repr,
           ident_getset);
IDENT_TYPE(Fun_Type, "erlang.Fun", "An Erlang function.", fun_repr, NULL);
