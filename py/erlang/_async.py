# SPDX-License-Identifier: Apache-2.0
"""Erlang functions awaited by coroutines.

Whoever awaits has asyncio already; everybody else would wait for its import,
which does not stand being interrupted by a timeout: it fails for good then.
"""

import weakref
from typing import TYPE_CHECKING, Any, Callable, MutableMapping

from erlang import _bridge

if TYPE_CHECKING:
    import asyncio

_waiting: "MutableMapping[asyncio.AbstractEventLoop, int]" = weakref.WeakKeyDictionary()
"""How many calls of each loop are under way."""


def _enter(loop: "asyncio.AbstractEventLoop") -> None:
    _waiting[loop] = _waiting.get(loop, 0) + 1
    if _waiting[loop] == 1:
        loop.add_reader(_bridge._fileno(), _bridge._pump)


def _leave(loop: "asyncio.AbstractEventLoop") -> None:
    _waiting[loop] -= 1
    if _waiting[loop] == 0 and not loop.is_closed():
        loop.remove_reader(_bridge._fileno())


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
    its own.
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
