# SPDX-License-Identifier: Apache-2.0
"""Erlang functions awaited by coroutines.

Whoever awaits has asyncio already; everybody else would wait for its import,
which does not stand being interrupted by a timeout: it fails for good then.
"""

import weakref
from typing import TYPE_CHECKING, Any, Callable, MutableMapping, Tuple

from erlang import _bridge

if TYPE_CHECKING:
    import asyncio

_Waiting = Tuple[int, Tuple[int, ...]]

_waiting: "MutableMapping[asyncio.AbstractEventLoop, _Waiting]"
_waiting = weakref.WeakKeyDictionary()
"""How many calls of each loop are under way, and what it reads for them."""


def _enter(loop: "asyncio.AbstractEventLoop") -> None:
    count, fds = _waiting.get(loop) or (0, _bridge._filenos())
    if count == 0:
        for fd in fds:
            loop.add_reader(fd, _bridge._pump)
    _waiting[loop] = count + 1, fds


def _leave(loop: "asyncio.AbstractEventLoop") -> None:
    count, fds = _waiting[loop]
    if count > 1:
        _waiting[loop] = count - 1, fds
        return
    del _waiting[loop]
    if not loop.is_closed():
        for fd in fds:
            loop.remove_reader(fd)


def _settle(future: "asyncio.Future[Any]", error: Any, value: Any) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)


def _settler(
    loop: "asyncio.AbstractEventLoop", future: "asyncio.Future[Any]"
) -> Callable[[Any, Any], None]:
    def there(error: Any, value: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, future, error, value)

    return there


async def async_call(name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call the Erlang function that is registered under this name.

    Other coroutines run meanwhile.  The function runs in an Erlang process of
    its own.  If it calls this context, and the loop is that of the main thread,
    that call is run by the loop, as a callback.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    future: "asyncio.Future[Any]" = loop.create_future()
    _enter(loop)
    try:
        _bridge._begin_call(name, args, kwargs, _settler(loop, future))
        return await future
    finally:
        _leave(loop)
