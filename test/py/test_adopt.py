# SPDX-License-Identifier: Apache-2.0
"""Descriptors that Erlang hands over: who has them when something fails.

What came through the hatch is invented here.
"""

import asyncio
import os
import socket
import sys
import types
import unittest
from typing import Any, Callable, Coroutine, Dict, List, Optional
from unittest import mock

import erlang
from erlang import _adopt, _bridge, _connection, reactor, server


class Echo(reactor.Protocol):
    def data_received(self, data: bytes) -> Optional[str]:
        self.write_buffer += data
        return "write_pending"


class Base(unittest.TestCase):
    def setUp(self) -> None:
        self.module = types.ModuleType("the_handlers")
        sys.modules["the_handlers"] = self.module
        self.addCleanup(sys.modules.pop, "the_handlers")
        self.module.Echo = Echo
        _adopt._recent.clear()  # here tokens come again
        self.hatch: Dict[int, int] = {}
        self.inodes: List[int] = []
        patched = mock.patch.object(_bridge, "_passed", self.passed)
        patched.start()
        self.addCleanup(patched.stop)

    def passed(self, token: int) -> int:
        if token not in self.hatch:
            raise OSError("no descriptor has come")
        return self.hatch.pop(token)

    def send(self, token: int) -> socket.socket:
        """Put a socket into the hatch; our end of it."""
        ours, theirs = socket.socketpair()
        ours.settimeout(60)
        self.addCleanup(ours.close)
        self.inodes.append(os.fstat(theirs.fileno()).st_ino)
        self.hatch[token] = theirs.detach()
        return ours

    def still_open(self) -> bool:
        links = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
        sockets = {os.readlink(link) for link in links if os.path.islink(link)}
        return any(f"socket:[{n}]" in sockets for n in self.inodes)

    def run_it(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        async def all_of_it() -> Any:
            try:
                return await asyncio.wait_for(main(), 60)
            finally:
                for one in list(asyncio.get_running_loop().lasting.values()):
                    await one.end()
                await asyncio.sleep(0)

        result = erlang.run(all_of_it())
        self.assertFalse(self.still_open())
        self.assertEqual((_adopt._under_way, _adopt._forgotten), (set(), set()))
        return result

    async def adopt(self, token: int, target: Any, limit: Any = None) -> str:
        where = target and (target[0], "the_handlers", target[1])
        return await _adopt.adopt(token, {}, limit, where)


class AdoptTest(Base):
    def test_taken(self) -> None:
        async def main() -> None:
            ours = self.send(1)
            self.assertEqual(await self.adopt(1, ("protocol", "Echo")), "taken")
            self.assertEqual(_adopt.stats(), 1)
            self.assertTrue(self.still_open())
            ours.send(b"x")
            ours.setblocking(False)
            self.assertEqual(await asyncio.get_running_loop().sock_recv(ours, 1), b"x")

        self.run_it(main)

    def test_missing_and_full(self) -> None:
        async def main() -> None:
            self.assertEqual(await self.adopt(1, ("protocol", "Echo")), "missing")
            self.send(1)
            await self.adopt(1, ("protocol", "Echo"), 1)
            ours = self.send(2)
            self.assertEqual(await self.adopt(2, ("protocol", "Echo"), 1), "full")
            self.assertEqual(ours.recv(1), b"")
            self.assertEqual(await self.adopt(2, ("protocol", "Echo"), 1), "missing")

        self.run_it(main)

    def test_no_function(self) -> None:
        async def main() -> None:
            self.send(1)
            with self.assertRaises(AttributeError):
                await self.adopt(1, ("protocol", "nobody"))
            self.send(1)
            with self.assertRaises(ModuleNotFoundError):
                await _adopt.adopt(1, {}, None, ("handler", "no_such_module", "f"))
            self.send(1)
            with self.assertRaisesRegex(RuntimeError, "no protocol factory"):
                await self.adopt(1, None)

        self.run_it(main)

    def test_handler_raises(self) -> None:
        """Whether it had begun to own the descriptor or not, and once only."""

        async def main() -> None:
            for handler in (plain, owner, closer, late):
                self.module.handler = handler
                self.send(1)
                with self.assertRaises(LookupError):
                    await self.adopt(1, ("handler", "handler"))
                self.assertFalse(self.still_open())
                with open(os.devnull) as file:  # perhaps under its number
                    os.fstat(file.fileno())

        def plain(fd: int, info: Any) -> None:
            raise LookupError

        def owner(fd: int, info: Any) -> None:
            made = socket.socket(fileno=fd)
            raise LookupError(made.fileno())

        def closer(fd: int, info: Any) -> None:
            os.close(fd)
            self.other = os.open(os.devnull, os.O_RDONLY)  # takes its number
            self.addCleanup(os.close, self.other)
            raise LookupError

        async def late(fd: int, info: Any) -> None:
            await asyncio.sleep(0)
            raise LookupError

        with self.assertWarns(ResourceWarning):
            self.run_it(main)
        os.fstat(self.other)

    def test_handler_is_cancelled(self) -> None:
        async def waits(fd: int, info: Any) -> None:
            begun.set()
            await asyncio.sleep(3600)

        async def main() -> None:
            self.module.handler = waits
            self.send(1)
            task = asyncio.ensure_future(self.adopt(1, ("handler", "handler")))
            await begun.wait()
            _adopt.forget(1)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertFalse(self.still_open())

        begun = asyncio.Event()
        self.run_it(main)

    def test_handlers(self) -> None:
        async def adopt(fd: int, info: Any) -> Any:
            return await server.adopt(fd, asyncio.Protocol)

        async def main() -> None:
            self.module.handler = adopt
            self.module.keeps = lambda fd, info: kept.append(fd)
            kept: List[int] = []
            ours = self.send(1)
            self.assertEqual(await self.adopt(1, ("handler", "handler")), "taken")
            self.assertEqual(_adopt.stats(), 1)
            ours.close()
            while _adopt.stats():
                await asyncio.sleep(0.001)
            self.send(2)
            self.assertEqual(await self.adopt(2, ("handler", "keeps")), "taken")
            self.assertEqual(_adopt.stats(), 0)
            os.close(kept[0])
            await asyncio.sleep(0)

        self.run_it(main)


class ForgetTest(Base):
    def test_not_taken(self) -> None:
        ours = self.send(1)
        _adopt.forget(1)
        self.assertEqual(ours.recv(1), b"")
        _adopt.forget(1)

    def test_taken_and_forgotten(self) -> None:
        async def transport(fd: int, info: Any) -> Any:
            return await server.adopt(fd, asyncio.Protocol)

        async def main() -> None:
            self.module.transport = transport
            self.module.runs = lambda fd, info: reactor.run_fd(fd, info, Echo)
            self.module.wraps = lambda fd, info: socket.socket(fileno=fd)
            other = self.send(7)
            await self.adopt(7, ("protocol", "Echo"))
            for target, counted in (
                (("protocol", "Echo"), 2),
                (("handler", "transport"), 2),
                (("handler", "runs"), 2),
                (("handler", "wraps"), 1),
            ):
                ours = self.send(1)
                await self.adopt(1, target)
                self.assertEqual(_adopt.stats(), counted)
                _adopt.forget(1)
                ours.setblocking(False)
                loop = asyncio.get_running_loop()
                self.assertEqual(await loop.sock_recv(ours, 1), b"")
                self.assertEqual(_adopt.stats(), 1)
            other.close()
            while _connection.entries:
                await asyncio.sleep(0.001)

        self.run_it(main)

    def test_forgotten_before_it_is_taken(self) -> None:
        async def stubborn(fd: int, info: Any) -> Any:
            begun.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass
            return await server.adopt(fd, asyncio.Protocol)

        async def main() -> None:
            self.module.stubborn = stubborn
            self.send(1)
            task = asyncio.ensure_future(self.adopt(1, ("handler", "stubborn")))
            await begun.wait()
            _adopt.forget(1)
            task.cancel()
            await task
            while self.still_open():
                await asyncio.sleep(0.001)

        begun = asyncio.Event()
        self.run_it(main)
