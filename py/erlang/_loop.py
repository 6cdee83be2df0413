# SPDX-License-Identifier: Apache-2.0
"""The event loop of a context, as those who need it find it.

It is made, and asyncio imported, in its own thread (_loop_thread.py): there no
timeout interrupts the import, after which it would fail for good.
"""

import threading
from typing import TYPE_CHECKING, Any, Awaitable, Optional

if TYPE_CHECKING:
    from erlang._loop_thread import Loop

_lock = threading.Lock()
_thread: Optional[threading.Thread] = None
_ready = threading.Event()
_loop: "Optional[Loop]" = None


def _serve() -> None:
    global _loop
    try:
        from erlang._loop_thread import Loop

        _loop = Loop(threading.current_thread())
    finally:
        _ready.set()
    _loop.serve()


def get() -> "Loop":
    """Return the event loop of this context; start its thread if need be."""
    global _thread
    if _loop is None:
        with _lock:
            if _thread is None:
                _thread = threading.Thread(
                    target=_serve, name="erlang event loop", daemon=True
                )
            if _thread.ident is None:
                _thread.start()
        _ready.wait()
    if _loop is None:
        raise RuntimeError("the event loop of the context could not be started")
    return _loop


def start(number: int, awaitable: Awaitable[Any]) -> None:
    """Await this for the request with that number (c_src/helper/detached.c)."""
    get().begin(number, awaitable)
