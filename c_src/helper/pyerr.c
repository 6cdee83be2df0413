/* SPDX-License-Identifier: Apache-2.0 */
#include "pyerr.h"

#include <string.h>

#include "err.h"
#include "etf_tags.h"
#include "pyerr_story.h"

/* A string as Erlang writes it: the list of its code points. */
static int
put_chars(struct buf *out, PyObject *s)
{
    Py_ssize_t n = s ? PyUnicode_GET_LENGTH(s) : 0;
    int r = 0;
    if (n > 0) {
        r = buf_put_u8(out, ETF_LIST);
        r = r ? r : buf_put_be32(out, (uint32_t)n);
    }
    for (Py_ssize_t i = 0; r == 0 && i < n; i++) {
        Py_UCS4 c = PyUnicode_READ_CHAR(s, i);
        r = buf_put_u8(out, c < 256 ? ETF_SMALL_INTEGER : ETF_INTEGER);
        if (r == 0)
            r = c < 256 ? buf_put_u8(out, (uint8_t)c) : buf_put_be32(out, c);
    }
    return r ? r : buf_put_u8(out, ETF_NIL);
}

static int
put_story(struct buf *out, PyObject *exc, const char *stack, size_t n)
{
    int r = buf_put_u8(out, ETF_BINARY);
    size_t at = out->len;
    r = r ? r : buf_put_be32(out, 0);
    r = r ? r : pyerr_story_put(out, exc, stack, n);
    if (r == 0)
        put_be32(out->data + at, (uint32_t)(out->len - at - 4));
    return r;
}

static int
put_empty_story(struct buf *out)
{
    static const uint8_t story[] = {ETF_BINARY, 0, 0, 0, 6, ETF_VERSION,
                                    ETF_MAP,    0, 0, 0, 0};
    return buf_put(out, story, sizeof story);
}

struct told {
    const char *stack;
    size_t stack_len;
    int with_story;
};

static int
put_all(struct buf *out, PyObject *exc, const struct told *t)
{
    PyObject *type = pyerr_type_name(exc, "__name__");
    PyObject *message = pyerr_text(exc, PYERR_MESSAGE_CHARS);
    int r = type ? 0 : E_NOMEM;
    r = r ? r : buf_put_u8(out, ETF_VERSION);
    r = r ? r : buf_put_u8(out, ETF_SMALL_TUPLE);
    r = r ? r : buf_put_u8(out, 3);
    r = r ? r : put_chars(out, type);
    r = r ? r : put_chars(out, message);
    if (r == 0)
        r = t->with_story ? put_story(out, exc, t->stack, t->stack_len)
                          : put_empty_story(out);
    Py_XDECREF(type);
    Py_XDECREF(message);
    return r;
}

static int
put_name(struct buf *out, const char *name)
{
    size_t n = strlen(name);
    if (n > 64)
        n = 64;
    int r = buf_put_u8(out, ETF_STRING);
    r = r ? r : buf_put_be16(out, (uint16_t)n);
    return r ? r : buf_put(out, name, n);
}

/* The least that can be said: the type, no message, an empty story. */
static int
put_least(struct buf *out, PyObject *exc)
{
    static const uint8_t head[] = {ETF_VERSION, ETF_SMALL_TUPLE, 3};
    const char *name = exc ? Py_TYPE(exc)->tp_name : "MemoryError";
    const char *dot = strrchr(name, '.');
    int r = buf_put(out, head, sizeof head);
    r = r ? r : put_name(out, dot && dot[1] ? dot + 1 : name);
    r = r ? r : buf_put_u8(out, ETF_NIL);
    return r ? r : put_empty_story(out);
}

/* Everything; failing that no story; failing that the type. */
int
pyerr_put(struct buf *out, PyObject *exc, const char *stack, size_t n)
{
    size_t start = out->len;
    struct told t = {.stack = stack, .stack_len = n, .with_story = 1};
    for (; exc != NULL; t.with_story = 0) {
        int r = put_all(out, exc, &t);
        PyErr_Clear();
        if (r == 0)
            return 0;
        out->len = start;
        if (!t.with_story)
            break;
    }
    return put_least(out, exc);
}
