# SPDX-License-Identifier: Apache-2.0
"""Runs ASGI applications for py_asgi: a request each, on the context's loop.

What is here is imported, and `run` called, in the main thread; its body, and so
the import of asyncio, of the application and of the rest, is for the loop's
thread (see _loop.py).
"""

from typing import Any, Awaitable, Dict, List, Optional

from erlang import _web

_DEFAULTS: Dict[str, Any] = {
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "raw_path": None,
    "query_string": b"",
    "root_path": "",
    "headers": (),
    "client": None,
    "server": None,
}

_VERSIONS = {"version": "3.0", "spec_version": "2.4"}


def _text(value: Any) -> Any:
    """A path that is no UTF-8 comes as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _scope(given: Dict[str, Any]) -> Dict[str, Any]:
    scope: Dict[str, Any] = {"type": "http", **_DEFAULTS, **given}
    scope["asgi"] = {**_VERSIONS, **given.get("asgi", {})}
    scope["method"] = scope["method"].upper()
    scope["path"] = _text(scope["path"])
    scope["root_path"] = _text(scope["root_path"])
    scope["headers"] = [(name.lower(), value) for name, value in scope["headers"]]
    return scope


async def _other(
    runner: str, module: str, name: str, scope: Dict[str, Any], chunks: List[bytes]
) -> _web.Response:
    """Let another module do it."""
    run_asgi = _web.find(runner, "run_asgi")
    result = run_asgi(module, name, scope, b"".join(chunks))
    if isinstance(result, Awaitable):
        result = await result
    return _web.answer(result)


async def run(
    module: str,
    name: str,
    given: Dict[str, Any],
    chunks: List[bytes],
    runner: Optional[str] = None,
) -> _web.Response:
    """Run an application for one request."""
    from erlang import _exchange, _lifespan

    scope = _scope(given)
    if runner is not None:
        return await _other(runner, module, name, scope, chunks)
    app = _web.application(module, name)
    state = await _lifespan.started((module, name), app)
    scope["state"] = {**state, **given.get("state", {})}
    return await _exchange.Exchange(chunks).run(app, scope)
