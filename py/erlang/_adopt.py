# SPDX-License-Identifier: Apache-2.0
"""Descriptors that Erlang hands over (erl/context/value/py_fd.erl).

adopt() takes one and says what became of it; whatever it raises, or if it answers
anything but "taken", nothing here has the descriptor any more.  When Erlang does
not get to know the answer, forget() makes sure of the same.
"""

import collections
import importlib
import inspect
import os
import traceback
from typing import Any, Callable, Deque, Dict, List, Optional, Set, Tuple, cast

from erlang import _bridge, _connection, _keeper

_under_way: Set[int] = set()
_forgotten: Set[int] = set()
"""Tokens of adopt() that runs, and those of them that were given up."""

_recent: "Deque[Handled]" = collections.deque(maxlen=64)
"""Of what does not say whether it lives: no more are in doubt at once."""

Target = Optional[Tuple[str, str, str]]
"""Of what kind, module, function."""


class Handled:
    """What a handler has made of a descriptor: a transport, a server."""

    def __init__(self, loop: Any, thing: Any, token: int) -> None:
        self.loop, self.thing, self.token = loop, thing, token
        self.counts = hasattr(thing, "is_closing")

    def alive(self) -> bool:
        """Is it open, as far as it says so?"""
        if self.counts:
            return not self.thing.is_closing()
        return hasattr(self.thing, "is_serving") and bool(self.thing.is_serving())

    def close(self) -> None:
        """Close it; a transport at once."""
        end = getattr(self.thing, "abort", None) or getattr(self.thing, "close", None)
        if end is not None:
            end()


async def adopt(
    token: int, info: Dict[Any, Any], limit: Optional[int], target: Target
) -> str:
    """Take the descriptor that came under this token, and let it be served."""
    try:
        fd = _bridge._passed(token)
    except OSError:
        return "missing"
    _connection.limit = limit
    if _connection.full():
        os.close(fd)
        return "full"
    _under_way.add(token)
    try:
        await _serve(fd, token, info, target)
        if token in _forgotten:
            for one in _with(token):
                one.close()
        return "taken"
    finally:
        _under_way.discard(token)
        _forgotten.discard(token)


async def _serve(fd: int, token: int, info: Dict[Any, Any], target: Target) -> None:
    loop = _keeper.running_loop()
    _keeper.watch_over(loop)
    kind, function = _resolve(fd, target)
    if kind == "handler":
        made = await _handle(fd, info, function)
        _keep(loop, made[0] if isinstance(made, tuple) and made else made, token)
    else:
        _connection.attach(loop, fd, function, info, token)


def _keep(loop: Any, thing: Any, token: int) -> None:
    """Remember what a handler has made; perhaps it is known already."""
    known = _connection.entries.get(getattr(thing, "fd", -1))
    if known is not None and known.protocol is thing:
        known.token = token
    elif isinstance(thing, _connection.Listener):
        thing.token = token
    elif thing is not None:
        handled = Handled(loop, thing, token)
        _connection.others[id(handled)] = handled
        _recent.append(handled)


def _resolve(fd: int, target: Target) -> Tuple[str, Callable[..., Any]]:
    """Find the function; closes the descriptor where there is none."""
    try:
        if target is None:
            from erlang import reactor

            return "protocol", reactor._made_by(None)
        kind, module, name = target
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return kind, cast(Callable[..., Any], found)
    except BaseException:
        os.close(fd)
        raise


async def _handle(fd: int, info: Dict[Any, Any], function: Callable[..., Any]) -> Any:
    """Call the handler; what it raises closes the descriptor, if it has not."""
    was = os.fstat(fd)
    try:
        made = function(fd, info)
        return await made if inspect.isawaitable(made) else made
    except BaseException as error:
        # Its objects go first: they may own the number.
        traceback.clear_frames(error.__traceback__)
        _close_the_same(fd, was)
        raise


def _close_the_same(fd: int, was: os.stat_result) -> None:
    try:
        now = os.fstat(fd)
    except OSError:
        return
    if (now.st_dev, now.st_ino) == (was.st_dev, was.st_ino):
        os.close(fd)


def _with(token: int) -> List[Any]:
    every = [*_connection.living(), *_recent]
    return [one for one in every if one.token == token]


def forget(token: int) -> None:
    """Erlang has kept the descriptor: let go of ours; in the main thread."""
    try:
        os.close(_bridge._passed(token))
        return
    except OSError:
        pass
    if token in _under_way:
        _forgotten.add(token)
    for one in _with(token):
        try:
            one.loop.call_soon_threadsafe(one.close)
        except RuntimeError:
            pass  # the loop has ended, and closed what it had


def stats() -> int:
    """Return how many connections there are."""
    return _connection.count()
