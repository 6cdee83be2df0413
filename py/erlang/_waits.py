# SPDX-License-Identifier: Apache-2.0
"""Calls of this library's own services, also such as wait.

A wait is given a token, by which it is ended early: when an exception comes
from elsewhere (an interrupt), or when the coroutine that awaits it is
cancelled.  So nobody in Erlang waits for what nobody wants.
"""

import itertools
from typing import TYPE_CHECKING, Any, Callable, Optional, Tuple

from erlang import _bridge
from erlang._async import _enter, _leave

if TYPE_CHECKING:
    import asyncio

Service = Tuple[str, str]

_tokens = itertools.count(1)


def ask(service: Service, *args: Any) -> Any:
    """Call a service that does not wait."""
    return _bridge.call(service, args, {})


def milliseconds(timeout: Optional[float]) -> Optional[int]:
    """Return what services take: None means for ever."""
    if timeout is None:
        return None
    if not timeout >= 0:
        raise ValueError(f"a timeout is None or not negative, not {timeout!r}")
    return min(int(timeout * 1000 + 0.999), 0xFFFFFFFF)


def _nothing(error: Any, value: Any) -> None:
    """Nobody wants the answer."""


def tell(service: Service, *args: Any) -> None:
    """Call a service without waiting for what comes of it."""
    _bridge._begin_call(service, args, {}, _nothing)


def new_token() -> int:
    """Return a token that no other wait of this process has."""
    return next(_tokens)


def wait(service: Service, *args: Any) -> Any:
    """Call a service that waits; its last argument is the token."""
    return wait_as(next(_tokens), service, *args)


def wait_as(token: int, service: Service, *args: Any) -> Any:
    """Do the same with this token."""
    try:
        return _bridge.call(service, (*args, token), {})
    except BaseException as error:
        if not isinstance(error, Exception):  # an interrupt
            tell(("wait", "cancel"), token)
        raise


def _settler(
    loop: "asyncio.AbstractEventLoop",
    future: "asyncio.Future[Any]",
    late: Callable[[Any], None],
) -> Callable[[Any, Any], None]:
    """Return what takes the answer, in whichever thread reads it."""

    def settle(error: Any, value: Any) -> None:
        if not future.done():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)
        elif error is None:
            late(value)

    def there(error: Any, value: Any) -> None:
        if not future.cancelled() and not loop.is_closed():
            loop.call_soon_threadsafe(settle, error, value)
        elif error is None:
            late(value)

    return there


async def wait_async(
    service: Service,
    *args: Any,
    late: Callable[[Any], None] = lambda value: None,
    token: Optional[int] = None,
) -> Any:
    """Do the same for a coroutine.

    late takes an answer that comes when the coroutine was cancelled.
    """
    import asyncio  # as _async: only where a coroutine waits

    loop = asyncio.get_running_loop()
    future: "asyncio.Future[Any]" = loop.create_future()
    token = next(_tokens) if token is None else token
    _enter(loop)
    try:
        there = _settler(loop, future, late)
        _bridge._begin_call(service, (*args, token), {}, there)
        return await future
    except asyncio.CancelledError:
        if future.cancelled() or not future.done():
            tell(("wait", "cancel"), token)
        elif future.exception() is None:
            late(future.result())
        raise
    finally:
        _leave(loop)
