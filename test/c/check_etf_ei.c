/* SPDX-License-Identifier: Apache-2.0 */
/* check_etf_ei.c - our decoder against libei, Erlang's own in C: the same bytes
 * give the same values.  Only this test links libei. */
#include "pysupport_etf.h"

#include <ei.h>
#include <stdlib.h>
#include <string.h>

#include "erltypes.h"
#include "etf_decode.h"
#include "etf_tags.h"

enum { RANDOM_TERMS = 3000, BINARY_MAX = 80000 };

static void compare(const char *p, int *at, PyObject *o);

/* ---- scalars --------------------------------------------------------------*/

/* What fits 64 bits by ei; what does not, from its digits. */
static void
compare_integer(const char *p, int *at, PyObject *o)
{
    long long v;
    ck_assert(PyLong_CheckExact(o));
    int start = *at;
    if (ei_decode_longlong(p, at, &v) == 0) {
        ck_assert_int_eq(PyLong_AsLongLong(o), v);
        return;
    }
    ck_assert_int_eq(ei_skip_term(p, at), 0);
    int head = p[start] == ETF_SMALL_BIG ? 3 : 6;
    PyObject *digits =
        PyBytes_FromStringAndSize(p + start + head, *at - start - head);
    PyObject *n = PyObject_CallMethod((PyObject *)&PyLong_Type, "from_bytes",
                                      "Os", digits, "little");
    PyObject *wanted =
        p[start + head - 1] ? PyNumber_Negative(n) : Py_NewRef(n);
    ck_assert_int_eq(PyObject_RichCompareBool(o, wanted, Py_EQ), 1);
    Py_DECREF(digits);
    Py_DECREF(n);
    Py_DECREF(wanted);
}

static void
compare_float(const char *p, int *at, PyObject *o)
{
    double v;
    ck_assert_int_eq(ei_decode_double(p, at, &v), 0);
    ck_assert(PyFloat_CheckExact(o));
    double got = PyFloat_AS_DOUBLE(o);
    ck_assert_mem_eq(&got, &v, sizeof v);
}

static void
compare_atom(const char *p, int *at, PyObject *o)
{
    static const struct {
        const char *atom, *repr;
    } special[] = {{"true", "True"},         {"false", "False"},
                   {"none", "None"},         {"nil", "None"},
                   {"undefined", "None"},    {"infinity", "inf"},
                   {"neg_infinity", "-inf"}, {"nan", "nan"}};
    char text[MAXATOMLEN_UTF8];
    ck_assert_int_eq(
        ei_decode_atom_as(p, at, text, sizeof text, ERLANG_UTF8, NULL, NULL),
        0);
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        if (strcmp(special[i].atom, text) == 0) {
            char *repr = repr_of(o);
            ck_assert_str_eq(repr, special[i].repr);
            free(repr);
            return;
        }
    }
    ck_assert(Atom_Check(o));
    /* An atom may hold a NUL, where ei's text ends. */
    ck_assert_int_eq(strncmp(PyUnicode_AsUTF8(o), text, strlen(text)), 0);
}

static void
compare_binary(const char *p, int *at, PyObject *o)
{
    static char data[BINARY_MAX];
    long n;
    ck_assert_int_eq(ei_decode_binary(p, at, data, &n), 0);
    const char *got = NULL;
    Py_ssize_t len = 0;
    if (PyUnicode_CheckExact(o))
        got = PyUnicode_AsUTF8AndSize(o, &len);
    else
        ck_assert_int_eq(PyBytes_AsStringAndSize(o, (char **)&got, &len), 0);
    ck_assert_int_eq(len, n);
    ck_assert(n == 0 || memcmp(got, data, (size_t)n) == 0);
}

static void
compare_bits(const char *p, int *at, PyObject *o)
{
    const char *data;
    unsigned offset;
    size_t bits;
    ck_assert_int_eq(ei_decode_bitstring(p, at, &data, &offset, &bits), 0);
    ck_assert_uint_eq(offset, 0);
    if (bits % 8 == 0)
        return; /* str or bytes: compare_binary's business */
    ck_assert_ptr_eq(Py_TYPE(o), &BitString_Type);
    struct bitstring *b = (struct bitstring *)o;
    ck_assert_uint_eq((size_t)b->bits, bits);
    const char *got = PyBytes_AS_STRING(b->data);
    size_t whole = bits / 8;
    ck_assert(whole == 0 || memcmp(got, data, whole) == 0);
    ck_assert_int_eq(got[whole] & 0xff,
                     data[whole] & (0xff << (8 - bits % 8)) & 0xff);
}

/* ---- identifiers ----------------------------------------------------------
 */

static void
compare_ident(PyObject *o, const char *type, const char *node,
              const char *number)
{
    char want[MAXATOMLEN_UTF8 + 200];
    snprintf(want, sizeof want, "<erlang.%s %s %s>", type, node, number);
    char *repr = repr_of(o);
    ck_assert_str_eq(repr, want);
    free(repr);
}

static void
compare_pid(const char *p, int *at, PyObject *o)
{
    erlang_pid pid;
    char number[64];
    ck_assert_int_eq(ei_decode_pid(p, at, &pid), 0);
    snprintf(number, sizeof number, "0.%u.%u", pid.num, pid.serial);
    compare_ident(o, "Pid", pid.node, number);
}

static void
compare_port(const char *p, int *at, PyObject *o)
{
    erlang_port port;
    char number[64];
    ck_assert_int_eq(ei_decode_port(p, at, &port), 0);
    snprintf(number, sizeof number, "0.%llu", (unsigned long long)port.id);
    compare_ident(o, "Port", port.node, number);
}

static void
compare_ref(const char *p, int *at, PyObject *o)
{
    erlang_ref ref;
    char number[96] = "0";
    ck_assert_int_eq(ei_decode_ref(p, at, &ref), 0);
    for (int i = ref.len - 1; i >= 0; i--)
        snprintf(number + strlen(number), sizeof number - strlen(number), ".%u",
                 ref.n[i]);
    compare_ident(o, "Ref", ref.node, number);
}

/* ---- containers -----------------------------------------------------------
 */

/* The items of a list, FrozenList or ImproperList. */
static PyObject *
items_of(PyObject *o)
{
    if (Py_TYPE(o) == &ImproperList_Type)
        return Py_NewRef(((struct improper *)o)->items);
    ck_assert(PyList_CheckExact(o) || Py_TYPE(o) == &FrozenList_Type);
    return PySequence_Tuple(o);
}

/* ei gives a string's bytes; so does it where the tail of a list is one. */
static void
compare_string(const char *p, int *at, PyObject *items, Py_ssize_t from)
{
    static char text[65536];
    int type, n;
    ck_assert_int_eq(ei_get_type(p, at, &type, &n), 0);
    ck_assert_int_eq(ei_decode_string(p, at, text), 0);
    ck_assert_int_eq(PyTuple_GET_SIZE(items), from + n);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(PyLong_AsLong(PyTuple_GET_ITEM(items, from + i)),
                         (unsigned char)text[i]);
}

static void
compare_list(const char *p, int *at, PyObject *o)
{
    int n, type, size;
    Py_ssize_t i = 0;
    PyObject *items = items_of(o);
    for (;;) { /* once, but for a tail that is a list */
        ck_assert_int_eq(ei_decode_list_header(p, at, &n), 0);
        if (n == 0)
            break;
        for (int end = (int)i + n; i < end; i++)
            compare(p, at, PyTuple_GET_ITEM(items, i));
        ck_assert_int_eq(ei_get_type(p, at, &type, &size), 0);
        if (type == ERL_STRING_EXT) {
            compare_string(p, at, items, i);
            i = PyTuple_GET_SIZE(items);
            break;
        }
        if (type != ERL_LIST_EXT && type != ERL_NIL_EXT) {
            ck_assert_ptr_eq(Py_TYPE(o), &ImproperList_Type);
            compare(p, at, ((struct improper *)o)->tail);
            break;
        }
    }
    ck_assert_int_eq(PyTuple_GET_SIZE(items), i);
    Py_DECREF(items);
}

static void
compare_tuple(const char *p, int *at, PyObject *o)
{
    int n;
    ck_assert_int_eq(ei_decode_tuple_header(p, at, &n), 0);
    if (PyBytes_CheckExact(o)) { /* {bytes, B} */
        ck_assert_int_eq(n, 2);
        ck_assert_int_eq(ei_skip_term(p, at), 0);
        compare_binary(p, at, o);
        return;
    }
    ck_assert(PyTuple_CheckExact(o));
    ck_assert_int_eq(PyTuple_GET_SIZE(o), n);
    for (int i = 0; i < n; i++)
        compare(p, at, PyTuple_GET_ITEM(o, i));
}

static void
compare_map(const char *p, int *at, PyObject *o)
{
    int n;
    Py_ssize_t pos = 0;
    PyObject *k, *v;
    ck_assert_int_eq(ei_decode_map_header(p, at, &n), 0);
    if (Py_TYPE(o) == &FrozenMap_Type)
        o = ((struct frozen_map *)o)->dict;
    ck_assert(PyDict_CheckExact(o));
    ck_assert_int_eq(PyDict_GET_SIZE(o), n);
    while (PyDict_Next(o, &pos, &k, &v)) {
        compare(p, at, k);
        compare(p, at, v);
    }
}

static void
compare(const char *p, int *at, PyObject *o)
{
    int type, size;
    ck_assert_int_eq(ei_get_type(p, at, &type, &size), 0);
    switch (type) {
    case ERL_SMALL_INTEGER_EXT:
    case ERL_INTEGER_EXT:
    case ERL_SMALL_BIG_EXT:
    case ERL_LARGE_BIG_EXT:
        compare_integer(p, at, o);
        break;
    case ERL_FLOAT_EXT:
    case NEW_FLOAT_EXT:
        compare_float(p, at, o);
        break;
    case ERL_ATOM_EXT:
    case ERL_SMALL_ATOM_EXT:
    case ERL_ATOM_UTF8_EXT:
    case ERL_SMALL_ATOM_UTF8_EXT:
        compare_atom(p, at, o);
        break;
    case ERL_BINARY_EXT:
        compare_binary(p, at, o);
        break;
    case ERL_BIT_BINARY_EXT:
        compare_bits(p, at, o);
        break;
    case ERL_STRING_EXT: {
        PyObject *items = items_of(o);
        compare_string(p, at, items, 0);
        Py_DECREF(items);
        break;
    }
    case ERL_NIL_EXT:
    case ERL_LIST_EXT:
        compare_list(p, at, o);
        break;
    case ERL_SMALL_TUPLE_EXT:
    case ERL_LARGE_TUPLE_EXT:
        compare_tuple(p, at, o);
        break;
    case ERL_MAP_EXT:
        compare_map(p, at, o);
        break;
    case ERL_PID_EXT:
    case ERL_NEW_PID_EXT:
        compare_pid(p, at, o);
        break;
    case ERL_PORT_EXT:
    case ERL_NEW_PORT_EXT:
    case ERL_V4_PORT_EXT:
        compare_port(p, at, o);
        break;
    case ERL_REFERENCE_EXT:
    case ERL_NEW_REFERENCE_EXT:
    case ERL_NEWER_REFERENCE_EXT:
        compare_ref(p, at, o);
        break;
    default:
        ck_abort_msg("libei gives type %d", type);
    }
}

static void
agrees(const uint8_t *etf, size_t n)
{
    int at = 0, version;
    PyObject *o = etf_decode(etf, n, NULL);
    if (o == NULL)
        PyErr_Print();
    ck_assert_ptr_nonnull(o);
    ck_assert_int_eq(ei_decode_version((const char *)etf, &at, &version), 0);
    compare((const char *)etf, &at, o);
    ck_assert_int_eq(at, (int)n);
    Py_DECREF(o);
}

/* ---- what is compared ------------------------------------------------------
 */

/* A list of no elements is its tail, and libei knows only [] there. */
static void
golden_agrees(const struct golden *g)
{
    if (g->error == NULL && strcmp(g->name, "list_of_nothing") != 0)
        agrees((uint8_t *)g->etf, g->etf_len);
}

START_TEST(golden_terms)
{
    static const char *const families[] = {"int",   "float", "atom", "binary",
                                           "bytes", "bits",  "list", "tuple",
                                           "map",   "pid",   "port", "ref"};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        each_golden(families[i], 2, golden_agrees);
}
END_TEST

static void put_random(struct buf *b, uint32_t *state, int depth);

static void
put_leaf(struct buf *b, uint32_t *state, uint32_t kind)
{
    uint32_t r = next_random(state);
    switch (kind) {
    case 0:
        buf_put_u8(b, ETF_SMALL_INTEGER);
        buf_put_u8(b, (uint8_t)r);
        break;
    case 1:
        buf_put_u8(b, ETF_INTEGER);
        buf_put_be32(b, r);
        break;
    case 2: /* finite: the exponent is never all ones */
        buf_put_u8(b, ETF_NEW_FLOAT);
        buf_put_be32(b, r & 0xbfffffff);
        buf_put_be32(b, next_random(state));
        break;
    case 3:
        buf_put_u8(b, ETF_SMALL_ATOM_UTF8);
        buf_put_u8(b, 2);
        buf_put_u8(b, (uint8_t)('a' + r % 26));
        buf_put_u8(b, (uint8_t)('a' + r / 26 % 26));
        break;
    case 4:
        buf_put_u8(b, ETF_BINARY);
        buf_put_be32(b, r % 20);
        for (uint32_t i = 0; i < r % 20; i++)
            buf_put_u8(b, (uint8_t)next_random(state));
        break;
    case 5:
        buf_put_u8(b, ETF_SMALL_BIG);
        buf_put_u8(b, (uint8_t)(1 + r % 30));
        buf_put_u8(b, r >> 31);
        for (uint32_t i = 0; i < 1 + r % 30; i++)
            buf_put_u8(b, (uint8_t)(1 + next_random(state) % 255));
        break;
    default:
        buf_put_u8(b, ETF_STRING);
        buf_put_be16(b, 1 + r % 9);
        for (uint32_t i = 0; i < 1 + r % 9; i++)
            buf_put_u8(b, (uint8_t)next_random(state));
    }
}

static void
put_container(struct buf *b, uint32_t *state, uint32_t kind, int depth)
{
    uint32_t n = 1 + next_random(state) % 5;
    static const uint8_t tags[] = {ETF_LIST, ETF_LARGE_TUPLE, ETF_MAP};
    buf_put_u8(b, tags[kind]);
    buf_put_be32(b, n);
    for (uint32_t i = 0; i < n; i++) {
        if (tags[kind] == ETF_MAP) { /* distinct keys */
            buf_put_u8(b, ETF_SMALL_INTEGER);
            buf_put_u8(b, (uint8_t)i);
        }
        put_random(b, state, depth - 1);
    }
    if (tags[kind] == ETF_LIST)
        put_random(b, state, next_random(state) % 3 ? -1 : depth - 1);
}

/* Depth -1: the end of a list. */
static void
put_random(struct buf *b, uint32_t *state, int depth)
{
    uint32_t kind = next_random(state) % 10;
    if (depth < 0)
        buf_put_u8(b, ETF_NIL);
    else if (depth > 0 && kind > 6)
        put_container(b, state, kind - 7, depth);
    else
        put_leaf(b, state, kind % 7);
}

START_TEST(random_terms)
{
    uint32_t state = 7;
    for (int i = 0; i < RANDOM_TERMS; i++) {
        struct buf b;
        buf_init(&b, WIRE_LIMIT_MAX_FRAME);
        buf_put_u8(&b, ETF_VERSION);
        put_random(&b, &state, 6);
        agrees(b.data, b.len);
        buf_fini(&b);
    }
}
END_TEST

Suite *
make_etf_ei_suite(void)
{
    const TTest *const tests[] = {golden_terms, random_terms, NULL};
    return peer_suite("etf_ei", tests, 60);
}
