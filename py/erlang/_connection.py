# SPDX-License-Identifier: Apache-2.0
"""A descriptor in an event loop, and the protocol that speaks over it.

Everything here runs in the loop's thread, but for what says otherwise.  asyncio
is not imported: the loop is given.
"""

import os
import socket
import stat
import sys
import weakref
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterator,
    Optional,
    Tuple,
    Type,
    TypeVar,
)

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from erlang.reactor import Protocol

S = TypeVar("S", bound=socket.socket)

READ_SIZE = 65536

READING = "reading"
WRITING = "writing"
WAITING = "waiting"
"""Waiting for signal_write_ready: neither is watched."""

entries: "Dict[int, Connection]" = {}
"""The connections that are open, by their descriptors."""

Other = Any
"""What else was handed over: alive(), close(), loop, token, counts."""

others: Dict[int, Other] = {}
"""By their ids.  What ended by itself stays until somebody looks."""

_accepted: "weakref.WeakSet[Accepted]" = weakref.WeakSet()
"""What asyncio's servers have accepted and not closed; loops' threads write."""

limit: Optional[int] = None
"""How many connections the context may have; the latest handoff said so."""


class Connection:
    """It owns the descriptor from its making on, whatever comes."""

    def __init__(
        self,
        loop: "AbstractEventLoop",
        fd: int,
        protocol: "Protocol",
        info: Dict[Any, Any],
        token: int = 0,
        when_over: Optional[Callable[[], None]] = None,
    ) -> None:
        self.loop, self.fd, self.protocol, self.token = loop, fd, protocol, token
        self.mode = READING
        self.at_end = False
        self.over = False
        self.when_over = when_over
        protocol.fd, protocol.client_info = fd, info

    def open(self) -> None:
        """Begin; closes the descriptor where that fails."""
        try:
            if stat.S_ISREG(os.fstat(self.fd).st_mode):
                raise ValueError("a regular file can not be waited for")
            os.set_blocking(self.fd, False)
            self.loop.add_reader(self.fd, self._readable)
            entries[self.fd] = self
            self.protocol.connection_made(self.fd, self.protocol.client_info)
            greets = bool(self.protocol.write_buffer)
        except BaseException:
            self._release()
            raise
        if greets and not self.over:
            self._flush()

    def close(self) -> None:
        """Close it; fine if it is."""
        if self.over:
            return
        self.over = self.protocol.closed = True
        try:
            self.protocol.connection_lost()
        except Exception as error:
            self._complain("connection_lost() raised", error)
        finally:
            self._release()

    def signalled(self) -> None:
        """There is something to write."""
        if not self.over:
            self._flush()

    def _release(self) -> None:
        self.over = self.protocol.closed = True
        if entries.get(self.fd) is self:
            del entries[self.fd]
        if not self.loop.is_closed():
            self.loop.remove_reader(self.fd)
            self.loop.remove_writer(self.fd)
        os.close(self.fd)
        if self.when_over is not None:
            self.when_over()

    def _complain(self, message: str, error: BaseException) -> None:
        self.loop.call_exception_handler(
            {"message": message, "exception": error, "protocol": self.protocol}
        )

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run the protocol's function; what it raises ends the connection."""
        try:
            return function(*args)
        except (ConnectionError, TimeoutError):
            return "close"  # the peer is gone: no error of the program
        except Exception as error:
            self._complain(f"{getattr(function, '__name__', function)}() raised", error)
            return "close"
        except BaseException:
            self.close()
            raise

    def _readable(self) -> None:
        try:
            data = os.read(self.fd, READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if data:
            action = self._call(self.protocol.data_received, data)
        else:
            self.at_end = True
            action = self._call(self.protocol.eof_received)
        if self.over:
            return
        if action == "write_pending":
            self._flush()
        else:
            self._go_on(action)

    def _flush(self) -> None:
        """Most often there is room: try before waiting for it."""
        action = self._call(self.protocol.write_ready)
        if self.over:
            return
        if action in ("continue", "write_pending"):
            self._watch(WRITING)
        else:
            self._go_on(action)

    def _go_on(self, action: Any) -> None:
        if action == "async_pending":
            self._watch(WAITING)
        elif action in ("continue", "read_pending", None):
            if self.at_end:
                self.close()
            else:
                self._watch(READING)
        else:
            if action != "close":
                error = ValueError(f"no action: {action!r}")
                self._complain("the connection is closed", error)
            self.close()

    def _watch(self, mode: str) -> None:
        if mode == self.mode:
            return
        if self.mode == READING:
            self.loop.remove_reader(self.fd)
        elif self.mode == WRITING:
            self.loop.remove_writer(self.fd)
        self.mode = mode
        if mode == READING:
            self.loop.add_reader(self.fd, self._readable)
        elif mode == WRITING:
            self.loop.add_writer(self.fd, self._flush)


class Listener:
    """A listening socket, whose connections get protocols."""

    counts = False

    PAUSE = 1.0
    """Seconds until the next try when there was no descriptor left."""

    BATCH = 64

    def __init__(
        self,
        loop: "AbstractEventLoop",
        fd: int,
        factory: Callable[[], "Protocol"],
        limit: Optional[int],
    ) -> None:
        self.loop, self.factory, self.limit, self.token = loop, factory, limit, 0
        try:
            self.socket = listening(fd, socket.socket)
        except BaseException:
            os.close(fd)
            raise
        self.open_connections = 0
        self.over = self.watched = False
        others[id(self)] = self
        self._watch(True)

    def alive(self) -> bool:
        """Is it open?"""
        return not self.over

    def close(self) -> None:
        """Take no more; those that are open go on."""
        if not self.over:
            self._watch(False)
            self.over = True
            others.pop(id(self), None)
            self.socket.close()

    def _watch(self, on: bool) -> None:
        if on == self.watched or self.over or self.loop.is_closed():
            return
        self.watched = on
        if on:
            self.loop.add_reader(self.socket.fileno(), self._accept)
        else:
            self.loop.remove_reader(self.socket.fileno())

    def _accept(self) -> None:
        for _ in range(self.BATCH):
            if self.over:
                return
            if self.limit is not None and self.open_connections >= self.limit:
                self._watch(False)
                return
            try:
                taken, address = self.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                context = {"message": "accept() failed", "exception": error}
                self.loop.call_exception_handler(context)
                self._watch(False)
                self.loop.call_later(self.PAUSE, self._watch, True)
                return
            if full():
                taken.close()
            else:
                self._begin(taken.detach(), address)

    def _begin(self, fd: int, address: Any) -> None:
        info: Dict[Any, Any] = {"type": "unix"}
        if isinstance(address, tuple):
            info = {"type": "tcp", "addr": address[0], "port": address[1]}
        self.open_connections += 1
        try:
            attach(self.loop, fd, self.factory, info, 0, self._one_less)
        except Exception as error:
            context = {"message": "a connection could not begin", "exception": error}
            self.loop.call_exception_handler(context)

    def _one_less(self) -> None:
        self.open_connections -= 1
        self._watch(True)


class Accepted(socket.socket):
    """The socket of a connection that counts until it is closed."""

    def close(self) -> None:
        """Close it."""
        _accepted.discard(self)
        super().close()

    def detach(self) -> int:
        """Give the descriptor away."""
        _accepted.discard(self)
        return super().detach()


class Accepting(socket.socket):
    """A listening socket for asyncio's servers: what it accepts counts."""

    def accept(self) -> Tuple[socket.socket, Any]:
        """Accept a connection; one too many is closed, and the loop comes again."""
        taken, address = super().accept()
        if full():
            taken.close()
            raise BlockingIOError("as many connections as there may be")
        kind = taken.family, taken.type, taken.proto
        counted = Accepted(*kind, fileno=taken.detach())
        _accepted.add(counted)
        return counted, address


def listening(fd: int, kind: "Type[S]") -> S:
    """Return the listening socket, of this class, which owns the descriptor.

    Raises ValueError for any other; then it is as it was.
    """
    try:
        made = kind(fileno=fd)
    except OSError as error:
        raise ValueError(f"descriptor {fd} is no socket: {error.strerror}") from None
    if not made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        made.detach()
        raise ValueError(f"descriptor {fd} is no listening socket")
    made.setblocking(False)
    return made


def attach(
    loop: "AbstractEventLoop",
    fd: int,
    factory: Callable[[], "Protocol"],
    info: Dict[Any, Any],
    token: int = 0,
    when_over: Optional[Callable[[], None]] = None,
) -> Connection:
    """Let a protocol of this factory speak over the descriptor, which is taken.

    Where that fails it is closed.
    """
    try:
        protocol = factory()
        if not isinstance(protocol, sys.modules["erlang.reactor"].Protocol):
            raise TypeError(f"no erlang.reactor.Protocol: {protocol!r}")
        connection = Connection(loop, fd, protocol, info, token, when_over)
    except BaseException:
        os.close(fd)
        if when_over is not None:
            when_over()
        raise
    connection.open()
    return connection


def living_others() -> Iterator[Other]:
    """Return what lives; what ended by itself is forgotten.  In any thread."""
    for key, other in list(others.items()):
        if other.alive():
            yield other
        else:
            others.pop(key, None)


def living() -> Iterator[Any]:
    """Return all that lives.  In any thread."""
    yield from list(entries.values())
    yield from living_others()


def count() -> int:
    """Return how many connections there are.  In any thread."""
    handed_over = sum(1 for other in living_others() if other.counts)
    return len(entries) + len(_accepted) + handed_over


def full() -> bool:
    """Are there as many as there may be?"""
    return limit is not None and count() >= limit
