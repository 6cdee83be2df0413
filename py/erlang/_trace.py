# SPDX-License-Identifier: Apache-2.0
"""Spans: what took how long, within what; py_tracer keeps them.

While nobody records, a span costs one check.
"""

import functools
import inspect
import os
import time
from contextvars import Context, Token, copy_context
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Tuple, Type, TypeVar, Union

from erlang import _bridge

_MAX_BATCH = 64
_MAX_PARTS = 128
_SIMPLE = (bool, int, float, str, type(None))
_STATUS = ("ok", "error")

F = TypeVar("F", bound=Callable[..., Any])


class _Batch:
    """Spans of one tree that have ended and are not yet handed over."""

    def __init__(self) -> None:
        self.spans: List[Dict[str, Any]] = []
        self.is_open = True

    def add(self, span: Dict[str, Any]) -> None:
        self.spans.append(span)
        if not self.is_open or len(self.spans) >= _MAX_BATCH:
            self.send()

    def send(self) -> None:
        spans, self.spans = self.spans, []
        try:
            _bridge.call(("trace", "spans"), (spans,), {})
        except Exception:  # who traces must not harm what is traced
            pass


def _now() -> int:
    return time.time_ns() // 1000


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return value[:4096]
    if isinstance(value, int) and value.bit_length() > 64:
        return str(type(value).__name__)
    if isinstance(value, _SIMPLE):
        return value
    try:
        return str(value)[:4096]
    except Exception:  # of a strange __str__
        return str(type(value).__name__)


def _attributes(attributes: Dict[str, Any]) -> Dict[str, Any]:
    pairs = list(attributes.items())[:_MAX_PARTS]
    return {str(key)[:256]: _value(value) for key, value in pairs}


class Span:
    """A piece of work, as a context manager.

    with erlang.Span("parse", size=3) as span:
        span.event("half way", line=7)

    Its parent is the span around it, in Python or in the Erlang process that
    made the request.  An exception makes its status "error", and goes on.
    """

    def __init__(self, name: str, /, **attributes: Any) -> None:
        self.name = str(name)
        self._parts = attributes
        self._id: Optional[str] = None
        self._parent: Optional[str] = None
        self._status = "ok"
        self._events: List[Dict[str, Any]] = []

    @property
    def span_id(self) -> Optional[str]:
        """Its id; None before it begins, and where nobody records."""
        return self._id

    @property
    def parent_id(self) -> Optional[str]:
        """The id of the span around it."""
        return self._parent

    def set_attribute(self, name: str, value: Any) -> None:
        """Add to what was given at the beginning."""
        self._parts[name] = value

    def event(self, name: str, /, **attributes: Any) -> None:
        """Note that something happened now."""
        if self._id is None or len(self._events) >= _MAX_PARTS:
            return
        about = _attributes(attributes)
        self._events.append({"name": str(name), "time": _now(), "attributes": about})

    def set_status(self, status: str) -> None:
        """Say how it went: "ok" or "error"."""
        if status not in _STATUS:
            raise ValueError(f"a span's status is 'ok' or 'error', not {status!r}")
        self._status = status

    def __enter__(self) -> "Span":
        """Begin."""
        if _bridge._traced():
            self._begin()
        return self

    def _begin(self) -> None:
        request = _bridge._request()
        around = _bridge._span.get(None)
        if around is not None and request in (0, around[0]):
            self._parent, self._batch, self._root = around[1], around[2], False
        else:
            self._parent, self._batch, self._root = _caller(request), _Batch(), True
        self._id = os.urandom(8).hex()
        self._token: "Token[Any]" = _bridge._span.set((request, self._id, self._batch))
        self._start = _now()
        self._clock = time.perf_counter_ns()

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """End, with an error if there is one."""
        if self._id is None:
            return
        duration = (time.perf_counter_ns() - self._clock) // 1000
        try:
            _bridge._span.reset(self._token)
        except ValueError:  # begun in another task: it has a context of its own
            pass
        if kind is not None:
            self._fail(kind, exc)
        self._batch.add(self._told(duration))
        if self._root:
            self._batch.is_open = False
            if self._batch.spans:
                self._batch.send()

    def _fail(self, kind: Type[BaseException], exc: Optional[BaseException]) -> None:
        self._status = "error"
        try:
            message = str(exc)
        except Exception:  # of a strange __str__
            message = ""
        self.event("exception", type=kind.__name__, message=message)

    def _told(self, duration: int) -> Dict[str, Any]:
        return {
            "name": self.name[:1024],
            "span_id": self._id,
            "parent_id": self._parent,
            "start_time": self._start,
            "end_time": self._start + duration,
            "duration_us": duration,
            "status": self._status,
            "attributes": _attributes(self._parts),
            "events": self._events,
        }


def _caller(request: int) -> Optional[str]:
    """Ask the process that made the request which span it is in."""
    if request == 0:
        return None
    try:
        parent = _bridge.call(("trace", "parent"), (), {})
    except Exception:  # a policy may forbid it: see _Batch.send
        return None
    return parent if isinstance(parent, str) else None


_noted: Optional[str] = None
"""The parent of the spans in the coroutine that is about to be handed over."""


def note_parent() -> None:
    """Ask for it; called by the helper in the request's own name."""
    global _noted
    _noted = _caller(_bridge._request())


def handed_over() -> Optional[Context]:
    """Return the context in which the coroutine's spans have that parent."""
    global _noted
    parent, _noted = _noted, None
    if parent is None:
        return None
    batch = _Batch()
    batch.is_open = False  # nobody says when its last span has ended
    context = copy_context()
    context.run(_bridge._span.set, (0, parent, batch))
    return context


def _traced(function: F, make: Callable[[], Span]) -> F:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def traced_async(*args: Any, **kwargs: Any) -> Any:
            if not _bridge._traced():
                return await function(*args, **kwargs)
            with make():
                return await function(*args, **kwargs)

        return traced_async  # type: ignore[return-value]

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        if not _bridge._traced():
            return function(*args, **kwargs)
        with make():
            return function(*args, **kwargs)

    return traced  # type: ignore[return-value]


def trace(
    name: Union[str, Callable[..., Any], None] = None, /, **attributes: Any
) -> Callable[[F], F]:
    """Let each call of a function be a span, of its name or of this one.

    @erlang.trace()
    async def fetch(url): ...
    """
    if callable(name):
        return trace()(name)

    def decorate(function: F) -> F:
        parts: Tuple[str, str] = (function.__module__, function.__qualname__)
        called = name if isinstance(name, str) else ".".join(parts)
        return _traced(function, lambda: Span(called, **attributes))

    return decorate
