# SPDX-License-Identifier: Apache-2.0
"""Messages to Erlang processes.

A receiver has a number.  Before the first message it is shown to the VM, which
says whether it exists and watches it from then on; that it is gone comes as a
notice, which is read when this process reads from the VM the next time.
"""

import itertools
from types import TracebackType
from typing import Any, Dict, Optional, Tuple, Type, Union

from erlang import _bridge, _waits
from erlang._bridge import Pid
from erlang._errors import ProcessError

Destination = Union[Pid, str, Tuple[str, str]]

KNOWN_MAX = 1024
"""So many receivers are remembered; the oldest is forgotten for a new one."""


class _Receiver:
    __slots__ = ("number", "gone", "reason")

    def __init__(self, number: int) -> None:
        self.number = number
        self.gone = False
        self.reason: Any = None


_numbers = itertools.count(1)
_known: Dict[Any, _Receiver] = {}
_watched: Dict[int, _Receiver] = {}


def _gone(notice: Tuple[int, Any]) -> None:
    """Take a notice; called by the helper."""
    number, reason = notice
    receiver = _watched.pop(number, None)
    if receiver is not None:
        receiver.reason = reason
        receiver.gone = True


def _watch(dest: Any) -> _Receiver:
    """Have the VM look at it and watch it."""
    receiver = _Receiver(next(_numbers))
    _watched[receiver.number] = receiver
    try:
        answer = _waits.ask(("message", "watch"), receiver.number, dest)
    except BaseException:
        _forget(receiver)
        raise
    if answer == "ok":
        return receiver
    del _watched[receiver.number]
    if answer == "gone":
        receiver.gone = True
        receiver.reason = _bridge.Atom("noproc")
        return receiver
    if answer == "full":
        raise RuntimeError("too many receivers are watched by this context")
    raise TypeError(f"not a pid, a name or (name, node): {dest!r}")


def _forget(receiver: _Receiver) -> None:
    if _watched.pop(receiver.number, None) is not None:
        _bridge._send(0, ("forget", receiver.number))


def _introduce(dest: Any) -> _Receiver:
    _known.pop(dest, None)
    receiver = _watch(dest)
    if receiver.gone:
        raise ProcessError(f"there is no process {dest!r}")
    other = _known.get(dest)
    if other is not None and not other.gone:  # by another thread meanwhile
        _forget(receiver)
        return other
    while len(_known) >= KNOWN_MAX:
        _forget_oldest()
    _known[dest] = receiver
    return receiver


def _forget_oldest() -> None:
    try:
        oldest = _known.pop(next(iter(_known)), None)
    except (RuntimeError, StopIteration):  # another thread has been quicker
        return
    if oldest is not None:
        _forget(oldest)


def send(dest: Destination, term: Any) -> None:
    """Send a message to a process: a Pid, a registered name, or (name, node).

    Messages of one context arrive at one receiver in the order in which they
    were sent.  Raises ProcessError if there is no such process: certain for the
    first message to a receiver; later ones are sent without asking, until the
    notice of its end has been read.
    """
    receiver = _known.get(dest)
    if receiver is None or receiver.gone:
        receiver = _introduce(dest)
    _bridge._send(receiver.number, term)


def reply(pid: Destination, term: Any) -> None:
    """Send a message, as send does."""
    send(pid, term)


def whereis(name: str) -> Optional[Pid]:
    """Return the process that is registered under this name, or None."""
    found: Optional[Pid] = _waits.ask(("message", "whereis"), name)
    return found


def self() -> Pid:
    """Return the pid of the caller.

    That is the process that made the request which is being run; outside of
    any request, that of the context.
    """
    pid: Pid = _waits.ask(("message", "self"))
    return pid


class Monitor:
    """Watches a process; made by monitor().

    Holds a place in the context's list of receivers until close(), or the end
    of the process, or of this object.
    """

    def __init__(self, dest: Destination) -> None:
        self.pid: Optional[Pid] = None
        if isinstance(dest, Pid):
            self.pid = dest
        else:
            self.pid = _waits.ask(("message", "resolve"), dest)
        self._receiver = _watch(self.pid) if self.pid is not None else _Receiver(0)
        if self.pid is None:
            self._receiver.gone = True
            self._receiver.reason = _bridge.Atom("noproc")

    @property
    def alive(self) -> bool:
        """Is the process not known to be gone?"""
        if not self._receiver.gone:
            _bridge._look()
        return not self._receiver.gone

    @property
    def reason(self) -> Any:
        """Why it ended; None while it lives."""
        return self._receiver.reason if not self.alive else None

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait until the process is gone, at most so many seconds.

        True: it is gone.
        """
        if self._receiver.gone:
            return True
        limit = _waits.milliseconds(timeout)
        answer = _waits.wait(("message", "await"), self.pid, limit)
        return self._ended(answer)

    async def wait_async(self, timeout: Optional[float] = None) -> bool:
        """Do the same in a coroutine."""
        if self._receiver.gone:
            return True
        limit = _waits.milliseconds(timeout)
        answer = await _waits.wait_async(("message", "await"), self.pid, limit)
        return self._ended(answer)

    def _ended(self, answer: Any) -> bool:
        """Take ("gone", reason), or that the time is up."""
        if not isinstance(answer, tuple):
            return self._receiver.gone
        if not self._receiver.gone:
            self._receiver.reason = answer[1]
            self._receiver.gone = True
        return True

    def close(self) -> None:
        """Do not watch it any more."""
        _forget(self._receiver)

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __del__(self) -> None:
        receiver = getattr(self, "_receiver", None)
        if receiver is not None:
            _forget(receiver)

    def __repr__(self) -> str:
        state = "gone" if self._receiver.gone else "watched"
        return f"<erlang.Monitor of {self.pid!r}: {state}>"


def monitor(dest: Destination) -> Monitor:
    """Watch a process: a Pid, a registered name, or (name, node).

    A name means the process that has it now.  One that does not exist is gone
    from the beginning.
    """
    return Monitor(dest)
