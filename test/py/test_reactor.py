# SPDX-License-Identifier: Apache-2.0
"""Protocols over descriptors, and asyncio's servers: what needs no VM."""

import asyncio
import os
import socket
import tempfile
import threading
import unittest
from typing import Any, Callable, Coroutine, Dict, List, Optional, Tuple

import erlang
from erlang import _connection, _keeper, reactor, server


class Echo(reactor.Protocol):
    """Says what it hears."""

    def data_received(self, data: bytes) -> Optional[str]:
        self.write_buffer += data
        return "write_pending"


class Base(unittest.TestCase):
    """Each test leaves no descriptor, and what the loop was told of is in `told`."""

    def setUp(self) -> None:
        self.told: List[Dict[str, Any]] = []
        self.before = os.listdir("/proc/self/fd")
        reactor.set_protocol_factory(None)
        self.addCleanup(reactor.set_protocol_factory, None)

    def run_it(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        async def all_of_it() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: self.told.append(context))
            try:
                return await asyncio.wait_for(main(), 60)
            finally:
                for one in list(loop.lasting.values()):
                    await one.end()

        result = erlang.run(all_of_it())
        self.assertEqual(list(_connection.living()), [])
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(self.before))
        return result

    def pair(self) -> Tuple[socket.socket, int]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.addCleanup(ours.close)
        return ours, theirs.detach()

    async def hear(self, ours: socket.socket, size: int) -> bytes:
        loop, data = asyncio.get_running_loop(), b""
        while len(data) < size:
            more = await loop.sock_recv(ours, size - len(data))
            if not more:
                break
            data += more
        return data

    def all_closed(self) -> bool:
        """But for the loop's three."""
        return len(os.listdir("/proc/self/fd")) <= len(self.before) + 3

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0.001)


class ProtocolTest(Base):
    def speak(self, protocol: Any, *said: bytes, end: bool = True) -> bytes:
        """Say this, hear until the end."""

        async def main() -> bytes:
            ours, fd = self.pair()
            with ours:
                reactor.run_fd(fd, {}, protocol)
                for data in said:
                    await asyncio.get_running_loop().sock_sendall(ours, data)
                if end:
                    ours.shutdown(socket.SHUT_WR)
                return await self.hear(ours, 1 << 30)

        heard: bytes = self.run_it(main)
        return heard

    def test_echo(self) -> None:
        async def main() -> None:
            reactor.set_protocol_factory(Echo)
            ours, fd = self.pair()
            with ours:
                info = {"type": "unix"}
                protocol = reactor.run_fd(fd, info)
                self.assertIs(reactor.get_protocol(fd), protocol)
                self.assertIs(protocol.client_info, info)
                self.assertEqual((protocol.fd, protocol.closed), (fd, False))
                self.assertEqual(reactor.connections(), 1)
                for data in (b"one", b"two"):
                    ours.send(data)
                    self.assertEqual(await self.hear(ours, 3), data)
            await self.until(lambda: protocol.closed)
            self.assertEqual(reactor.connections(), 0)
            self.assertIsNone(reactor.get_protocol(fd))

        self.run_it(main)
        self.assertEqual(self.told, [])

    def test_no_init_is_needed(self) -> None:
        class Own(Echo):
            def __init__(self) -> None:
                pass

        self.assertEqual(self.speak(Own, b"x"), b"x")

    def test_greeting(self) -> None:
        class Greets(Echo):
            def connection_made(self, fd: int, client_info: Any) -> None:
                self.write_buffer += b"welcome"

        self.assertEqual(self.speak(Greets), b"welcome")

    def test_close_from_data_received(self) -> None:
        class Closes(reactor.Protocol):
            def data_received(self, data: bytes) -> str:
                return "close"

        self.assertEqual(self.speak(Closes, b"x", end=False), b"")
        self.assertEqual(self.told, [])

    def test_says_more_than_fits(self) -> None:
        class Much(Echo):
            def data_received(self, data: bytes) -> str:
                self.write_buffer += b"x" * 5000000
                return "write_pending"

            def write_ready(self) -> str:
                super().write_ready()
                return "continue" if self.write_buffer else "close"

        self.assertEqual(self.speak(Much, b"x", end=False), b"x" * 5000000)

    def test_says_it_after_the_end(self) -> None:
        class Late(Echo):
            def data_received(self, data: bytes) -> None:
                self.write_buffer += data

            def eof_received(self) -> str:
                return "write_pending"

        self.assertEqual(self.speak(Late, b"all of it"), b"all of it")

    def test_does_not_read_while_it_writes(self) -> None:
        async def main() -> None:
            ours, fd = self.pair()
            with ours:
                protocol = reactor.run_fd(fd, {}, Echo)
                size = 0
                while True:  # until both directions are full
                    try:
                        size += ours.send(b"x" * 65536)
                    except BlockingIOError:
                        await asyncio.sleep(0.01)
                        if not self.moves(ours):
                            break
                self.assertLessEqual(len(protocol.write_buffer), 65536)
                self.assertEqual(len(await self.hear(ours, size)), size)

        self.run_it(main)

    @staticmethod
    def moves(ours: socket.socket) -> bool:
        import select

        return bool(select.select([], [ours], [], 0)[1])

    def test_async_pending(self) -> None:
        class Later(Echo):
            def data_received(self, data: bytes) -> str:
                super().data_received(data)
                threading.Timer(0.01, reactor.signal_write_ready, [self.fd]).start()
                return "async_pending"

        self.assertEqual(self.speak(Later, b"later"), b"later")
        self.assertFalse(reactor.signal_write_ready(9999))

    def test_what_it_raises_ends_it(self) -> None:
        class Raises(Echo):
            def data_received(self, data: bytes) -> str:
                raise LookupError("no")

            def connection_lost(self) -> None:
                raise LookupError("nor this")

        self.assertEqual(self.speak(Raises, b"x", end=False), b"")
        self.assertEqual([str(t["exception"]) for t in self.told], ["no", "nor this"])

    def test_no_such_action(self) -> None:
        class Wrong(Echo):
            def data_received(self, data: bytes) -> Any:
                return "dance"

        self.assertEqual(self.speak(Wrong, b"x", end=False), b"")
        self.assertIn("no action: 'dance'", str(self.told[0]["exception"]))

    def test_peer_is_gone(self) -> None:
        lost: List[int] = []

        class Much(Echo):
            def connection_made(self, fd: int, client_info: Any) -> None:
                self.write_buffer += b"x" * 5000000

            def connection_lost(self) -> None:
                lost.append(self.fd)

        async def main() -> None:
            ours, fd = self.pair()
            reactor.run_fd(fd, {}, Much)
            ours.close()
            await self.until(lambda: lost)
            self.assertEqual(lost, [fd])

        self.run_it(main)
        self.assertEqual(self.told, [])

    def test_close_connection(self) -> None:
        async def main() -> None:
            ours, fd = self.pair()
            with ours:
                reactor.run_fd(fd, {}, Echo)
                thread = threading.Thread(target=reactor.close_connection, args=[fd])
                thread.start()
                thread.join()
                self.assertEqual(await self.hear(ours, 1), b"")
            self.assertFalse(reactor.close_connection(fd))

        self.run_it(main)

    def test_can_not_begin(self) -> None:
        class Raises(Echo):
            def connection_made(self, fd: int, client_info: Any) -> None:
                raise LookupError("no")

        def none() -> reactor.Protocol:
            raise LookupError("none")

        async def main() -> None:
            for factory, kind in ((Raises, LookupError), (none, LookupError)):
                ours, fd = self.pair()
                with ours, self.assertRaises(kind):
                    reactor.run_fd(fd, {}, factory)
                self.assertRaises(OSError, os.fstat, fd)
            with self.assertRaisesRegex(RuntimeError, "no protocol factory"):
                reactor.run_fd(os.dup(0))
            with tempfile.TemporaryFile() as file:
                with self.assertRaisesRegex(ValueError, "regular file"):
                    reactor.run_fd(os.dup(file.fileno()), {}, Echo)
            with self.assertRaisesRegex(TypeError, "no erlang.reactor.Protocol: 'x'"):
                reactor.run_fd(os.dup(0), {}, lambda: "x")
            self.assertRaises(TypeError, reactor.set_protocol_factory, 7)

        self.run_it(main)

    def test_ends_with_its_loop(self) -> None:
        async def main() -> None:
            reactor.run_fd(fd, {}, Echo)

        ours, fd = self.pair()
        with ours:
            self.before.append("ours")
            self.run_it(main)
            self.assertEqual(ours.recv(1), b"")

    def test_pipe(self) -> None:
        got: List[bytes] = []

        class Logs(reactor.Protocol):
            def data_received(self, data: bytes) -> None:
                got.append(data)

        class Says(Echo):
            def connection_made(self, fd: int, client_info: Any) -> None:
                self.write_buffer += b"through a pipe"

        async def main() -> None:
            r, w = os.pipe()
            reader = reactor.run_fd(r, {}, Logs)
            writer = reactor.run_fd(w, {}, Says)
            await self.until(lambda: got)
            self.assertEqual(got, [b"through a pipe"])
            reactor.close_connection(r)  # the writer hears of it
            await self.until(lambda: reader.closed and writer.closed)

        self.run_it(main)


class Listening(Base):
    def listener(self) -> socket.socket:
        made = socket.create_server(("127.0.0.1", 0))
        self.address = made.getsockname()
        return made

    async def client(self) -> socket.socket:
        made = socket.create_connection(self.address)
        made.setblocking(False)
        self.addCleanup(made.close)
        return made

    def limit(self, many: int) -> None:
        def back(was: Optional[int]) -> None:
            _connection.limit = was

        self.addCleanup(back, _connection.limit)
        _connection.limit = many

    def null(self) -> int:
        file = open(os.devnull)
        self.addCleanup(file.close)
        self.before.append("null")
        return file.fileno()


class ServeTest(Listening):
    def test_serve(self) -> None:
        async def main() -> None:
            listener = reactor.serve(self.listener(), Echo)
            clients = [await self.client() for _ in range(10)]
            for one in clients:
                one.send(b"hello")
                self.assertEqual(await self.hear(one, 5), b"hello")
            self.assertEqual(reactor.connections(), 10)
            listener.close()
            listener.close()
            with self.assertRaises(ConnectionRefusedError):
                await self.client()
            clients[0].send(b"still")
            self.assertEqual(await self.hear(clients[0], 5), b"still")
            for one in clients:
                one.close()

        self.run_it(main)

    def test_serve_up_to(self) -> None:
        async def main() -> None:
            reactor.serve(self.listener().detach(), Echo, max_connections=2)
            a, b, c = [await self.client() for _ in range(3)]
            c.send(b"c")
            for one in (a, b):
                one.send(b"x")
                self.assertEqual(await self.hear(one, 1), b"x")
            self.assertEqual(reactor.connections(), 2)
            a.close()
            self.assertEqual(await self.hear(c, 1), b"c")
            b.close()
            c.close()

        self.run_it(main)

    def test_more_than_the_context_may_have(self) -> None:
        self.limit(2)

        async def main() -> None:
            ours, fd = self.pair()
            reactor.run_fd(fd, {}, Echo)
            made = reactor.serve(self.listener(), Echo)
            with ours, await self.client() as a:
                a.send(b"x")
                self.assertEqual(await self.hear(a, 1), b"x")
                for _ in range(3):
                    with await self.client() as too_many:
                        self.assertEqual(await self.hear(too_many, 1), b"")
            await self.until(lambda: reactor.connections() == 0)
            with await self.client() as b:
                b.send(b"y")
                self.assertEqual(await self.hear(b, 1), b"y")
            made.close()

        self.run_it(main)

    def test_a_connection_that_fails(self) -> None:
        class Raises(Echo):
            def connection_made(self, fd: int, client_info: Any) -> None:
                raise LookupError(client_info["type"])

        async def main() -> None:
            reactor.serve(self.listener(), Raises, max_connections=1)
            for _ in range(3):
                with await self.client() as one:
                    self.assertEqual(await self.hear(one, 1), b"")

        self.run_it(main)
        self.assertEqual([str(t["exception"]) for t in self.told], ["tcp"] * 3)

    def test_serve_refuses(self) -> None:
        async def main() -> None:
            ours, fd = self.pair()
            with ours, self.assertRaisesRegex(ValueError, "no listening socket"):
                reactor.serve(fd, Echo)
            with self.assertRaisesRegex(ValueError, "is no socket"):
                reactor.serve(os.dup(self.null()), Echo)

        self.run_it(main)


async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say each line louder."""
    while line := await reader.readline():
        writer.write(line.upper())
    writer.close()


class ServerTest(Listening):
    def test_streams(self) -> None:
        async def main() -> None:
            made = await server.serve(self.listener().detach(), upper)
            with await self.client() as one:
                one.send(b"line\n")
                self.assertEqual(await self.hear(one, 5), b"LINE\n")
            await server.stop_serving(made, wait_closed=False)
            with self.assertRaises(ConnectionRefusedError):
                await self.client()
            await self.until(self.all_closed)

        self.run_it(main)

    def test_protocols(self) -> None:
        class Quiet(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                transport.write(b"bye")
                transport.close()

        async def main() -> None:
            made = await server.serve(self.listener().detach(), Quiet, backlog=5)
            with await self.client() as one:
                self.assertEqual(await self.hear(one, 10), b"bye")
            await server.stop_serving(made)
            await self.until(self.all_closed)

        self.run_it(main)

    def test_more_than_the_context_may_have(self) -> None:
        self.limit(3)

        async def main() -> None:
            made = await server.serve(self.listener().detach(), upper)
            clients = [await self.client() for _ in range(3)]
            for one in clients:
                one.send(b"line\n")
                self.assertEqual(await self.hear(one, 5), b"LINE\n")
            self.assertEqual(reactor.connections(), 3)
            for _ in range(3):
                with await self.client() as too_many:
                    self.assertEqual(await self.hear(too_many, 1), b"")
            clients[0].close()
            await self.until(lambda: reactor.connections() == 2)
            with await self.client() as again:
                again.send(b"line\n")
                self.assertEqual(await self.hear(again, 5), b"LINE\n")
            for one in clients:
                one.close()
            await server.stop_serving(made, wait_closed=False)
            await self.until(lambda: reactor.connections() == 0)
            await self.until(self.all_closed)

        self.run_it(main)
        self.assertEqual(self.told, [])

    def test_a_socket_counts_until_it_is_given_away(self) -> None:
        with self.listener() as plain:
            listener = _connection.listening(plain.detach(), _connection.Accepting)
        listener.setblocking(True)
        with listener, socket.create_connection(self.address):
            taken, _ = listener.accept()
            self.assertEqual(reactor.connections(), 1)
            os.close(taken.detach())
            self.assertEqual(reactor.connections(), 0)

    def test_adopt(self) -> None:
        async def main() -> None:
            ours, fd = self.pair()
            with ours:
                transport, _ = await server.adopt(fd, upper)
                ours.send(b"line\n")
                self.assertEqual(await self.hear(ours, 5), b"LINE\n")
                transport.close()
                self.assertEqual(await self.hear(ours, 5), b"")
            await self.until(self.all_closed)

        self.run_it(main)

    def test_udp(self) -> None:
        class Back(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: Any) -> None:
                self.transport.sendto(data.upper(), addr)

        async def main() -> None:
            bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            bound.bind(("127.0.0.1", 0))
            address = bound.getsockname()
            made = await server.serve(bound.detach(), Back, udp=True)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.setblocking(False)
                one.sendto(b"datagram", address)
                self.assertEqual(await self.hear(one, 8), b"DATAGRAM")
            await server.stop_serving(made)
            await self.until(self.all_closed)

        self.run_it(main)

    def test_refuses(self) -> None:
        async def main() -> None:
            for refused in (
                lambda fd: server.serve(fd, upper),
                lambda fd: server.serve(fd, upper, udp=True),
            ):
                ours, fd = self.pair()
                with ours, self.assertRaises(ValueError):
                    await refused(fd)
                self.assertRaises(OSError, os.fstat, fd)
            for refused in (server.adopt, server.serve):
                with self.assertRaises(ValueError):
                    await refused(os.dup(self.null()), upper)

        self.run_it(main)


class LoopTest(unittest.TestCase):
    def test_loops_without_an_end(self) -> None:
        async def main() -> None:
            _keeper.watch_over(asyncio.get_running_loop())

        asyncio.run(main())
        self.assertIsNone(_keeper.running_loop())
