# SPDX-License-Identifier: Apache-2.0
"""Protocols over descriptors, which come from Erlang (py_reactor_context) or from
anywhere else.

The event loop of the context watches them.  A protocol is told what has come, and
says by an action what it waits for next; see docs/reactor.md.
"""

import os
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, TypeVar, Union

from erlang import _connection, _keeper, _loop

if TYPE_CHECKING:
    import socket

    from erlang._connection import Listener

__all__ = [
    "Protocol",
    "close_connection",
    "connections",
    "get_protocol",
    "run_fd",
    "serve",
    "set_protocol_factory",
    "signal_write_ready",
]

T = TypeVar("T")


class Protocol:
    """What speaks over one descriptor; its methods run in the loop's thread."""

    fd: int
    client_info: Dict[Any, Any]
    write_buffer: bytearray
    closed: bool

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "Protocol":
        """Whoever has an __init__ of their own need not call ours."""
        self = super().__new__(cls)
        self.fd = -1
        self.client_info = {}
        self.write_buffer = bytearray()
        self.closed = False
        return self

    def connection_made(self, fd: int, client_info: Dict[Any, Any]) -> None:
        """It begins.  What is put into write_buffer is sent."""

    def data_received(self, data: bytes) -> Optional[str]:
        """Something has come.

        Return "continue" to read on, "write_pending" to write, "async_pending" to
        wait for signal_write_ready, "close" to end.
        """
        raise NotImplementedError

    def write_ready(self) -> Optional[str]:
        """Write, as far as there is room.

        Return "continue" when something is left to write, "read_pending" to read
        again, "async_pending" or "close".  This one sends the write_buffer.
        """
        if self.write_buffer:
            del self.write_buffer[: self.write(self.write_buffer)]
        return "continue" if self.write_buffer else "read_pending"

    def eof_received(self) -> Optional[str]:
        """Nothing more will come.

        Return "write_pending" or "async_pending" where there is something left to
        say; the connection ends when that is said.
        """
        return "close"

    def connection_lost(self) -> None:
        """It ends; the descriptor is closed after this."""

    def read(self, size: int = 65536) -> bytes:
        """Read what is there: b"" if nothing is, or nothing will ever be."""
        try:
            return os.read(self.fd, size)
        except BlockingIOError:
            return b""

    def write(self, data: "Union[bytes, bytearray, memoryview]") -> int:
        """Write what there is room for; how many bytes that was."""
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0


_factory: Optional[Callable[[], Protocol]] = None


def set_protocol_factory(factory: Optional[Callable[[], Protocol]]) -> None:
    """Make protocols by this from now on, where nothing else is said."""
    global _factory
    if factory is not None and not callable(factory):
        raise TypeError("a protocol factory is called: " + repr(factory))
    _factory = factory


def _made_by(factory: Optional[Callable[[], Protocol]]) -> Callable[[], Protocol]:
    factory = factory or _factory
    if factory is None:
        raise RuntimeError("no protocol factory is set (set_protocol_factory)")
    return factory


def get_protocol(fd: int) -> Optional[Protocol]:
    """Return the protocol that speaks over this descriptor."""
    connection = _connection.entries.get(fd)
    return None if connection is None else connection.protocol


def connections() -> int:
    """Return how many connections are open."""
    return _connection.count()


def signal_write_ready(fd: int) -> bool:
    """End the wait of "async_pending", from any thread; False: there is none."""
    connection = _connection.entries.get(fd)
    if connection is None:
        return False
    connection.loop.call_soon_threadsafe(connection.signalled)
    return True


def close_connection(fd: int) -> bool:
    """Close a connection soon, from any thread; False: there is none."""
    connection = _connection.entries.get(fd)
    if connection is None:
        return False
    connection.loop.call_soon_threadsafe(connection.close)
    return True


def _in_loop(function: Callable[[Any], T]) -> T:
    """Call with the running loop, or in the thread of the context's own."""
    loop = _keeper.running_loop()
    if loop is not None:
        _keeper.watch_over(loop)
        return function(loop)

    async def there() -> T:
        return _in_loop(function)

    result: T = _loop.spawn(there()).result()
    return result


def run_fd(
    fd: int,
    client_info: Optional[Dict[Any, Any]] = None,
    factory: Optional[Callable[[], Protocol]] = None,
) -> Protocol:
    """Let a new protocol speak over a descriptor of this process, which is taken.

    Where that fails it is closed.
    """
    info = {} if client_info is None else client_info
    try:
        make = _made_by(factory)
    except RuntimeError:
        os.close(fd)
        raise
    return _in_loop(lambda loop: _connection.attach(loop, fd, make, info)).protocol


def serve(
    listener: "Union[int, socket.socket]",
    factory: Optional[Callable[[], Protocol]] = None,
    max_connections: Optional[int] = None,
) -> "Listener":
    """Accept connections of a listening socket, or its descriptor, which is taken.

    At max_connections the others wait in the socket's queue; those beyond what
    the context may have are closed at once.  Ends with close() of what is returned,
    or with the loop.
    """
    make = _made_by(factory)
    fd = listener if isinstance(listener, int) else listener.detach()
    return _in_loop(lambda loop: _connection.Listener(loop, fd, make, max_connections))
