# SPDX-License-Identifier: Apache-2.0
"""Coroutines started from Python, and the loops that run them.

asyncio is imported only where it is used (see _async.py).
"""

import sys
import time
from typing import TYPE_CHECKING, Any, Coroutine, Optional, Union

from erlang import _loop

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures

    from erlang._event_loop import ErlangEventLoop, EventLoopPolicy


def run(main: Coroutine[Any, Any, Any], *, debug: Optional[bool] = None) -> Any:
    """Run a coroutine to its end and return its value, as asyncio.run does.

    The loop is an ErlangEventLoop of its own.
    """
    from erlang import _event_loop

    return _event_loop.run(main, debug)


def new_event_loop() -> "ErlangEventLoop":
    """Make an event loop, for asyncio.run(main, loop_factory=new_event_loop)."""
    from erlang import _event_loop

    return _event_loop.ErlangEventLoop()


def get_event_loop_policy() -> "EventLoopPolicy":
    """Make a policy, for asyncio.set_event_loop_policy()."""
    from erlang import _event_loop

    return _event_loop.EventLoopPolicy()


def install() -> None:
    """Let asyncio make such loops from now on, also in asyncio.run()."""
    from erlang import _event_loop

    _event_loop.install()


def _in_a_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def spawn_task(
    coro: Coroutine[Any, Any, Any],
) -> "Union[asyncio.Task[Any], concurrent.futures.Future[Any]]":
    """Start a coroutine and do not wait for it.

    In a coroutine it becomes a task of the running loop, elsewhere one of the
    context's own event loop, which goes on when the request has ended; then the
    future that is returned is one of concurrent.futures.
    """
    if _in_a_loop():
        import asyncio

        return asyncio.get_running_loop().create_task(coro)
    return _loop.spawn(coro)


def sleep(seconds: float) -> Optional[Coroutine[Any, Any, None]]:
    """Sleep: `await sleep(s)` in a coroutine, `sleep(s)` elsewhere."""
    if _in_a_loop():
        import asyncio

        return asyncio.sleep(seconds)
    time.sleep(seconds)
    return None
