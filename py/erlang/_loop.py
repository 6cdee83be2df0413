# SPDX-License-Identifier: Apache-2.0
"""The event loop of a context, as those who need it find it.

It is made, and asyncio imported, in its own thread (_loop_thread.py): there no
timeout interrupts the import, after which it would fail for good.  It begins
with the first coroutine, or when Erlang says so, and may be stopped; the next
coroutine then gets a fresh one.

Whoever hands something over holds the lock meanwhile, and so does who stops the
loop: what was handed over is seen by the loop before its end is.  It may be
taken again by the thread that holds it: a destructor or a signal's handler runs
anywhere, and may hand something over as well.
"""

import threading
from typing import TYPE_CHECKING, Any, Awaitable, Coroutine, Optional

if TYPE_CHECKING:
    import concurrent.futures

    from erlang._loop_thread import Loop

_lock = threading.RLock()
_starting: "Optional[_Start]" = None
_loop: "Optional[Loop]" = None


class _Start:
    """The thread of a loop, and the loop once it is made."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.loop: "Optional[Loop]" = None
        self.thread = threading.Thread(
            target=self._serve, name="erlang event loop", daemon=True
        )

    def _serve(self) -> None:
        try:
            from erlang._loop_thread import Loop

            self.loop = Loop(threading.current_thread())
        finally:
            self.ready.set()
        self.loop.serve()

    def wait(self) -> "Loop":
        """Begin, if it has not; an interrupt may have come between."""
        if self.thread.ident is None:
            self.thread.start()
        self.ready.wait()
        if self.loop is None:
            raise RuntimeError("the event loop of the context could not be started")
        return self.loop


def _get() -> "Loop":
    """Return the loop, started if need be; the lock is held."""
    global _loop, _starting
    if _loop is None:
        if _starting is None or _starting.ready.is_set() and _starting.loop is None:
            _starting = _Start()
        _loop = _starting.wait()
        _starting = None
    return _loop


def start(number: int, awaitable: Awaitable[Any]) -> None:
    """Await this for the request with that number (c_src/helper/detached.c)."""
    with _lock:
        _get().begin(number, awaitable)


def spawn(coro: Coroutine[Any, Any, Any]) -> "concurrent.futures.Future[Any]":
    """Run a coroutine on the loop; nobody has to wait for it."""
    with _lock:
        return _get().spawn(coro)


def open(debug: Optional[bool]) -> None:
    """Start the loop, and set asyncio's debug mode; for Erlang's start_loop."""
    with _lock:
        loop = _get()
        if debug is not None:
            loop.set_debug(debug)


def close(seconds: float) -> bool:
    """Cancel what runs on the loop and end it; for Erlang's stop_loop.

    False: something blocks its thread.  Then it is given up, and who waited for
    it is told.
    """
    global _loop
    with _lock:
        loop, _loop = _loop, None
    return loop is None or loop.end(seconds)
