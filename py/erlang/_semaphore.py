# SPDX-License-Identifier: Apache-2.0
"""Semaphores that Erlang keeps (py_semaphore), for all contexts."""

import threading
from types import TracebackType
from typing import Any, Dict, List, Optional, Type

from erlang import _waits

_held: Dict[Any, List[int]] = {}
"""The tokens of the slots that this process holds, by the semaphore's term; of one
without a slot nothing is remembered."""

_lock = threading.RLock()
"""Of _held.  A destructor may take it where its thread has it."""


def _keep(term: Any, token: int) -> None:
    with _lock:
        _held.setdefault(term, []).append(token)


def _forget(term: Any, token: Optional[int] = None) -> Optional[int]:
    """Take this token out, or the one that came last; None: it is not there."""
    with _lock:
        tokens = _held.get(term, [])
        if not tokens or token is not None and token not in tokens:
            return None
        found = tokens.pop(-1 if token is None else tokens.index(token))
        if not tokens:
            del _held[term]
        return found


class Semaphore:
    """At most so many at once, whichever contexts and processes they are in.

    Semaphore() is that of the application, Semaphore(term) one that Erlang made,
    Semaphore(3) a new one with three slots, which goes with the process that made
    the request which is being run (outside of any, with the context).  Slots
    that are held when this process ends are given back.
    """

    def __init__(self, term: Optional[Any] = None) -> None:
        if isinstance(term, int):
            answer = _waits.ask(("semaphore", "new"), term)
            if not isinstance(answer, tuple):
                raise ValueError(f"not a number of slots: {term!r}")
            term = answer[1]
        elif term is not None and not (
            isinstance(term, tuple) and len(term) == 2 and term[0] == "py_semaphore"
        ):
            raise TypeError(f"not a term of py_semaphore: {term!r}")
        self._term = term

    @property
    def term(self) -> Any:
        """What Erlang calls it; None for that of the application."""
        return self._term

    def _taken(self, answer: Any, token: int) -> bool:
        if answer == "ok":
            _keep(self._term, token)
            return True
        if answer == "not_started":
            raise RuntimeError("the semaphore is no more")
        return False

    def acquire(self, blocking: bool = True, timeout: Optional[float] = None) -> bool:
        """Take a slot, and say whether one was free in time.

        Waits in line, at most so many seconds; not at all if not blocking.  The
        time limit of the request holds as well.
        """
        limit = _waits.milliseconds(timeout) if blocking else 0
        token = _waits.new_token()
        try:
            answer = _waits.wait_as(token, ("semaphore", "acquire"), self._term, limit)
            return self._taken(answer, token)
        except BaseException:  # an interrupt: nobody knows that the slot is held
            self._drop(token)
            raise

    def _drop(self, token: int) -> None:
        _forget(self._term, token)
        _waits.tell(("wait", "cancel"), token)

    async def async_acquire(self, timeout: Optional[float] = None) -> bool:
        """Do the same in a coroutine; others run meanwhile."""
        limit = _waits.milliseconds(timeout)
        token = _waits.new_token()

        def late(answer: Any) -> None:
            _waits.tell(("wait", "cancel"), token)

        answer = await _waits.wait_async(
            ("semaphore", "acquire"), self._term, limit, late=late, token=token
        )
        return self._taken(answer, token)

    def release(self) -> None:
        """Give a slot back that this process holds; ValueError if it holds none."""
        token = _forget(self._term)
        if token is None:
            raise ValueError("no slot is held")
        try:
            _waits.ask(("semaphore", "release"), token)
        except BaseException:  # an interrupt
            self._drop(token)
            raise

    def current(self) -> int:
        """Return how many slots are held, by whomever."""
        return self._number(_waits.ask(("semaphore", "current"), self._term))

    def max_concurrent(self) -> int:
        """Return how many slots there are."""
        return self._number(_waits.ask(("semaphore", "max"), self._term))

    def _number(self, answer: Any) -> int:
        if not isinstance(answer, tuple):
            raise RuntimeError("the semaphore is no more")
        number: int = answer[1]
        return number

    def set_max_concurrent(self, slots: int) -> None:
        """Change how many slots there are; none is taken away from its holder."""
        answer = _waits.ask(("semaphore", "set_max"), self._term, slots)
        if answer == "invalid":
            raise ValueError(f"not a number of slots: {slots!r}")
        if answer != "ok":
            raise RuntimeError("the semaphore is no more")

    def __enter__(self) -> "Semaphore":
        if not self.acquire():
            raise TimeoutError("no slot was free in time")
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.release()

    async def __aenter__(self) -> "Semaphore":
        if not await self.async_acquire():
            raise TimeoutError("no slot was free in time")
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.release()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semaphore) and other._term == self._term

    def __hash__(self) -> int:
        return hash(self._term)

    def __repr__(self) -> str:
        return f"erlang.Semaphore({self._term!r})"

    def __reduce__(self) -> Any:
        return Semaphore, (self._term,)
