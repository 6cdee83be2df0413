# SPDX-License-Identifier: Apache-2.0
"""Hand over: return what is to be called next in place of a result.

Requests go on with it in c_src/helper/steps.c, coroutines that Erlang awaits in
_loop_thread.py.
"""

import inspect
import sys
from typing import Any, Dict, Mapping, Optional, Sequence

from erlang._bridge import Continuation


def schedule(name: str, /, *args: Any, **kwargs: Any) -> Continuation:
    """Go on with the Erlang function that is registered under this name.

    `return schedule(name, ...)`: its value is the result.
    """
    return Continuation("erlang", None, name, args, kwargs, None)


def _names(module: str) -> Optional[Dict[str, Any]]:
    """Return the namespace of who asks, if it is a __main__ and is meant."""
    if module != "__main__":
        return None
    names = sys._getframe(2).f_globals
    return names if names.get("__name__") == "__main__" else None


def schedule_py(
    module: str,
    func: str,
    args: Optional[Sequence[Any]] = None,
    kwargs: Optional[Mapping[str, Any]] = None,
) -> Continuation:
    """Go on with this Python function, after the requests that wait.

    `return schedule_py(module, func, ...)`: its value is the result.
    """
    return Continuation("python", module, func, args, kwargs, _names(module))


def schedule_inline(
    module: str,
    func: str,
    args: Optional[Sequence[Any]] = None,
    kwargs: Optional[Mapping[str, Any]] = None,
) -> Continuation:
    """Go on with this Python function at once.

    `return schedule_inline(module, func, ...)`: its value is the result.
    """
    return Continuation("inline", module, func, args, kwargs, _names(module))


async def _step(continuation: Continuation) -> Any:
    import asyncio

    from erlang._async import async_call

    if continuation.kind == "erlang":
        name, args, kwargs = continuation.name, continuation.args, continuation.kwargs
        return await async_call(name, *args, **kwargs)
    if continuation.kind == "python":
        value = await asyncio.to_thread(continuation._step)
    else:
        await asyncio.sleep(0)
        value = continuation._step()
    return await value if inspect.isawaitable(value) else value


async def follow(value: Any) -> Any:
    """Go on with what a coroutine returned, in its event loop."""
    while type(value) is Continuation:
        value = await _step(value)
    return value
