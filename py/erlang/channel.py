# SPDX-License-Identifier: Apache-2.0
"""Channels and buffers between Erlang and Python.

A channel is a queue that an Erlang process holds; both sides send and receive.
What crosses from Erlang is a term, from which Channel(term), ByteChannel(term)
or PyBuffer(term) makes the object.
"""

import io
from types import TracebackType
from typing import Any, AsyncIterator, Dict, Generic, Iterator, Optional, Type, TypeVar

from erlang import _waits
from erlang._messages import reply

__all__ = [
    "ByteChannel",
    "ByteChannelClosed",
    "Channel",
    "ChannelBusy",
    "ChannelClosed",
    "PyBuffer",
    "reply",
]

T = TypeVar("T")


class ChannelClosed(RuntimeError):
    """The channel is closed, and what was in it has been received."""


class ByteChannelClosed(ChannelClosed):
    """The same of a ByteChannel."""


class ChannelBusy(RuntimeError):
    """The channel holds as much as it may."""


class _Channel(Generic[T]):
    """What channels of terms and of bytes have in common."""

    _tag = ""
    _closed: Type[ChannelClosed] = ChannelClosed

    def __init__(
        self, term: Optional[Any] = None, *, max_size: Optional[int] = None
    ) -> None:
        if term is None:
            made, term = _waits.ask(("channel", "new"), self._tag, max_size)
            if made != "ok":
                raise ValueError(f"not a size in bytes: {max_size!r}")
        elif not (isinstance(term, tuple) and len(term) == 3 and term[0] == self._tag):
            raise TypeError(f"not a term of {self._tag}: {term!r}")
        self._term: Any = term

    @property
    def term(self) -> Any:
        """What Erlang calls it: give this to Erlang."""
        return self._term

    def _send(self, item: Any) -> None:
        answer = _waits.ask(("channel", "send"), self._term, item)
        if answer == "busy":
            raise ChannelBusy("the channel holds as much as it may")
        if answer != "ok":
            raise self._closed("the channel is closed")

    def _received(self, answer: Any) -> T:
        """Take (ok, item), closed, timeout or empty."""
        if isinstance(answer, tuple):
            item: T = answer[1]
            return item
        if answer == "closed":
            raise self._closed("the channel is closed")
        raise TimeoutError("nothing came in time")

    def _give_back(self, answer: Any) -> None:
        """Put back what came too late for a coroutine."""
        if isinstance(answer, tuple):
            _waits.tell(("channel", "give_back"), self._term, answer[1])

    def receive(self, timeout: Optional[float] = None) -> T:
        """Wait for the next item, at most so many seconds.

        TimeoutError when none came in time; ChannelClosed when none will.  The
        time limit of the request that is being run holds as well.
        """
        limit = _waits.milliseconds(timeout)
        return self._received(_waits.wait(("channel", "receive"), self._term, limit))

    async def async_receive(self, timeout: Optional[float] = None) -> T:
        """Do the same in a coroutine; others run meanwhile."""
        limit = _waits.milliseconds(timeout)
        answer = await _waits.wait_async(
            ("channel", "receive"), self._term, limit, late=self._give_back
        )
        return self._received(answer)

    def try_receive(self) -> Optional[T]:
        """Return the next item if there is one, else None."""
        answer = _waits.ask(("channel", "try_receive"), self._term)
        return None if answer == "empty" else self._received(answer)

    def close(self) -> None:
        """Let nothing more in; what is there can still be received."""
        _waits.ask(("channel", "close"), self._term)

    def info(self) -> Dict[str, Any]:
        """Return size and max_size in bytes (None: no limit), and closed."""
        size, max_size, closed = _waits.ask(("channel", "info"), self._term)
        return {"size": size, "max_size": max_size, "closed": closed}

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                item = self.receive()
            except ChannelClosed:
                return
            yield item

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            try:
                item = await self.async_receive()
            except ChannelClosed:
                return
            yield item

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and other._term == self._term

    def __hash__(self) -> int:
        return hash(self._term)

    def __repr__(self) -> str:
        return f"erlang.{type(self).__name__}({self._term!r})"

    def __reduce__(self) -> Any:
        return type(self), (self._term,)


class Channel(_Channel[Any]):
    """A channel of terms.

    Without a term a new one is made; it goes with the process that made the
    request which is being run (outside of any, with the context).
    """

    _tag = "py_channel"

    def send(self, item: Any) -> None:
        """Put an item in; ChannelBusy, ChannelClosed."""
        self._send(item)

    def __enter__(self) -> "Channel":
        return self

    async def __aenter__(self) -> "Channel":
        return self


class ByteChannel(_Channel[bytes]):
    """A channel of bytes: each receive gives what one send put in."""

    _tag = "py_byte_channel"
    _closed = ByteChannelClosed

    def send(self, data: "bytes | bytearray | memoryview") -> None:
        """Put bytes in; ChannelBusy, ByteChannelClosed."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"a ByteChannel takes bytes, not {type(data).__name__}")
        self._send(bytes(data))

    def __enter__(self) -> "ByteChannel":
        return self

    async def __aenter__(self) -> "ByteChannel":
        return self


class _RawBuffer(io.RawIOBase):
    """The bytes that Erlang writes to a buffer, as they come."""

    def __init__(self, term: Any) -> None:
        super().__init__()
        if not (isinstance(term, tuple) and len(term) == 3 and term[0] == "py_buffer"):
            raise TypeError(f"not a term of py_buffer: {term!r}")
        self.term = term
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if self._ended:
            return 0
        data = _waits.wait(("buffer", "read"), self.term, len(into))
        if not isinstance(data, bytes):
            self._ended = True
            return 0
        into[: len(data)] = data
        return len(data)


class PyBuffer(io.BufferedReader):
    """A py_buffer of Erlang as a binary file that can be read.

    Reading waits for data; the end of the file is where Erlang closed it.
    """

    def __init__(self, term: Any, buffer_size: int = 65536) -> None:
        super().__init__(_RawBuffer(term), buffer_size)
