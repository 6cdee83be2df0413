# SPDX-License-Identifier: Apache-2.0
"""What py_asgi and py_wsgi share: how an application is found, and what a
response is: status, headers and body, all bytes."""

import importlib
import re
from typing import Any, Iterable, List, Mapping, Tuple

from erlang import _bridge

Header = Tuple[bytes, bytes]
Response = Tuple[int, List[Header], bytes]

_NO_HEADER = re.compile(rb"[\r\n\0]")
_NO_NAME = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]")


def find(module: str, name: str) -> Any:
    """Return what a module, which is imported, has under this name with dots."""
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def application(module: str, name: str) -> Any:
    """Return the application, or say that it is none."""
    found = find(module, name)
    if not callable(found):
        kind = type(found).__name__
        raise TypeError(f"{module}.{name} is no application: {kind} is not callable")
    return found


def status(code: Any) -> int:
    """Check a status; it may be one of http.HTTPStatus."""
    if not isinstance(code, int) or isinstance(code, bool):
        raise TypeError(f"a status must be an int, not {type(code).__name__}")
    if not 100 <= code <= 999:
        raise ValueError(f"a status has three digits, {code} has not")
    return int(code)


def header(name: Any, value: Any) -> Header:
    """Check a header: who sends it must be able to, and it must stay one."""
    if not isinstance(name, bytes):
        raise TypeError(
            f"a header's name must be bytes, not {type(name).__name__}: {name!r}"
        )
    if not isinstance(value, bytes):
        raise TypeError(
            f"the value of header {name!r} must be bytes, not {type(value).__name__}"
        )
    if not name or _NO_NAME.search(name):
        raise ValueError(f"{name!r} is not the name of a header")
    if _NO_HEADER.search(value):
        raise ValueError(f"the value of header {name!r} has a line break or NUL")
    return name, value


def pairs(headers: Any) -> Iterable[Tuple[Any, Any]]:
    """Return names with values, or say what is no such pair."""
    for item in headers:
        try:
            name, value = item
        except (TypeError, ValueError):
            raise TypeError(f"a header is a name and a value, not {item!r}") from None
        yield name, value


def check_size(size: int) -> None:
    """Refuse a body that could not be answered, before it fills the memory."""
    most = _bridge._max_frame()
    if size > most:
        raise _bridge.EncodeError(
            f"the response is larger than max_frame, {most} bytes"
        )


def _plain(value: Any) -> Any:
    return value.encode("latin-1") if isinstance(value, str) else value


def _status_of(code: Any) -> int:
    """Return the number, also of a line as WSGI has it."""
    if isinstance(code, str) and re.fullmatch(r"\d\d\d( .*)?", code):
        return status(int(code[:3]))
    return status(code)


def answer(result: Any) -> Response:
    """Make a response of what a runner returns."""
    if isinstance(result, Mapping):
        result = (
            result.get("status"),
            result.get("headers", ()),
            result.get("body", b""),
        )
    try:
        code, headers, body = result
    except (TypeError, ValueError):
        kind = type(result).__name__
        raise TypeError(
            f"a runner returns (status, headers, body) or a dict of these, not {kind}"
        ) from None
    if isinstance(headers, Mapping):
        headers = headers.items()
    checked = [header(_plain(n), _plain(v)) for n, v in pairs(headers)]
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise TypeError(f"a runner's body must be bytes, not {type(body).__name__}")
    return _status_of(code), checked, bytes(body)
