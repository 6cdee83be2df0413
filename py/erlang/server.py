# SPDX-License-Identifier: Apache-2.0
"""asyncio's servers and transports over descriptors that Erlang hands over.

A handler that py_reactor_context calls gets a descriptor; here it becomes what
asyncio.start_server or loop.create_connection would have made.  The descriptor is
taken, and closed where that fails.  asyncio is imported in the loop's thread.
"""

import inspect
import os
import socket
from typing import TYPE_CHECKING, Any, Callable, Tuple, Union

from erlang import _connection

if TYPE_CHECKING:
    import asyncio

__all__ = ["adopt", "serve", "stop_serving"]

Factory = Callable[..., Any]
"""A protocol factory, or a coroutine function: it gets a reader and a writer."""


def _socket(fd: int, kind: int, what: str) -> socket.socket:
    try:
        made = socket.socket(fileno=fd)
    except OSError as error:
        os.close(fd)
        raise ValueError(f"descriptor {fd} is no socket: {error.strerror}") from None
    if made.type != kind:
        made.close()
        raise ValueError(f"descriptor {fd} is no {what} socket")
    made.setblocking(False)
    return made


def _protocols(factory: Factory) -> Factory:
    """Return a protocol factory: a coroutine function is asyncio's stream handler."""
    import asyncio

    if not inspect.iscoroutinefunction(factory):
        return factory

    def make() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), factory)

    return make


async def serve(
    listen_fd: int, protocol_factory: Factory, *, udp: bool = False, backlog: int = 100
) -> "Union[asyncio.Server, asyncio.DatagramTransport]":
    """Serve on a listening socket, or with udp on a bound datagram socket.

    Connections beyond the context's max_connections are closed at once.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    if udp:
        bound = _socket(listen_fd, socket.SOCK_DGRAM, "datagram")
        try:
            made = await loop.create_datagram_endpoint(protocol_factory, sock=bound)
        except BaseException:
            bound.close()
            raise
        return made[0]
    try:
        listener = _connection.listening(listen_fd, _connection.Accepting)
    except BaseException:
        os.close(listen_fd)
        raise
    try:
        make = _protocols(protocol_factory)
        return await loop.create_server(make, sock=listener, backlog=backlog)
    except BaseException:
        listener.close()
        raise


async def adopt(
    fd: int, protocol_factory: Factory
) -> "Tuple[asyncio.Transport, asyncio.BaseProtocol]":
    """Take over a connection that was accepted: its transport and protocol."""
    import asyncio

    loop = asyncio.get_running_loop()
    taken = _socket(fd, socket.SOCK_STREAM, "stream")
    try:
        make = _protocols(protocol_factory)
        return await loop.connect_accepted_socket(make, sock=taken)
    except BaseException:
        taken.close()
        raise


async def stop_serving(server: Any, *, wait_closed: bool = True) -> None:
    """Take no more connections; what asyncio means by wait_closed, it waits for."""
    server.close()
    if wait_closed and hasattr(server, "wait_closed"):
        await server.wait_closed()
