# SPDX-License-Identifier: Apache-2.0
"""asyncio's event loop, under the names by which other loops are installed.

A helper is a process with descriptors, signals and children of its own, so its
loop is the one of the standard library: epoll, and timers of Python.  It knows
of Erlang what awaits Erlang: async_call and channels have it read what the VM
writes, for as long as somebody waits for that (_async.py).

Imported where a loop is used, and not with the package (see _async.py).
"""

import asyncio
import selectors
import sys
import warnings
from typing import TYPE_CHECKING, Any, Coroutine, Dict, Hashable, Optional, Protocol


class Lasting(Protocol):
    """What lives as long as its loop, and is told when that is to be stopped."""

    task: "asyncio.Task[None]"

    async def end(self) -> None:
        """End it; returns when it has."""


class ErlangEventLoop(asyncio.SelectorEventLoop):
    """The loop of a helper, over epoll.

    All of asyncio is there: sockets, pipes, subprocesses, and in the main
    thread signals.
    """

    def __init__(self, selector: Optional[selectors.BaseSelector] = None) -> None:
        super().__init__(selector or selectors.EpollSelector())
        self.lasting: Dict[Hashable, Lasting] = {}


def _policy_class() -> Any:
    """Return asyncio's own policy, of which Python 3.14 warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return getattr(asyncio, "DefaultEventLoopPolicy")


if TYPE_CHECKING:
    _Policy = asyncio.DefaultEventLoopPolicy
else:
    _Policy = _policy_class()


class EventLoopPolicy(_Policy):
    """asyncio's policy, with loops of this kind."""

    def _loop_factory(self) -> asyncio.AbstractEventLoop:
        return ErlangEventLoop()


def install() -> None:
    """Let asyncio make its loops here, by its policy.

    Python 3.14 calls policies deprecated, and so does this then: erlang.run and
    asyncio.Runner(loop_factory=erlang.new_event_loop) need none.
    """
    if sys.version_info >= (3, 14):
        warnings.warn(
            "event loop policies are deprecated: use erlang.run(main), or "
            "asyncio.run(main, loop_factory=erlang.new_event_loop)",
            DeprecationWarning,
            stacklevel=3,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(EventLoopPolicy())


def _run_before_runner(main: Coroutine[Any, Any, Any], debug: Optional[bool]) -> Any:
    """Do what asyncio.run of Python 3.10 does, with our loop."""
    loop = ErlangEventLoop()
    try:
        asyncio.set_event_loop(loop)
        if debug is not None:
            loop.set_debug(debug)
        return loop.run_until_complete(main)
    finally:
        try:
            getattr(asyncio.runners, "_cancel_all_tasks")(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def run(main: Coroutine[Any, Any, Any], debug: Optional[bool]) -> Any:
    """Run a coroutine on a loop of its own."""
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("erlang.run() can not be called from a running event loop")
    if sys.version_info >= (3, 11):
        with asyncio.Runner(debug=debug, loop_factory=ErlangEventLoop) as runner:
            return runner.run(main)
    if not asyncio.iscoroutine(main):
        raise ValueError(f"a coroutine was expected, got {main!r}")
    return _run_before_runner(main, debug)
