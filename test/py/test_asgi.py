# SPDX-License-Identifier: Apache-2.0
"""ASGI applications, with no VM: what they are given and what they may send."""

import asyncio
import os
import subprocess
import sys
import types
import unittest
from typing import Any, Awaitable, Callable, Dict, List, Tuple
from unittest import mock

import erlang
from erlang import _asgi, _bridge, _exchange

App = Callable[[Dict[str, Any], Any, Any], Awaitable[None]]

START = {"type": "http.response.start", "status": 200}
BODY = {"type": "http.response.body"}


class Case(unittest.TestCase):
    """Applications stand in a module of their own."""

    def setUp(self) -> None:
        self.module = types.ModuleType("the_web_app")
        sys.modules["the_web_app"] = self.module
        self.addCleanup(sys.modules.pop, "the_web_app")

    def start(self, app: Any, scope: Any = None, chunks: Any = (b"",)) -> Any:
        self.module.app = app
        return _asgi.run("the_web_app", "app", scope or {}, list(chunks))

    def run_app(self, app: Any, scope: Any = None, chunks: Any = (b"",)) -> Any:
        return erlang.run(self.start(app, scope, chunks))

    def scope_of(self, given: Dict[str, Any]) -> Dict[str, Any]:
        seen: List[Dict[str, Any]] = []

        async def app(scope: Dict[str, Any], receive: Any, send: Any) -> None:
            seen.append(scope)
            await send(START)
            await send(BODY)

        self.run_app(app, given)
        return seen[-1]


def sends(*messages: Any) -> App:
    """Make an application that sends these."""

    async def app(scope: Dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        for message in messages:
            await send(message)

    return app


class ScopeTest(Case):
    def test_defaults(self) -> None:
        expected = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/",
            "raw_path": None,
            "query_string": b"",
            "root_path": "",
            "headers": [],
            "client": None,
            "server": None,
            "state": {},
        }
        self.assertEqual(self.scope_of({}), expected)

    def test_given(self) -> None:
        headers = [(b"Host", b"a"), (b"X-A", b"\xff B"), (b"x-a", b"2")]
        given = {
            "method": "post",
            "path": "/ä",
            "headers": headers,
            "state": {"user": 7},
            "asgi": {"spec_version": "2.3"},
            "other.key": 1,
        }
        scope = self.scope_of(given)
        lower = [(b"host", b"a"), (b"x-a", b"\xff B"), (b"x-a", b"2")]
        self.assertEqual(scope["headers"], lower)
        self.assertEqual((scope["method"], scope["path"]), ("POST", "/ä"))
        self.assertEqual(scope["state"], {"user": 7})
        self.assertEqual(scope["asgi"], {"version": "3.0", "spec_version": "2.3"})
        self.assertEqual(scope["other.key"], 1)

    def test_a_path_that_is_no_utf8(self) -> None:
        self.assertEqual(self.scope_of({"path": b"/\xff"})["path"], "/\ufffd")


class ReceiveTest(Case):
    def received(self, chunks: List[bytes]) -> Tuple[List[Any], Any]:
        seen: List[Any] = []

        async def app(scope: Dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                raise NotImplementedError
            while True:
                seen.append(await receive())
                if not seen[-1]["more_body"]:
                    break
            await send({**START, "headers": [(b"a", b"b")]})
            await send({**BODY, "body": b"x", "more_body": True})
            await send({**BODY, "body": b"y"})
            seen.append(await receive())

        return seen, self.run_app(app, chunks=chunks)

    def test_one_piece(self) -> None:
        seen, answer = self.received([b"all"])
        request = {"type": "http.request", "body": b"all", "more_body": False}
        self.assertEqual(seen, [request, {"type": "http.disconnect"}])
        self.assertEqual(answer, (200, [(b"a", b"b")], b"xy"))

    def test_pieces(self) -> None:
        seen, _ = self.received([b"1", b"", b"2"])
        expected = [(b"1", True), (b"", True), (b"2", False)]
        self.assertEqual([(m["body"], m["more_body"]) for m in seen[:-1]], expected)

    def test_no_pieces(self) -> None:
        seen, _ = self.received([])
        self.assertEqual((seen[0]["body"], seen[0]["more_body"]), (b"", False))


class SendTest(Case):
    def test_bodies(self) -> None:
        for body in (b"12", bytearray(b"12"), memoryview(b"12")):
            _, _, got = self.run_app(sends(START, {**BODY, "body": body}))
            self.assertIs(type(got), bytes)
            self.assertEqual(got, b"12")
        self.assertEqual(self.run_app(sends(START, BODY)), (200, [], b""))

    def test_ignored_when_complete(self) -> None:
        app = sends(START, {**BODY, "body": b"1"}, START, {**BODY, "body": b"2"}, 7)
        self.assertEqual(self.run_app(app), (200, [], b"1"))

    def test_refused(self) -> None:
        def start(**more: Any) -> Dict[str, Any]:
            return {**START, **more}

        more: Dict[str, Any] = {**BODY, "more_body": True}
        for error, text, messages in (
            (TypeError, "a message is a dict, not int", [7]),
            (ValueError, "type None", [{}]),
            (ValueError, "'http.response.push'", [{"type": "http.response.push"}]),
            (ValueError, "'websocket.send'", [{"type": "websocket.send"}]),
            (
                ValueError,
                "'http.response.trailers'",
                [START, {"type": "http.response.trailers"}],
            ),
            (ValueError, "with trailers", [start(trailers=True)]),
            (RuntimeError, "start was sent twice", [START, START]),
            (RuntimeError, "start was sent twice", [START, more, START]),
            (RuntimeError, "body was sent before", [BODY]),
            (ValueError, "has no status", [{"type": "http.response.start"}]),
            (TypeError, "must be an int, not str", [start(status="200 OK")]),
            (TypeError, "must be an int, not bool", [start(status=True)]),
            (ValueError, "three digits, 20 has not", [start(status=20)]),
            (TypeError, "a name and a value, not 7", [start(headers=[7])]),
            (TypeError, "a name and a value", [start(headers=[(b"a", b"b", b"c")])]),
            (
                TypeError,
                "name must be bytes, not str: 'a'",
                [start(headers=[("a", b"b")])],
            ),
            (TypeError, "b'a' must be bytes, not str", [start(headers=[(b"a", "b")])]),
            (ValueError, "not the name of a header", [start(headers=[(b"", b"b")])]),
            (ValueError, "not the name of a header", [start(headers=[(b"a b", b"b")])]),
            (ValueError, "line break", [start(headers=[(b"a", b"b\r\nc: d")])]),
            (TypeError, "must be bytes, not str", [START, {**BODY, "body": "text"}]),
            (TypeError, "must be bytes, not NoneType", [START, {**BODY, "body": None}]),
            (RuntimeError, "ended and sent no response", []),
            (RuntimeError, "before its response was complete", [START]),
            (RuntimeError, "before its response was complete", [START, more]),
        ):
            with self.subTest(text), self.assertRaisesRegex(error, text):
                self.run_app(sends(*messages))

    def test_larger_than_a_frame(self) -> None:
        more = {**BODY, "body": b"12345", "more_body": True}
        with mock.patch.object(_bridge, "_max_frame", lambda: 12):
            with self.assertRaisesRegex(ValueError, "max_frame, 12 bytes"):
                self.run_app(sends(START, more, more, more))

    def test_no_application(self) -> None:
        with self.assertRaisesRegex(TypeError, "int is not callable"):
            self.run_app(7)
        with self.assertRaisesRegex(TypeError, "NoneType, which can't be awaited"):
            self.run_app(lambda scope, receive, send: None)
        with self.assertRaises(ModuleNotFoundError):
            erlang.run(_asgi.run("no_such_module", "app", {}, []))
        with self.assertRaises(AttributeError):
            erlang.run(_asgi.run("the_web_app", "missing", {}, []))

    def test_its_own_error(self) -> None:
        async def app(scope: Dict[str, Any], receive: Any, send: Any) -> None:
            await send(START)
            raise LookupError("mine")

        with self.assertRaisesRegex(LookupError, "mine"):
            self.run_app(app)

    def test_goes_on_after_the_response(self) -> None:
        done: List[str] = []

        async def app(scope: Dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                raise NotImplementedError
            await send(START)
            await send(BODY)
            await asyncio.sleep(0)
            done.append("after")
            raise LookupError("too late to be told")

        async def main() -> Tuple[Any, List[Any]]:
            loop, told = asyncio.get_running_loop(), []
            loop.set_exception_handler(lambda _, context: told.append(context))
            answer = await self.start(app)
            self.assertEqual(done, [])
            while _exchange._going_on:
                await asyncio.sleep(0)
            return answer, told

        answer, told = erlang.run(main())
        self.assertEqual(answer, (200, [], b""))
        self.assertEqual(done, ["after"])
        self.assertEqual([str(t["exception"]) for t in told], ["too late to be told"])


class CancelTest(Case):
    """Who asked gives up."""

    def give_up(self, app: Any) -> None:
        async def main() -> None:
            task = asyncio.get_running_loop().create_task(self.start(app))
            while not self.log:
                await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            while _exchange._going_on:
                await asyncio.sleep(0.001)

        self.log: List[Any] = []
        erlang.run(main())

    def test_cancelled(self) -> None:
        async def app(scope: Dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                raise NotImplementedError
            self.log.append("begun")
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.log.append((await receive())["type"])
                try:
                    await send(START)
                except OSError as error:
                    self.log.append(type(error))
                raise

        self.give_up(app)
        expected = ["begun", "http.disconnect", _exchange.Disconnected]
        self.assertEqual(self.log, expected)

    def listener(self, stubborn: bool) -> App:
        async def app(scope: Dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                raise NotImplementedError
            await receive()
            self.log.append("begun")
            self.log.append((await receive())["type"])
            await asyncio.sleep(3600 if stubborn else 0)
            self.log.append("ended")

        return app

    def test_disconnect_first(self) -> None:
        self.give_up(self.listener(stubborn=False))
        self.assertEqual(self.log, ["begun", "http.disconnect", "ended"])

    def test_cancelled_in_the_end(self) -> None:
        with mock.patch.object(_exchange, "GRACE", 0.01):
            self.give_up(self.listener(stubborn=True))
        self.assertEqual(self.log, ["begun", "http.disconnect"])


class RunnerTest(Case):
    def answer(self, result: Any) -> Any:
        async def run_asgi(module: str, name: str, scope: Any, body: bytes) -> Any:
            self.assertEqual((module, name, body), ("app_module", "app", b"12"))
            self.assertEqual(scope["path"], "/")
            return result

        self.module.run_asgi = run_asgi
        return erlang.run(
            _asgi.run("app_module", "app", {}, [b"1", b"2"], "the_web_app")
        )

    def test_forms(self) -> None:
        good = (201, [(b"a", b"\xe4")], b"body")
        for result in (
            good,
            [201, [[b"a", b"\xe4"]], bytearray(b"body")],
            (201, {"a": "ä"}, "body"),
            ("201 Created", [("a", "ä")], memoryview(b"body")),
            {"status": 201, "headers": [("a", b"\xe4")], "body": b"body"},
        ):
            self.assertEqual(self.answer(result), good)
        self.assertEqual(self.answer({"status": 204}), (204, [], b""))

    def test_refused(self) -> None:
        for result, text in (
            (None, "a runner returns .* not NoneType"),
            ((200, []), "a runner returns .* not tuple"),
            (("OK", [], b""), "must be an int, not str"),
            ((200, [7], b""), "a name and a value, not 7"),
            ((200, [], None), "must be bytes, not NoneType"),
        ):
            with self.subTest(text), self.assertRaisesRegex(TypeError, text):
                self.answer(result)

    def test_plain_function(self) -> None:
        self.module.run_asgi = lambda *_: (200, [], b"")
        answer = erlang.run(_asgi.run("m", "a", {}, [], "the_web_app"))
        self.assertEqual(answer, (200, [], b""))


class ImportTest(unittest.TestCase):
    def test_brings_no_asyncio(self) -> None:
        # As the package itself: the main thread must not import it.
        code = "import sys, erlang._asgi; sys.exit('asyncio' in sys.modules)"
        program = [os.readlink("/proc/self/exe"), "python", "-c", code]
        run = subprocess.run(program, timeout=60, check=False)
        self.assertEqual(run.returncode, 0)


if __name__ == "__main__":
    unittest.main()
