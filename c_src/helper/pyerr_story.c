/* SPDX-License-Identifier: Apache-2.0 */
/* pyerr_story.c - type, module, message, traceback, frames, cause, context
 * and notes of an exception, each within its bound. */
#include "pyerr_story.h"

#include <string.h>

#include "err.h"
#include "etf_tags.h"
#include "pyerr.h"
#include "pyerr_format.h"
#include "pyerr_frames.h"

struct story {
    struct buf *out;
    PyObject *seen[PYERR_CHAIN]; /* borrowed: the chain keeps them alive */
    int count;
};

/* ---- strings ------------------------------------------------------------- */

/* s without what UTF-8 can't hold, and not longer than that; steals s. */
static PyObject *
sane(PyObject *s, Py_ssize_t chars)
{
    if (s != NULL && PyUnicode_GET_LENGTH(s) > chars)
        Py_SETREF(s, PyUnicode_Substring(s, 0, chars));
    if (s == NULL || PyUnicode_AsUTF8(s) != NULL)
        return s;
    PyErr_Clear();
    PyObject *bytes = PyUnicode_AsEncodedString(s, "utf-8", "backslashreplace");
    Py_DECREF(s);
    if (bytes == NULL)
        return NULL;
    s = PyUnicode_FromEncodedObject(bytes, "utf-8", "replace");
    Py_DECREF(bytes);
    if (s != NULL && PyUnicode_GET_LENGTH(s) > chars)
        Py_SETREF(s, PyUnicode_Substring(s, 0, chars));
    return s;
}

PyObject *
pyerr_text(PyObject *o, Py_ssize_t chars)
{
    PyObject *s = PyObject_Str(o);
    if (s == NULL) {
        PyErr_Clear();
        s = PyUnicode_FromFormat("<str() of %.100s failed>",
                                 Py_TYPE(o)->tp_name);
    }
    s = sane(s, chars);
    PyErr_Clear();
    return s;
}

PyObject *
pyerr_type_name(PyObject *exc, const char *attribute)
{
    PyObject *s = PyObject_GetAttrString((PyObject *)Py_TYPE(exc), attribute);
    if (s == NULL || !PyUnicode_Check(s)) {
        PyErr_Clear();
        Py_XDECREF(s);
        s = PyUnicode_FromString(Py_TYPE(exc)->tp_name);
    }
    s = sane(s, PYERR_NOTE_CHARS);
    PyErr_Clear();
    return s;
}

/* ---- small writers ------------------------------------------------------- */

static int
put_head(struct buf *out, uint8_t tag, size_t n)
{
    int r = buf_put_u8(out, tag);
    return r ? r : buf_put_be32(out, (uint32_t)n);
}

static int
put_binary(struct buf *out, const char *p, size_t n)
{
    int r = put_head(out, ETF_BINARY, n);
    return r ? r : buf_put(out, p, n);
}

static int
put_key(struct buf *out, const char *key)
{
    return put_binary(out, key, strlen(key));
}

/* A string as a binary; NULL, or what is no string, as an empty one. */
static int
put_string(struct buf *out, PyObject *s)
{
    Py_ssize_t n = 0;
    const char *p = NULL;
    if (s != NULL && PyUnicode_Check(s))
        p = PyUnicode_AsUTF8AndSize(s, &n);
    if (p == NULL)
        PyErr_Clear();
    return put_binary(out, p ? p : "", p ? (size_t)n : 0);
}

/* put_string of a new reference, which it takes. */
static int
put_taken(struct buf *out, PyObject *s)
{
    int r = put_string(out, s);
    Py_XDECREF(s);
    return r;
}

static int
put_none(struct buf *out)
{
    static const uint8_t none[] = {ETF_SMALL_ATOM_UTF8, 4, 'n', 'o', 'n', 'e'};
    return buf_put(out, none, sizeof none);
}

/* The attribute, or NULL; no exception is left. */
static PyObject *
get(PyObject *o, const char *name)
{
    PyObject *v = o ? PyObject_GetAttrString(o, name) : NULL;
    if (v == NULL)
        PyErr_Clear();
    return v;
}

/* ---- the traceback's text ------------------------------------------------ */

/* Back to the start of a UTF-8 character. */
static const char *
char_start(const char *p)
{
    while ((*p & 0xC0) == 0x80)
        p--;
    return p;
}

/* A long text loses its middle. */
static int
put_cut(struct buf *out, const char *p, size_t n)
{
    static const char gap[] = "\n  [...]\n";
    enum { GAP = sizeof gap - 1, HALF = (PYERR_TEXT_BYTES - GAP) / 2 };
    if (n <= PYERR_TEXT_BYTES)
        return put_binary(out, p, n);
    size_t head = (size_t)(char_start(p + HALF) - p);
    const char *tail = char_start(p + n - HALF);
    size_t rest = (size_t)(p + n - tail);
    int r = put_head(out, ETF_BINARY, head + GAP + rest);
    r = r ? r : buf_put(out, p, head);
    r = r ? r : buf_put(out, gap, GAP);
    return r ? r : buf_put(out, tail, rest);
}

static int
put_traceback(struct buf *out, PyObject *exc, int chain)
{
    PyObject *text = pyerr_format(exc, chain);
    PyObject *s = text ? sane(text, PY_SSIZE_T_MAX) : NULL;
    Py_ssize_t n = 0;
    const char *p = s ? PyUnicode_AsUTF8AndSize(s, &n) : NULL;
    PyErr_Clear();
    int r = put_cut(out, p ? p : "", p ? (size_t)n : 0);
    Py_XDECREF(s);
    return r;
}

static int
put_stack(struct buf *out, const char *stack, size_t n)
{
    PyObject *s =
        pyerr_told_stack(PyUnicode_DecodeUTF8(stack, (Py_ssize_t)n, "replace"));
    Py_ssize_t len = 0;
    const char *p = s ? PyUnicode_AsUTF8AndSize(s, &len) : NULL;
    PyErr_Clear();
    int r = put_cut(out, p ? p : "", p ? (size_t)len : 0);
    Py_XDECREF(s);
    return r;
}

/* ---- frames -------------------------------------------------------------- */

/* How many there are; counted up to a bound, since user code may have tied
 * the list into a ring. */
static size_t
count_frames(PyObject *tb)
{
    enum { ENOUGH = 1 << 20 };
    size_t n = 0;
    for (PyTracebackObject *t = (PyTracebackObject *)tb;
         t != NULL && n < ENOUGH; t = t->tb_next)
        n++;
    return n;
}

static int
put_frame(struct buf *out, PyObject *tb)
{
    PyObject *frame = get(tb, "tb_frame");
    PyObject *code = get(frame, "f_code");
    PyObject *number = get(tb, "tb_lineno");
    PyObject *file = get(code, "co_filename");
    PyObject *name = get(code, "co_name");
    long line = number && PyLong_Check(number) ? PyLong_AsLong(number) : 0;
    PyErr_Clear();
    int r = put_head(out, ETF_MAP, 3);
    r = r ? r : put_key(out, "file");
    r = r ? r
          : put_taken(out, file ? pyerr_told(pyerr_text(file, 4096)) : NULL);
    r = r ? r : put_key(out, "line");
    r = r ? r : put_head(out, ETF_INTEGER, (size_t)line);
    r = r ? r : put_key(out, "function");
    r = r ? r : put_taken(out, name ? pyerr_text(name, 4096) : NULL);
    Py_XDECREF(frame);
    Py_XDECREF(code);
    Py_XDECREF(number);
    Py_XDECREF(file);
    Py_XDECREF(name);
    return r;
}

/* The outermost and the innermost ones, if there are too many. */
static int
put_frames(struct buf *out, PyObject *exc)
{
    PyObject *tb = pyerr_traceback(exc);
    size_t total = count_frames(tb), n = total;
    if (n > PYERR_FRAMES)
        n = PYERR_FRAMES;
    int r = n ? put_head(out, ETF_LIST, n) : 0;
    PyTracebackObject *t = (PyTracebackObject *)tb;
    for (size_t i = 0; r == 0 && i < total; i++, t = t->tb_next) {
        if (i < PYERR_FRAMES / 2 || i >= total - (n - n / 2) ||
            total <= PYERR_FRAMES)
            r = put_frame(out, (PyObject *)t);
    }
    Py_XDECREF(tb);
    return r ? r : buf_put_u8(out, ETF_NIL);
}

/* ---- notes --------------------------------------------------------------- */

static int
put_notes(struct buf *out, PyObject *exc)
{
    PyObject *notes = get(exc, "__notes__");
    Py_ssize_t n = 0;
    if (notes != NULL && PyList_Check(notes))
        n = PyList_GET_SIZE(notes);
    if (n > PYERR_NOTES)
        n = PYERR_NOTES;
    /* A list of its own: str() of a note may change the list. */
    PyObject *kept = n ? PyList_GetSlice(notes, 0, n) : NULL;
    if (kept == NULL) {
        PyErr_Clear();
        n = 0;
    }
    int r = n ? put_head(out, ETF_LIST, (size_t)n) : 0;
    for (Py_ssize_t i = 0; r == 0 && i < n; i++)
        r = put_taken(out,
                      pyerr_text(PyList_GET_ITEM(kept, i), PYERR_NOTE_CHARS));
    Py_XDECREF(kept);
    Py_XDECREF(notes);
    return r ? r : buf_put_u8(out, ETF_NIL);
}

/* ---- the map ------------------------------------------------------------- */

static int put_exception(struct story *s, PyObject *exc);

/* Told of once, and only so many in all: chains may be long, or rings. */
static int
put_linked(struct story *s, PyObject *exc)
{
    if (exc == NULL || s->count == PYERR_CHAIN)
        return put_none(s->out);
    for (int i = 0; i < s->count; i++) {
        if (s->seen[i] == exc)
            return put_none(s->out);
    }
    int r = put_head(s->out, ETF_MAP, 8);
    return r ? r : put_exception(s, exc);
}

/* The context, unless `raise … from` said that it does not matter. */
static PyObject *
context_of(PyObject *exc)
{
    if (((PyBaseExceptionObject *)exc)->suppress_context)
        return NULL;
    return PyException_GetContext(exc);
}

/* The eight pairs that every exception has. */
static int
put_exception(struct story *s, PyObject *exc)
{
    struct buf *out = s->out;
    PyObject *cause = PyException_GetCause(exc);
    PyObject *context = context_of(exc);
    int outermost = s->count == 0;
    s->seen[s->count++] = exc;
    int r = put_key(out, "type");
    r = r ? r : put_taken(out, pyerr_type_name(exc, "__name__"));
    r = r ? r : put_key(out, "module");
    r = r ? r : put_taken(out, pyerr_type_name(exc, "__module__"));
    r = r ? r : put_key(out, "message");
    r = r ? r : put_taken(out, pyerr_text(exc, PYERR_MESSAGE_CHARS));
    r = r ? r : put_key(out, "traceback");
    r = r ? r : put_traceback(out, exc, outermost);
    r = r ? r : put_key(out, "frames");
    r = r ? r : put_frames(out, exc);
    r = r ? r : put_key(out, "notes");
    r = r ? r : put_notes(out, exc);
    r = r ? r : put_key(out, "cause");
    r = r ? r : put_linked(s, cause);
    r = r ? r : put_key(out, "context");
    r = r ? r : put_linked(s, context);
    Py_XDECREF(cause);
    Py_XDECREF(context);
    return r;
}

int
pyerr_story_put(struct buf *out, PyObject *exc, const char *stack, size_t n)
{
    struct story s = {.out = out};
    int r = buf_put_u8(out, ETF_VERSION);
    r = r ? r : put_head(out, ETF_MAP, n ? 9 : 8);
    r = r ? r : put_exception(&s, exc);
    if (n == 0)
        return r;
    r = r ? r : put_key(out, "stack");
    return r ? r : put_stack(out, stack, n);
}
