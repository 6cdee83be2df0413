# SPDX-License-Identifier: Apache-2.0
"""An ASGI application's side of a request: what it receives and sends.

The answer is there when the response is complete.  The application may go on
after that, as it may behind a server; what it raises then is logged.
"""

import asyncio
from typing import Any, Awaitable, Dict, List, Optional, Set, cast

from erlang import _web

GRACE = 1.0
"""Seconds for an application that reads http.disconnect to act upon it."""

_going_on: "Set[asyncio.Task[None]]" = set()
"""Applications; asyncio itself does not hold on to tasks."""


class Disconnected(OSError):
    """Raised by send: nobody waits for the response any more."""


class Exchange:
    """A request and its response, between an application and who asked."""

    def __init__(self, chunks: List[bytes]) -> None:
        self.chunks = chunks or [b""]
        self.given = 0
        self.status: Optional[int] = None
        self.headers: List[_web.Header] = []
        self.body: List[bytes] = []
        self.size = 0
        self.complete = False
        self.gone = False
        """Nobody waits for the response any more."""
        self.listeners = 0
        self.closed = asyncio.Event()
        """The response is complete, or nobody waits for it."""
        self.answered: "asyncio.Future[None]"
        self.answered = asyncio.get_running_loop().create_future()

    async def run(self, app: Any, scope: Dict[str, Any]) -> _web.Response:
        """Call the application, until its response is complete."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._call(app, scope))
        _going_on.add(task)
        task.add_done_callback(self._ended)
        try:
            await self.answered
        except asyncio.CancelledError:
            self._leave(task)
            raise
        return cast(int, self.status), self.headers, b"".join(self.body)

    async def _call(self, app: Any, scope: Dict[str, Any]) -> None:
        result = app(scope, self.receive, self.send)
        if not isinstance(result, Awaitable):
            kind = type(result).__name__
            raise TypeError(f"the application returned {kind}, which can't be awaited")
        await result

    def _leave(self, task: "asyncio.Task[None]") -> None:
        """Who reads http.disconnect has a moment to act upon it."""
        self.gone = True
        self.closed.set()
        if self.answered.done() and not self.answered.cancelled():
            self.answered.exception()  # it came too late to be told
        if self.listeners == 0:
            task.cancel()
        elif not task.done():
            timer = task.get_loop().call_later(GRACE, task.cancel)
            task.add_done_callback(lambda _: timer.cancel())

    def _ended(self, task: "asyncio.Task[None]") -> None:
        _going_on.discard(task)
        error = None if task.cancelled() else task.exception()
        if self.gone:
            return
        if self.complete:
            self._went_on(error)
        elif task.cancelled():
            self.answered.cancel()
        else:
            self.answered.set_exception(error or RuntimeError(self._missing()))

    def _missing(self) -> str:
        if self.status is None:
            return "the application ended and sent no response"
        return "the application ended before its response was complete"

    def _went_on(self, error: Optional[BaseException]) -> None:
        if error is not None:
            message = "an ASGI application failed after its response"
            context = {"message": message, "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    async def receive(self) -> Dict[str, Any]:
        """Give the next message to the application."""
        if self.given < len(self.chunks) and not self.closed.is_set():
            body = self.chunks[self.given]
            self.given += 1
            more = self.given < len(self.chunks)
            return {"type": "http.request", "body": body, "more_body": more}
        self.listeners += 1
        try:
            await self.closed.wait()
        finally:
            self.listeners -= 1
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take a message of the application."""
        if self.gone:
            raise Disconnected("nobody waits for the response any more")
        if self.complete:
            return  # to be ignored, says the specification
        if not isinstance(message, dict):
            raise TypeError(f"a message is a dict, not {type(message).__name__}")
        kind = message.get("type")
        if kind == "http.response.body":
            if self._take_body(message):
                await asyncio.sleep(0)  # others' turn, and that of being cancelled
        elif kind == "http.response.start":
            self._start(message)
        else:
            raise ValueError(f"a message of type {kind!r} can't be sent here")

    def _start(self, message: Dict[str, Any]) -> None:
        if self.status is not None:
            raise RuntimeError("http.response.start was sent twice")
        if message.get("trailers"):
            raise ValueError("a response with trailers can't be sent here")
        if "status" not in message:
            raise ValueError("http.response.start has no status")
        code = _web.status(message["status"])
        headers = _web.pairs(message.get("headers", ()))
        self.headers = [_web.header(name, value) for name, value in headers]
        self.status = code

    def _take_body(self, message: Dict[str, Any]) -> bool:
        """Return whether there will be more."""
        if self.status is None:
            raise RuntimeError("http.response.body was sent before http.response.start")
        data = message.get("body", b"")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            kind = type(data).__name__
            raise TypeError(f"the body of a response must be bytes, not {kind}")
        if data:
            self.body.append(bytes(data))
            self.size += len(self.body[-1])
            _web.check_size(self.size)
        if message.get("more_body", False):
            return True
        self.complete = True
        self.closed.set()
        self.answered.set_result(None)
        return False
