# SPDX-License-Identifier: Apache-2.0
"""The event loop's names: what needs no VM.  The same tests run on two loops."""

import asyncio
import contextvars
import os
import signal
import socket
import sys
import threading
import time
import unittest
import warnings
from typing import Any, Coroutine, List, Tuple

import erlang


class LoopTests:
    """Run on each loop."""

    def run_on(self, main: Coroutine[Any, Any, Any]) -> Any:
        raise NotImplementedError

    def test_timers_in_order(self) -> None:
        async def main() -> List[int]:
            loop, seen = asyncio.get_running_loop(), []
            done = loop.create_future()
            loop.call_later(0.03, done.set_result, None)
            for n, delay in ((3, 0.02), (2, 0.01), (1, 0)):
                loop.call_later(delay, seen.append, n)
            await done
            return seen

        self.assertEqual(self.run_on(main()), [1, 2, 3])

    def test_no_timer_is_early(self) -> None:
        async def main() -> float:
            began = time.monotonic()
            await asyncio.sleep(0.05)
            return time.monotonic() - began

        self.assertGreaterEqual(self.run_on(main()), 0.049)

    def test_stop_before_run_forever(self) -> None:
        async def none() -> None:
            ...

        loop = self.new_loop()
        try:
            loop.stop()
            loop.run_forever()  # one turn
            loop.run_until_complete(none())
        finally:
            loop.close()

    def test_context_variables(self) -> None:
        var = contextvars.ContextVar("var", default=0)

        async def change(n: int) -> None:
            var.set(n)

        async def main() -> Tuple[int, int]:
            await change(1)
            shared = var.get()
            await asyncio.create_task(change(2))
            return shared, var.get()

        self.assertEqual(self.run_on(main()), (1, 1))

    def test_subprocess(self) -> None:
        async def main() -> Tuple[bytes, Any]:
            child = await asyncio.create_subprocess_exec(
                "/bin/cat",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await child.communicate(b"through a child")
            return out, child.returncode

        self.assertEqual(self.run_on(main()), (b"through a child", 0))

    def test_signals(self) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            came = asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, came.set)
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.wait_for(came.wait(), 60)
            self.assertTrue(loop.remove_signal_handler(signal.SIGUSR1))

        self.run_on(main())

    def test_reader_and_writer_on_one_descriptor(self) -> None:
        async def main() -> bytes:
            loop = asyncio.get_running_loop()
            one, other = socket.socketpair()
            got: "asyncio.Future[bytes]" = loop.create_future()
            written = loop.create_future()

            def readable() -> None:
                loop.remove_reader(one)
                got.set_result(one.recv(9))

            def writable() -> None:
                loop.remove_writer(one)
                one.send(b"out")
                written.set_result(None)

            with one, other:
                loop.add_reader(one, readable)
                loop.add_writer(one, writable)
                await written
                other.send(b"in " + other.recv(9))
                return await got

        self.assertEqual(self.run_on(main()), b"in out")

    def test_end_of_file(self) -> None:
        async def main() -> Tuple[bytes, bool]:
            async def serve(reader: Any, writer: Any) -> None:
                writer.write(await reader.read())
                writer.close()

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            async with server:
                port = server.sockets[0].getsockname()[1]
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"half closed")
                writer.write_eof()
                data = await reader.read()
                writer.close()
                await writer.wait_closed()
                return data, reader.at_eof()

        self.assertEqual(self.run_on(main()), (b"half closed", True))


class StockTest(LoopTests, unittest.TestCase):
    new_loop = staticmethod(asyncio.SelectorEventLoop)

    def run_on(self, main: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(main)


class ErlangTest(LoopTests, unittest.TestCase):
    new_loop = staticmethod(erlang.new_event_loop)

    def run_on(self, main: Coroutine[Any, Any, Any]) -> Any:
        return erlang.run(main)

    def test_run(self) -> None:
        async def main() -> Any:
            return asyncio.get_running_loop()

        loop = erlang.run(main(), debug=True)
        self.assertIsInstance(loop, erlang.ErlangEventLoop)
        self.assertTrue(loop.is_closed())
        self.assertTrue(loop.get_debug())

    def test_run_cancels_what_is_left(self) -> None:
        ended = []

        async def left() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(True)

        async def main() -> None:
            asyncio.ensure_future(left())
            await asyncio.sleep(0)

        erlang.run(main())
        self.assertEqual(ended, [True])

    def test_not_in_a_loop(self) -> None:
        async def inner() -> None:
            ...

        async def main() -> None:
            coro = inner()
            with self.assertRaisesRegex(RuntimeError, "running event loop"):
                erlang.run(coro)
            coro.close()

        erlang.run(main())

    def test_not_a_coroutine(self) -> None:
        with self.assertRaises((ValueError, TypeError)):
            erlang.run(7)  # type: ignore[arg-type]

    def test_policy(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            before = asyncio.get_event_loop_policy()
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                erlang.install()
            deprecated = [w for w in said if w.category is DeprecationWarning]
            self.assertEqual(bool(deprecated), sys.version_info >= (3, 14), said)

            async def main() -> Any:
                return asyncio.get_running_loop()

            self.assertIsInstance(asyncio.run(main()), erlang.ErlangEventLoop)
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                asyncio.set_event_loop_policy(before)

    def test_policy_of_its_own(self) -> None:
        policy = erlang.get_event_loop_policy()
        self.assertIsInstance(policy, erlang.EventLoopPolicy)
        loop = policy.new_event_loop()
        self.addCleanup(loop.close)
        self.assertIsInstance(loop, erlang.ErlangEventLoop)

    def test_in_a_thread(self) -> None:
        results = []

        async def main() -> int:
            await asyncio.sleep(0.001)
            return 7

        thread = threading.Thread(target=lambda: results.append(erlang.run(main())))
        thread.start()
        thread.join(60)
        self.assertEqual(results, [7])


if __name__ == "__main__":
    unittest.main()
