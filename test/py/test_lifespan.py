# SPDX-License-Identifier: Apache-2.0
"""ASGI applications that start up and shut down, with no VM."""

import asyncio
import sys
import types
import unittest
from typing import Any, Coroutine, Dict, List

import erlang
from erlang import _asgi


class App:
    """An application that supports lifespan, and writes down what happens."""

    def __init__(self, log: List[str]) -> None:
        self.log = log
        self.start_messages = [{"type": "lifespan.startup.complete"}]
        self.end_messages = [{"type": "lifespan.shutdown.complete"}]

    async def __call__(self, scope: Dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(scope, receive, send)
            return
        state = scope["state"]
        state["mine"] = state.get("mine", 0) + 1
        state.get("shared", []).append(1)
        await send({"type": "http.response.start", "status": 200})
        body = repr(sorted(state.items())).encode()
        await send({"type": "http.response.body", "body": body})

    async def live(self, scope: Dict[str, Any], receive: Any, send: Any) -> None:
        self.log.append((await receive())["type"])
        await asyncio.sleep(0)
        scope["state"]["shared"] = []
        for message in self.start_messages:
            await send(message)
        self.log.append((await receive())["type"])
        for message in self.end_messages:
            await send(message)
        self.log.append("ended")


class LifespanTest(unittest.TestCase):
    def setUp(self) -> None:
        self.log: List[str] = []
        self.module = types.ModuleType("the_web_app")
        self.module.app = self.app = App(self.log)
        sys.modules["the_web_app"] = self.module
        self.addCleanup(sys.modules.pop, "the_web_app")

    async def ask(self, name: str = "app", **scope: Any) -> bytes:
        _, _, body = await _asgi.run("the_web_app", name, scope, [])
        return body

    def run_all(self, *requests: Coroutine[Any, Any, bytes]) -> Any:
        """Run them all at once, then end what lasts; what the loop was told."""
        told: List[Any] = []

        async def main() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: told.append(context))
            answers = await asyncio.gather(*requests, return_exceptions=True)
            for life in list(loop.lasting.values()):
                await asyncio.wait_for(life.end(), 60)
            return answers

        return erlang.run(main()), told

    def test_once(self) -> None:
        answers, told = self.run_all(*(self.ask() for _ in range(10)))
        expected = [f"[('mine', 1), ('shared', {[1] * n})]" for n in range(1, 11)]
        self.assertEqual([a.decode() for a in answers], expected)
        self.assertEqual(self.log, ["lifespan.startup", "lifespan.shutdown", "ended"])
        self.assertEqual(told, [])

    def test_state_of_the_request(self) -> None:
        answers, _ = self.run_all(self.ask(state={"mine": 7}), self.ask())
        self.assertEqual(answers[0], b"[('mine', 8), ('shared', [1])]")
        self.assertEqual(answers[1], b"[('mine', 1), ('shared', [1, 1])]")

    def test_not_supported(self) -> None:
        async def raises(scope: Dict[str, Any], receive: Any, send: Any) -> None:
            assert scope["type"] == "http"
            await self.app(scope, receive, send)

        async def returns(scope: Dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                await self.app(scope, receive, send)

        async def raises_later(scope: Dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await receive()
                raise LookupError
            await self.app(scope, receive, send)

        for app in (raises, returns, raises_later):
            self.module.app = app
            answers, told = self.run_all(self.ask(), self.ask())
            self.assertEqual(answers, [b"[('mine', 1)]"] * 2)
            self.assertEqual(told, [])

    def test_fails_and_tries_again(self) -> None:
        failed = {"type": "lifespan.startup.failed", "message": "no database"}
        good = self.app.start_messages

        async def main() -> None:
            self.app.start_messages = [failed]
            both = asyncio.gather(self.ask(), self.ask(), return_exceptions=True)
            for error in await both:
                self.assertIsInstance(error, RuntimeError)
                self.assertIn("failed to start: no database", str(error))
            self.app.start_messages = good
            self.assertEqual(await self.ask(), b"[('mine', 1), ('shared', [1])]")

        erlang.run(main())
        self.assertEqual(self.log.count("lifespan.startup"), 2)

    def test_nobody_waits_for_the_start(self) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            first = loop.create_task(self.ask())
            while not self.log:
                await asyncio.sleep(0)
            first.cancel()
            self.assertEqual(await self.ask(), b"[('mine', 1), ('shared', [1])]")
            self.assertTrue(first.cancelled())

        erlang.run(main())
        self.assertEqual(self.log.count("lifespan.startup"), 1)

    def test_replaced(self) -> None:
        async def main() -> None:
            await self.ask()
            self.module.app = App(self.log)
            await self.ask()
            while "ended" not in self.log:
                await asyncio.sleep(0)

        erlang.run(main())
        starts = ["lifespan.startup", "lifespan.startup"]
        self.assertEqual(self.log, [*starts, "lifespan.shutdown", "ended"])

    def test_bound_method(self) -> None:
        self.module.holder = types.SimpleNamespace(app=self.app)
        type(self.app).method = App.__call__
        self.addCleanup(delattr, App, "method")
        answers, _ = self.run_all(*(self.ask("holder.app.method") for _ in range(3)))
        self.assertEqual(len(answers), 3)
        self.assertEqual(self.log.count("lifespan.startup"), 1)

    def test_shutdown_fails(self) -> None:
        failed = {"type": "lifespan.shutdown.failed", "message": "still busy"}
        self.app.end_messages = [failed]
        _, told = self.run_all(self.ask())
        self.assertEqual(len(told), 1)
        self.assertIn("still busy", told[0]["message"])

    def test_raises_in_shutdown(self) -> None:
        self.app.end_messages = [{"type": "nonsense"}]
        _, told = self.run_all(self.ask())
        self.assertEqual(len(told), 1)
        self.assertIn("does not send 'nonsense'", str(told[0]["exception"]))

    def test_ends_before_it_was_told(self) -> None:
        async def app(scope: Dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                return
            await self.app(scope, receive, send)

        self.module.app = app
        answers, told = self.run_all(self.ask())
        self.assertEqual((answers, told), ([b"[('mine', 1)]"], []))


if __name__ == "__main__":
    unittest.main()
