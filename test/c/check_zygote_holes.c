/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_holes.c - once the holes are filled, what is allocated lies one
 * behind the other, whatever was freed before. */
#include "pysupport_etf.h"

#include <stdint.h>
#include <stdlib.h>

#include "holes.h"

/* With a sanitizer all memory is its. */
#ifndef __SANITIZE_ADDRESS__
#define POOLS_ARE_KNOWN 1
#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 33)
#define HEAP_IS_KNOWN 1
#endif
#endif
#endif

enum { MANY = 3000, CLASS_STEP = 16, CLASS_LAST = 512 };

#ifdef POOLS_ARE_KNOWN
/* So many of one size are taken; the first may be what Check gave back. */
enum { COUNT = 20, LAST = 5 };

static void *blocks[MANY];

/* Every second block is given back, not in the order of addresses. */
static void
leave_holes(void *(*get)(size_t), void (*give)(void *), size_t step,
            size_t largest)
{
    for (size_t i = 0; i < MANY; i++) {
        blocks[i] = get(step + i * step % largest);
        ck_assert_ptr_nonnull(blocks[i]);
    }
    for (size_t i = 0; i < MANY; i += 2) {
        size_t k = i * 7 % MANY; /* each even number once */
        give(blocks[k]);
    }
}

/* Check's own memory comes from the same heap, so it is asked afterwards. */
static void
follow_each_other(void *(*get)(size_t), size_t size, size_t distance)
{
    uintptr_t at[COUNT];
    for (int i = 0; i < COUNT; i++)
        at[i] = (uintptr_t)get(size);
    for (int i = COUNT - LAST; i < COUNT; i++)
        ck_assert_msg(at[i] == at[i - 1] + distance, "%zu: %lx behind %lx",
                      size, (unsigned long)at[i], (unsigned long)at[i - 1]);
}

START_TEST(in_the_pools)
{
    leave_holes(PyObject_Malloc, PyObject_Free, CLASS_STEP, CLASS_LAST);
    holes_fill();
    for (size_t size = CLASS_STEP; size <= CLASS_LAST; size += CLASS_STEP)
        follow_each_other(PyObject_Malloc, size, size);
}
END_TEST

#ifdef HEAP_IS_KNOWN
START_TEST(on_the_heap)
{
    static const size_t sizes[] = {24, 40, 104, 504, 1000, 1032, 3000, 9000};
    leave_holes(malloc, free, 24, 12000);
    holes_fill();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        follow_each_other(malloc, sizes[i], (sizes[i] + 8 + 15) / 16 * 16);
}
END_TEST
#endif
#endif

/* What is taken is nobody else's. */
START_TEST(what_there_was_is_whole)
{
    PyObject *list = PyList_New(0);
    for (int i = 0; i < MANY; i++) {
        PyObject *s = PyUnicode_FromFormat("text %d", i);
        ck_assert_int_eq(PyList_Append(list, s), 0);
        Py_DECREF(s);
    }
    ck_assert_int_eq(PyList_SetSlice(list, 0, MANY / 2, NULL), 0);
    holes_fill();
    for (int i = 0; i < MANY / 2; i++) {
        PyObject *want = PyUnicode_FromFormat("text %d", i + MANY / 2);
        ck_assert_int_eq(
            PyObject_RichCompareBool(PyList_GET_ITEM(list, i), want, Py_EQ), 1);
        Py_DECREF(want);
    }
    Py_DECREF(list);
}
END_TEST

Suite *
make_zygote_holes_suite(void)
{
    const TTest *const tests[] = {
#ifdef POOLS_ARE_KNOWN
        in_the_pools,
#endif
#ifdef HEAP_IS_KNOWN
        on_the_heap,
#endif
        what_there_was_is_whole, NULL};
    return peer_suite("zygote_holes", tests, 60);
}
