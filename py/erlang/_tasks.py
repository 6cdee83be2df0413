# SPDX-License-Identifier: Apache-2.0
"""Coroutines started from Python.

asyncio is imported only where it is used (see _async.py).
"""

import sys
import time
from typing import TYPE_CHECKING, Any, Coroutine, Optional, Union

from erlang import _loop

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures


def run(main: Coroutine[Any, Any, Any], *, debug: Optional[bool] = None) -> Any:
    """Run a coroutine to its end and return its value, as asyncio.run does."""
    import asyncio

    return asyncio.run(main, debug=debug)


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
    loop = _loop.get().loop  # has imported asyncio
    import asyncio

    return asyncio.run_coroutine_threadsafe(coro, loop)


def sleep(seconds: float) -> Optional[Coroutine[Any, Any, None]]:
    """Sleep: `await sleep(s)` in a coroutine, `sleep(s)` elsewhere."""
    if _in_a_loop():
        import asyncio

        return asyncio.sleep(seconds)
    time.sleep(seconds)
    return None
