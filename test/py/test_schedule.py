# SPDX-License-Identifier: Apache-2.0
"""Continuations as values, and run in place; requests: py_schedule_SUITE."""

import gc
import unittest
import weakref

import erlang


def down(n):
    return erlang.schedule_py(__name__, "down", [n - 1]) if n else "end"


class ContinuationTest(unittest.TestCase):
    def test_what_it_says(self):
        c = erlang.schedule("f", 1, a=2)
        self.assertIs(type(c), erlang.Continuation)
        self.assertEqual(("erlang", None, "f"), (c.kind, c.module, c.name))
        self.assertEqual(((1,), {"a": 2}), (c.args, c.kwargs))
        c = erlang.schedule_inline("os", "path.join", ["a"])
        self.assertEqual(("inline", "os", "path.join"), (c.kind, c.module, c.name))
        self.assertEqual("python", erlang.schedule_py("m", "f").kind)
        self.assertIn("os.path.join", repr(c))

    def test_nobody_changes_it(self):
        args, kwargs = [1], {"b": 2}
        c = erlang.schedule_py("builtins", "dict", args, kwargs)
        args.append(3)
        kwargs["c"] = 4
        c.kwargs["d"] = 5
        self.assertEqual(((1,), {"b": 2}), (c.args, c.kwargs))
        with self.assertRaises(AttributeError):
            c.name = "list"

    def test_in_place(self):
        self.assertEqual(8, erlang.schedule_py("builtins", "pow", (2, 3))())
        self.assertEqual("end", erlang.schedule_inline(__name__, "down", [50000])())
        with self.assertRaises(TypeError):
            erlang.schedule("f")(1)
        with self.assertRaises(RuntimeError):
            erlang.schedule("f")()  # there is no VM

    def test_errors(self):
        for make in (
            lambda: erlang.schedule(1),
            lambda: erlang.schedule_py("m", None),
            lambda: erlang.schedule_py(None, "f"),
            lambda: erlang.schedule_py("m", "f", 7),
            lambda: erlang.schedule_py("m", "f", [], []),
            lambda: erlang.schedule_py("m", "f", [], {1: 2}),
        ):
            with self.assertRaises(TypeError):
                make()
        with self.assertRaises(ValueError):
            erlang.Continuation("odd", "m", "f", None, None, None)

    def test_a_cycle_is_garbage(self):
        class Box:
            pass

        box = Box()
        box.next = erlang.schedule_py("m", "f", [box])
        gone = weakref.ref(box)
        del box
        gc.collect()
        self.assertIsNone(gone())

    def test_slices(self):
        got = [erlang.consume_time_slice(n) for n in (60, 40, 99, 100, 1)]
        self.assertEqual([False, True, False, True, False], got)
        erlang.consume_time_slice(99)
        for percent in (0, 101, -1, 1 << 80):
            with self.assertRaises(ValueError):
                erlang.consume_time_slice(percent)
