# SPDX-License-Identifier: Apache-2.0
"""ASGI's lifespan protocol: an application starts up before its first request,
and is shut down when its event loop is stopped.

An application that does not know the protocol raises when it is called so, and
is served all the same.
"""

import asyncio
import logging
import types
from typing import Any, Dict, Optional, Tuple, cast

from erlang._event_loop import ErlangEventLoop

_log = logging.getLogger("erlang.asgi")

VERSIONS = {"version": "3.0", "spec_version": "2.0"}


def _same(one: Any, other: Any) -> bool:
    """Are they one application?  A bound method is a new object each time."""
    if isinstance(one, types.MethodType):
        return bool(one == other)
    return one is other


class Lifespan:
    """An application in an event loop."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.state: Dict[str, Any] = {}
        self.failure: Optional[str] = None
        self.ready = asyncio.Event()
        """It has started, or will not."""
        self.over = asyncio.Event()
        """It has been shut down, or has ended."""
        self.supported = False
        self.ending: "Optional[asyncio.Task[None]]" = None
        self.told = False
        self.events: "asyncio.Queue[Dict[str, Any]]" = asyncio.Queue()
        self.events.put_nowait({"type": "lifespan.startup"})
        self.task = asyncio.get_running_loop().create_task(self._live())

    async def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": dict(VERSIONS), "state": self.state}
        try:
            await self.app(scope, self.events.get, self._send)
        except Exception as error:
            self._raised(error)
        finally:
            self.ready.set()
            self.over.set()

    def _raised(self, error: Exception) -> None:
        if self.supported:
            self._complain("the lifespan of an ASGI application failed", error)
        elif self.failure is None:
            _log.info("%r does not support lifespan: %r", self.app, error)

    def _complain(self, message: str, error: Optional[Exception] = None) -> None:
        # Not as "task": Python 3.12 would enter its context, in which this runs.
        context: Dict[str, Any] = {"message": message, "application": self.app}
        if error is not None:
            context["exception"] = error
        asyncio.get_running_loop().call_exception_handler(context)

    async def _send(self, message: Any) -> None:
        kind = message.get("type") if isinstance(message, dict) else message
        if kind == "lifespan.startup.complete" and not self.ready.is_set():
            self.supported = True
            self.ready.set()
        elif kind == "lifespan.startup.failed" and not self.ready.is_set():
            self.failure = str(message.get("message", ""))
            self.ready.set()
        elif kind == "lifespan.shutdown.complete" and self.supported:
            self.over.set()
        elif kind == "lifespan.shutdown.failed" and self.supported:
            text = message.get("message", "")
            self._complain(f"the shutdown of an ASGI application failed: {text}")
            self.over.set()
        else:
            raise RuntimeError(f"a lifespan does not send {kind!r} here")

    async def end(self) -> None:
        """Shut the application down, and end its task."""
        if self.supported and not self.over.is_set():
            if not self.told:
                self.told = True
                self.events.put_nowait({"type": "lifespan.shutdown"})
            await self.over.wait()
        self.task.cancel()


def _replace(loop: ErlangEventLoop, key: Any, former: Lifespan) -> None:
    """Shut a former application down, beside what goes on."""
    aside = (key, id(former))
    loop.lasting[aside] = former
    former.ending = loop.create_task(former.end())
    former.ending.add_done_callback(lambda _: loop.lasting.pop(aside, None))


async def started(key: Tuple[str, str], app: Any) -> Dict[str, Any]:
    """Wait until the application has started; its state.

    A startup that failed is tried again for the next request.  When something
    else has the name of the application, that is started, and the former one
    shut down.
    """
    loop = cast(ErlangEventLoop, asyncio.get_running_loop())
    life = cast(Optional[Lifespan], loop.lasting.get(key))
    if life is None or not _same(life.app, app):
        if life is not None:
            _replace(loop, key, life)
        life = loop.lasting[key] = Lifespan(app)
    if not life.ready.is_set():
        await life.ready.wait()
    if life.failure is not None:
        if loop.lasting.get(key) is life:
            del loop.lasting[key]
        life.task.cancel()
        raise RuntimeError(f"the ASGI application failed to start: {life.failure}")
    return life.state
