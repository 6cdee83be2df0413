# SPDX-License-Identifier: Apache-2.0
"""Output, logging and spans as they are without a VM."""

import asyncio
import colorsys
import contextlib
import io
import logging
import sys
import tracemalloc
import unittest
from typing import Any, List, Tuple
from unittest import mock

import erlang
from erlang import _bridge, _logging, _maintenance, _trace


class Calls:
    """Stands for the VM: keeps what is called."""

    def __init__(self, answer: Any = None) -> None:
        self.all: List[Tuple[Any, Any]] = []
        self.answer = answer

    def __call__(self, name: Any, args: Any, kwargs: Any) -> Any:
        self.all.append((name, args))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class LoggingTest(unittest.TestCase):
    def setUp(self) -> None:
        self.calls = Calls()
        self.logger = logging.getLogger("test.observe")
        self.logger.propagate = False
        self.handler = erlang.ErlangHandler()
        self.logger.addHandler(self.handler)
        patch = mock.patch.object(_bridge, "call", self.calls)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(self.logger.removeHandler, self.handler)

    def test_record(self) -> None:
        self.logger.error("%s!", "é")
        ((name, (level, text, about)),) = self.calls.all
        self.assertEqual((name, level, text), (("log", "put"), 40, "é!"))
        self.assertEqual(about["logger"], "test.observe")
        self.assertEqual(about["function"], "test_record")
        self.assertTrue(about["file"].endswith("test_observe.py"))
        self.assertGreater(about["line"], 0)
        self.assertEqual(about["thread"], "MainThread")

    def test_level_and_format(self) -> None:
        self.handler.setLevel("ERROR")
        self.handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        self.logger.warning("no")
        self.logger.critical("yes")
        self.assertEqual([a[1] for _, a in self.calls.all], ["test.observe: yes"])

    def test_nobody_takes_it(self) -> None:
        for answer in RuntimeError("there is no Erlang VM to call"), NameError("put"):
            self.calls.answer = answer
            with contextlib.redirect_stderr(io.StringIO()) as err:
                self.logger.error("lost?")
            self.assertEqual(err.getvalue(), "ERROR:test.observe:lost?\n")

    def test_bad_arguments_are_reported(self) -> None:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            self.logger.error("%d", "x")
        self.assertIn("Logging error", err.getvalue())
        self.assertEqual(self.calls.all, [])

    def test_a_text_that_can_not_be_made_is_reported(self) -> None:
        class Strange:
            def __str__(self) -> str:
                raise RuntimeError("own")

        with contextlib.redirect_stderr(io.StringIO()) as err:
            self.logger.error("%s", Strange())
        self.assertIn("RuntimeError: own", err.getvalue())
        self.assertEqual(self.calls.all, [])

    def test_setup_once(self) -> None:
        root = logging.getLogger()
        level, handlers = root.level, root.handlers[:]
        try:
            first = erlang.setup_logging("DEBUG")
            self.assertIs(first, erlang.setup_logging(logging.ERROR))
            self.assertEqual((root.level, first.level), (40, 40))
            _logging._configure(10)
            self.assertEqual(root.handlers, handlers + [first])
            self.assertEqual(root.level, 10)
        finally:
            root.setLevel(level)
            root.handlers[:] = handlers


class SpanTest(unittest.TestCase):
    def setUp(self) -> None:
        self.calls = Calls()

    @contextlib.contextmanager
    def recording(self) -> Any:
        with mock.patch.object(_bridge, "_traced", lambda: True):
            with mock.patch.object(_bridge, "call", self.calls):
                yield

    def spans(self) -> List[Any]:
        return [s for name, args in self.calls.all for s in args[0]]

    def test_without_a_vm(self) -> None:
        with erlang.Span("x") as span:
            span.event("e")
            span.set_status("error")
        self.assertIsNone(span.span_id)
        self.assertEqual(erlang.trace()(len)([1]), 1)

    def test_children_come_with_their_root(self) -> None:
        with self.recording(), erlang.Span("root") as root:
            with erlang.Span("child"):
                pass
            self.assertEqual(self.calls.all, [])
        child, told = self.spans()
        self.assertEqual(len(self.calls.all), 1)
        self.assertEqual(child["parent_id"], root.span_id)
        self.assertEqual((told["name"], told["parent_id"]), ("root", None))

    def test_many_children_come_before(self) -> None:
        with self.recording(), erlang.Span("root"):
            for _ in range(_trace._MAX_BATCH):
                with erlang.Span("child"):
                    pass
            self.assertEqual(len(self.spans()), _trace._MAX_BATCH)
        self.assertEqual(len(self.spans()), _trace._MAX_BATCH + 1)

    def test_a_failure_to_tell_is_nobody_s(self) -> None:
        self.calls.answer = RuntimeError("gone")
        with self.recording(), erlang.Span("root"):
            pass

    def test_a_failure_to_ask_is_nobody_s(self) -> None:
        self.calls.answer = NameError("it may not")
        with self.recording(), mock.patch.object(_bridge, "_request", lambda: 5):
            with erlang.Span("root") as span:
                self.assertIsNone(span.parent_id)
            _trace.note_parent()
        self.assertIsNone(_trace.handed_over())

    def test_strange_attributes(self) -> None:
        class Strange:
            def __str__(self) -> str:
                raise ValueError

        with self.recording(), erlang.Span("root", a=Strange()) as span:
            span.event("e", b=Strange())
        (told,) = self.spans()
        self.assertEqual(told["attributes"], {"a": "Strange"})
        self.assertEqual(told["events"][0]["attributes"], {"b": "Strange"})

    def test_status_is_one_of_two(self) -> None:
        with self.assertRaisesRegex(ValueError, "not 'fine'"):
            erlang.Span("x").set_status("fine")

    def test_strange_exceptions(self) -> None:
        class Strange(Exception):
            def __str__(self) -> str:
                raise ValueError

        with self.assertRaises(Strange), self.recording():
            with erlang.Span("root"):
                raise Strange
        (span,) = self.spans()
        about = {"type": "Strange", "message": ""}
        self.assertEqual(span["events"][0]["attributes"], about)

    def test_a_task_that_outlives_the_root(self) -> None:
        async def late() -> None:
            with erlang.Span("late"):
                await asyncio.sleep(0.01)

        async def main() -> None:
            with erlang.Span("root"):
                task = asyncio.create_task(late())
                await asyncio.sleep(0)
            await task

        with self.recording():
            asyncio.run(main())
        self.assertEqual([s["name"] for s in self.spans()], ["root", "late"])
        root, late_span = self.spans()
        self.assertEqual(late_span["parent_id"], root["span_id"])

    def test_decorated_keeps_its_kind(self) -> None:
        @erlang.trace("n", k=1)
        async def f(x: int) -> int:
            return x

        self.assertTrue(asyncio.iscoroutinefunction(f))
        with self.recording():
            self.assertEqual(asyncio.run(f(3)), 3)
        self.assertEqual(self.spans()[0]["attributes"], {"k": 1})


class MaintenanceTest(unittest.TestCase):
    def test_memory(self) -> None:
        found = _maintenance.memory()
        self.assertGreater(found["rss"], 0)
        self.assertEqual(found["traced_memory_peak"], 0)
        _maintenance.trace_start(2)
        try:
            _maintenance.trace_start(1)
            self.assertEqual(tracemalloc.get_traceback_limit(), 2)
            kept = bytearray(1000000)
            self.assertGreater(_maintenance.memory()["traced_memory_current"], 999999)
            del kept
        finally:
            _maintenance.trace_stop()
        self.assertFalse(tracemalloc.is_tracing())

    def test_collect(self) -> None:
        ring: List[Any] = []
        ring.append(ring)
        del ring
        self.assertGreaterEqual(_maintenance.collect(2), 1)

    def test_reload(self) -> None:
        self.assertTrue(_maintenance.reload(colorsys.__name__))
        self.assertFalse(_maintenance.reload("not_there_at_all"))


class PlainPythonTest(unittest.TestCase):
    def test_streams_are_untouched(self) -> None:
        assert sys.__stdout__ is not None
        self.assertEqual(type(sys.__stdout__.buffer).__module__, "_io")


if __name__ == "__main__":
    unittest.main()
