/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_etf_decode.c - any bytes through the decoder; what decodes is encoded,
 * decoded and encoded again.
 *
 * Held to: a refusal is a DecodeError with its place; what decodes is encoded
 * (unless two keys of a map have become one), the driver's checker accepts
 * that, and from then on nothing changes.
 *
 * Links: base, wire, and of helper etf_*.c and erltypes*.c.  Python runs
 * without site and with the C allocator, so that the sanitizer watches every
 * object. */
#include "py.h"

#include <stdlib.h>
#include <string.h>

#include "erltypes.h"
#include "etf_check.h"
#include "etf_decode.h"
#include "etf_encode.h"
#include "etf_find.h"

enum { MAX_OUT = 64 << 20, MAX_INFLATED = 1 << 20 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(int holds)
{
    if (holds)
        return;
    if (PyErr_Occurred())
        PyErr_Print();
    abort();
}

static void
start_python(void)
{
    PyPreConfig early;
    PyConfig config;
    PyPreConfig_InitIsolatedConfig(&early);
    early.allocator = PYMEM_ALLOCATOR_MALLOC;
    check(!PyStatus_Exception(Py_PreInitialize(&early)));
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    check(!PyStatus_Exception(Py_InitializeFromConfig(&config)));
    PyConfig_Clear(&config);
    check(erltypes_ready() == 0);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    start_python();
    return 0;
}

/* The exception is of this class and its text holds this. */
static void
expect(PyObject *type, const char *text)
{
    check(PyErr_ExceptionMatches(type));
    PyObject *e = py_err_take(), *str = PyObject_Str(e);
    PyObject *part = PyUnicode_FromString(text); /* str may hold NULs */
    check(str != NULL && part != NULL && PyUnicode_Contains(str, part) == 1);
    Py_DECREF(part);
    Py_DECREF(str);
    Py_DECREF(e);
}

/* {bytes, Binary} is read as the bytes alone (docs/types.md), so a tuple of the
 * atom and bytes, though written as it should be, comes back as something
 * else.  This is how the encoder writes its beginning. */
static int
holds_bytes_tuple(const struct buf *b)
{
    static const uint8_t head[] = {104, 2,   119, 5,   'b',
                                   'y', 't', 'e', 's', 109};
    return memmem(b->data, b->len, head, sizeof head) != NULL;
}

/* The first binary that lies across the place `have`, if it is found, taken out
 * as a session receives it: whatever is decoded is the same. */
static void
without_part(PyObject *o, const uint8_t *data, size_t size, size_t have,
             const struct etf_limits *lim)
{
    struct etf_found f;
    if (!etf_find(data, have, size, 1, &f))
        return;
    size_t rest = size - f.length;
    uint8_t *cut = malloc(rest);
    check(cut != NULL);
    memcpy(cut, data, f.at);
    memcpy(cut + f.at, data + f.at + f.length, rest - f.at);
    struct etf_part part = {.at = f.at, .length = f.length};
    part.object = PyBytes_FromStringAndSize((const char *)data + f.at,
                                            (Py_ssize_t)f.length);
    check(part.object != NULL);
    PyObject *same = etf_decode_part(cut, rest, &part, lim);
    check((same == NULL) == (o == NULL));
    if (same == NULL)
        expect(DecodeError, " at byte ");
    else
        check(Py_TYPE(same) == Py_TYPE(o));
    Py_XDECREF(same);
    Py_XDECREF(part.object);
    free(cut);
}

/* Encode, decode, encode: both encodings are one. */
static void
round_trip(PyObject *o, const struct etf_limits *lim)
{
    struct buf first, second;
    buf_init(&first, MAX_OUT);
    buf_init(&second, MAX_OUT);
    if (etf_encode(o, &first, lim) < 0) {
        expect(EncodeError, "the same Erlang term");
        goto out;
    }
    check(etf_check_all(first.data, first.len, ETF_ALLOW_IDS | ETF_ALLOW_FUNS,
                        lim->max_depth) == 0);
    PyObject *again = etf_decode(first.data, first.len, lim);
    check(again != NULL);
    check(etf_encode(again, &second, lim) == 0);
    check(holds_bytes_tuple(&first) ||
          (first.len == second.len &&
           memcmp(first.data, second.data, first.len) == 0));
    Py_DECREF(again);
out:
    buf_fini(&first);
    buf_fini(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct etf_limits lim = etf_limits_default();
    lim.max_inflated = MAX_INFLATED;
    if (!Py_IsInitialized())
        start_python();
    PyObject *o = etf_decode(data, size, &lim);
    if (o == NULL)
        expect(DecodeError, " at byte ");
    for (size_t have = 0; have < size && have < 64; have++)
        without_part(o, data, size, have, &lim);
    if (o == NULL)
        return 0;
    round_trip(o, &lim);
    Py_DECREF(o);
    return 0;
}
