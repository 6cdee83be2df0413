# SPDX-License-Identifier: Apache-2.0
"""WSGI applications, with no VM."""

import http
import sys
import types
import unittest
import warnings
import wsgiref.simple_server
import wsgiref.validate
from typing import Any, Dict, Iterator, List
from unittest import mock

from erlang import _bridge, _wsgi


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.module = types.ModuleType("the_web_app")
        sys.modules["the_web_app"] = self.module
        self.addCleanup(sys.modules.pop, "the_web_app")

    def run_app(self, app: Any, **environ: Any) -> Any:
        self.module.app = app
        return _wsgi.run("the_web_app", "app", environ)


class Body:
    """A body with a close method."""

    def __init__(self, *items: Any) -> None:
        self.items = items
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        for item in self.items:
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        self.closed += 1


class EnvironTest(Case):
    def environ_of(self, **given: Any) -> Dict[str, Any]:
        seen: List[Dict[str, Any]] = []

        def app(environ: Dict[str, Any], start_response: Any) -> List[bytes]:
            seen.append(environ)
            start_response("200 OK", [])
            return []

        self.run_app(app, **given)
        return seen[0]

    def test_defaults(self) -> None:
        environ = self.environ_of()
        self.assertIs(type(environ), dict)
        self.assertEqual(environ.pop("wsgi.input").read(), b"")
        self.assertIs(environ.pop("wsgi.errors"), sys.stderr)
        expected = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        self.assertEqual(environ, expected)

    def test_texts_are_bytes_in_disguise(self) -> None:
        environ = self.environ_of(PATH_INFO="/ä€", HTTP_X=b"\xff\xe4", PLAIN="a")
        self.assertEqual(environ["PATH_INFO"].encode("latin-1"), "/ä€".encode())
        self.assertEqual(environ["HTTP_X"], "\xff\xe4")
        self.assertEqual(environ["PLAIN"], "a")

    def test_length(self) -> None:
        body = {"wsgi.input": b"12345"}
        self.assertEqual(self.environ_of(**body)["CONTENT_LENGTH"], "5")
        self.assertEqual(
            self.environ_of(**body, CONTENT_LENGTH="")["CONTENT_LENGTH"], "5"
        )
        self.assertEqual(
            self.environ_of(**body, CONTENT_LENGTH="3")["CONTENT_LENGTH"], "3"
        )

    def test_server_keys_are_ours(self) -> None:
        environ = self.environ_of(**{"wsgi.multithread": True, "my.key": "ä"})
        self.assertIs(environ["wsgi.multithread"], False)
        self.assertEqual(environ["my.key"], "ä")


class ResponseTest(Case):
    def respond(self, *items: Any, status: Any = "200 OK", headers: Any = ()) -> Any:
        body = Body(*items)

        def app(environ: Any, start_response: Any) -> Body:
            start_response(status, list(headers))
            returned.append(body)
            return body

        returned: List[Body] = []
        try:
            return self.run_app(app)
        finally:
            self.assertEqual([body.closed for body in returned], [1] * len(returned))

    def test_bodies(self) -> None:
        self.assertEqual(self.respond(), (200, [], b""))
        self.assertEqual(self.respond(b"a", b"", b"b"), (200, [], b"ab"))

    def test_headers(self) -> None:
        headers = [("X-A", "ä\xff"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
        _, got, _ = self.respond(headers=headers)
        expected = [
            (b"X-A", b"\xe4\xff"),
            (b"Set-Cookie", b"a=1"),
            (b"Set-Cookie", b"b=2"),
        ]
        self.assertEqual(got, expected)

    def test_status(self) -> None:
        for line, code in (
            ("200 OK", 200),
            ("404 Not Found", 404),
            ("299 ", 299),
            ("418 I'm a teapot", 418),
        ):
            self.assertEqual(self.respond(status=line)[0], code)
        for line in ("200", "20 OK", "OK 200", "2000 OK", "200\tOK", "200 O\nK", ""):
            with self.subTest(line), self.assertRaisesRegex(ValueError, "three digits"):
                self.respond(status=line)
        for other in (200, b"200 OK", None, http.HTTPStatus.OK):
            with self.assertRaisesRegex(TypeError, "a status must be a str"):
                self.respond(status=other)

    def test_bad_headers(self) -> None:
        for error, text, header in (
            (ValueError, "'Connection' is for the server", ("Connection", "close")),
            (ValueError, "hop by hop", ("transfer-encoding", "chunked")),
            (TypeError, "made of str, not bytes", (b"a", "b")),
            (TypeError, "made of str, not int", ("a", 7)),
            (TypeError, "a name and a value, not 7", 7),
            (ValueError, "not in latin-1", ("a", "€")),
            (ValueError, "line break", ("a", "b\nc: d")),
            (ValueError, "not the name of a header", ("a:", "b")),
        ):
            with self.subTest(text), self.assertRaisesRegex(error, text):
                self.respond(headers=[header])

    def test_closed_in_any_case(self) -> None:
        for error, item in (
            (TypeError, "text"),
            (LookupError, LookupError()),
            (KeyboardInterrupt, KeyboardInterrupt()),
        ):
            with self.assertRaises(error):
                self.respond(b"a", item)

    def test_generators_are_closed(self) -> None:
        log: List[str] = []

        def app(environ: Any, start_response: Any) -> Iterator[Any]:
            try:
                start_response("200 OK", [])
                yield b"a"
                yield None
            finally:
                log.append("closed")

        with self.assertRaisesRegex(TypeError, "must be bytes, not NoneType"):
            self.run_app(app)
        self.assertEqual(log, ["closed"])

    def test_other_bodies(self) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            return self.body

        for body, text in (
            ("text", "must be bytes, not str"),
            (b"bytes", "must be bytes, not int"),
            (None, "returned None"),
            (7, "not iterable"),
        ):
            self.body = body
            with self.subTest(text), self.assertRaisesRegex(TypeError, text):
                self.run_app(app)

    def test_larger_than_a_frame(self) -> None:
        with mock.patch.object(_bridge, "_max_frame", lambda: 12):
            with self.assertRaisesRegex(ValueError, "max_frame, 12 bytes"):
                self.respond(b"1234567", b"1234567")


class StartTest(Case):
    def test_never(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "never called start_response"):
            self.run_app(lambda environ, start_response: [])
        with self.assertRaisesRegex(RuntimeError, "came before start_response"):
            self.run_app(lambda environ, start_response: [b"a"])

    def test_in_the_first_iteration(self) -> None:
        def app(environ: Any, start_response: Any) -> Iterator[bytes]:
            start_response("201 Created", [])
            yield b"a"

        self.assertEqual(self.run_app(app), (201, [], b"a"))

    def test_write(self) -> None:
        def app(environ: Any, start_response: Any) -> List[bytes]:
            write = start_response("200 OK", [])
            write(b"a")
            write(b"b")
            return [b"c"]

        self.assertEqual(self.run_app(app), (200, [], b"abc"))

    def test_twice(self) -> None:
        def app(environ: Any, start_response: Any) -> List[bytes]:
            start_response("200 OK", [])
            start_response("500 Oops", [])
            return []

        with self.assertRaisesRegex(RuntimeError, "called twice, without exc_info"):
            self.run_app(app)

    def failing(self, *before: bytes) -> Any:
        def app(environ: Any, start_response: Any) -> List[bytes]:
            write = start_response("200 OK", [("a", "b")])
            for data in before:
                write(data)
            try:
                raise LookupError("within")
            except LookupError:
                start_response("500 Oops", [("c", "d")], sys.exc_info())
                return [b"sorry"]

        return self.run_app(app)

    def test_error_before_the_body(self) -> None:
        expected = (500, [(b"c", b"d")], b"sorry")
        self.assertEqual(self.failing(), expected)
        self.assertEqual(self.failing(b""), expected)

    def test_error_in_the_body(self) -> None:
        with self.assertRaisesRegex(LookupError, "within"):
            self.failing(b"begun")


class ValidatorTest(Case):
    """The standard library's own idea of what a server must do."""

    def setUp(self) -> None:
        super().setUp()
        catch = warnings.catch_warnings()
        catch.__enter__()
        self.addCleanup(catch.__exit__, None, None, None)
        warnings.simplefilter("error")

    def test_demo_app(self) -> None:
        app = wsgiref.validate.validator(wsgiref.simple_server.demo_app)
        status, headers, body = self.run_app(app)
        self.assertEqual(status, 200)
        self.assertEqual(headers, [(b"Content-Type", b"text/plain; charset=utf-8")])
        self.assertTrue(body.startswith(b"Hello world!"))

    def test_echo(self) -> None:
        def echo(environ: Any, start_response: Any) -> List[bytes]:
            lines = environ["wsgi.input"]
            data = lines.readline() + lines.read(3) + b"".join(lines.readlines())
            environ["wsgi.errors"].write("")
            environ["wsgi.errors"].flush()
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            write(data)
            return [environ["PATH_INFO"].encode("latin-1")]

        given: Dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/ä",
            "HTTP_X": b"\xff",
            "wsgi.input": b"one\ntwo\nthree\n",
        }
        app = wsgiref.validate.validator(echo)
        _, _, body = self.run_app(app, **given)
        self.assertEqual(body, b"one\ntwo\nthree\n/" + "ä".encode())


class RunnerTest(Case):
    def test_runner(self) -> None:
        def run_wsgi(module: str, name: str, environ: Dict[str, Any]) -> Any:
            self.assertEqual((module, name), ("app_module", "app"))
            self.assertEqual(environ["wsgi.input"].read(), b"12")
            return "202 Accepted", [("a", "b")], environ["PATH_INFO"]

        self.module.run_wsgi = run_wsgi
        given = {"wsgi.input": b"12"}
        answer = _wsgi.run("app_module", "app", given, "the_web_app")
        self.assertEqual(answer, (202, [(b"a", b"b")], b"/"))

    def test_no_runner(self) -> None:
        with self.assertRaisesRegex(AttributeError, "run_wsgi"):
            _wsgi.run("app_module", "app", {}, "the_web_app")


if __name__ == "__main__":
    unittest.main()
