# SPDX-License-Identifier: Apache-2.0
"""Runs WSGI applications (PEP 3333) for py_wsgi: a request each, as a call."""

import io
import re
import sys
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, Type
from wsgiref.util import is_hop_by_hop

from erlang import _web

_ExcInfo = Tuple[Type[BaseException], BaseException, Optional[TracebackType]]

_DEFAULTS = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.url_scheme": "http",
}


def _native(value: Any) -> Any:
    """Make the str that PEP 3333 wants: each byte a character."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode().decode("latin-1")
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _environ(given: Dict[str, Any]) -> Dict[str, Any]:
    environ: Dict[str, Any] = dict(_DEFAULTS)
    for key, value in given.items():
        environ[key] = value if "." in key else _native(value)
    body = environ.pop("wsgi.input", b"")
    if body and not environ.get("CONTENT_LENGTH"):
        environ["CONTENT_LENGTH"] = str(len(body))
    # One request at a time in this process, while others serve as well.
    environ.update(
        {
            "wsgi.version": (1, 0),
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
    )
    return environ


def _status(line: Any) -> int:
    if not isinstance(line, str):
        raise TypeError(f"a status must be a str, not {type(line).__name__}")
    if not re.fullmatch(r"[1-9][0-9][0-9] [^\0-\x1f\x7f]*", line):
        raise ValueError(f"a status is three digits, a space and a reason: {line!r}")
    return _web.status(int(line[:3]))


def _header(name: Any, value: Any) -> _web.Header:
    for text in (name, value):
        if not isinstance(text, str):
            kind = type(text).__name__
            raise TypeError(f"a header is made of str, not {kind}: {name!r}, {value!r}")
    if is_hop_by_hop(name):
        raise ValueError(f"header {name!r} is for the server to send (hop by hop)")
    try:
        return _web.header(name.encode("latin-1"), value.encode("latin-1"))
    except UnicodeEncodeError:
        raise ValueError(f"header {name!r} is not in latin-1: {value!r}") from None


class Response:
    """What an application makes, piece by piece."""

    def __init__(self) -> None:
        self.status: Optional[int] = None
        self.headers: List[_web.Header] = []
        self.body: List[bytes] = []
        self.size = 0

    def start(
        self, status: str, headers: Any, exc_info: Optional[_ExcInfo] = None
    ) -> Callable[[bytes], None]:
        """Begin the response: PEP 3333's start_response."""
        try:
            if exc_info is not None and self.body:  # too late for another one
                raise exc_info[1].with_traceback(exc_info[2])
        finally:
            given, exc_info = exc_info is not None, None
        if self.status is not None and not given:
            raise RuntimeError("start_response was called twice, without exc_info")
        code = _status(status)
        self.headers = [_header(name, value) for name, value in _web.pairs(headers)]
        self.status = code
        return self.write

    def write(self, data: Any) -> None:
        """Add to the body."""
        if self.status is None:
            raise RuntimeError("the body came before start_response was called")
        if not isinstance(data, bytes):
            kind = type(data).__name__
            raise TypeError(f"the body of a response must be bytes, not {kind}")
        if data:
            self.body.append(data)
            self.size += len(data)
            _web.check_size(self.size)

    def run(self, app: Any, environ: Dict[str, Any]) -> _web.Response:
        """Call the application, and close what it returns."""
        result: Optional[Iterable[bytes]] = None
        try:
            result = app(environ, self.start)
            if result is None:
                raise TypeError("the application returned None in place of a body")
            for data in result:
                self.write(data)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        if self.status is None:
            raise RuntimeError("the application ended and never called start_response")
        return self.status, self.headers, b"".join(self.body)


def run(
    module: str, name: str, given: Dict[str, Any], runner: Optional[str] = None
) -> _web.Response:
    """Run an application for one request."""
    environ = _environ(given)
    if runner is not None:
        run_wsgi = _web.find(runner, "run_wsgi")
        return _web.answer(run_wsgi(module, name, environ))
    return Response().run(_web.application(module, name), environ)
