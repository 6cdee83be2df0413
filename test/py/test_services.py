# SPDX-License-Identifier: Apache-2.0
"""Messages, state, channels and buffers: what needs no VM.

Where an answer is needed, it is invented here.
"""

import asyncio
import contextlib
import pickle
import unittest
from typing import Any, Dict, Iterator, List, Tuple
from unittest import mock

import erlang
from erlang import _bridge, _messages, _state, _waits, channel


@contextlib.contextmanager
def answers(*values: Any) -> Iterator[List[Tuple[Any, ...]]]:
    """Answer the next calls with these; gives the list of calls."""
    left = list(values)
    asked: List[Tuple[Any, ...]] = []

    def call(name: Any, args: Any, kwargs: Any) -> Any:
        asked.append((name, *args))
        value = left.pop(0)
        if isinstance(value, BaseException):
            raise value
        return value

    with mock.patch.object(_bridge, "call", call):
        yield asked
    assert not left, left


OK = erlang.Atom("ok")


def term(tag: str) -> Tuple[Any, Any, Any]:
    return erlang.Atom(tag), "some pid", erlang.Atom("infinity")


class WithoutVmTest(unittest.TestCase):
    def test_there_is_nobody(self) -> None:
        for use in (
            lambda: erlang.send("name", 1),
            lambda: erlang.whereis("name"),
            lambda: erlang.self(),
            lambda: erlang.monitor("name"),
            lambda: erlang.state_get("key"),
            lambda: erlang.state_incr("key"),
            lambda: erlang.SharedDict(),
            lambda: erlang.Channel(),
            lambda: erlang.ByteChannel(term("py_byte_channel")).receive(),
            lambda: erlang.PyBuffer(term("py_buffer")).read(),
        ):
            with self.assertRaisesRegex(RuntimeError, "there is no Erlang VM"):
                use()
        with self.assertRaisesRegex(RuntimeError, "no Erlang VM to send to"):
            _bridge._send(1, 2)
        with self.assertRaisesRegex(RuntimeError, "no Erlang VM to send to"):
            _bridge._look()
        self.assertEqual(_messages._known, {})
        self.assertEqual(_messages._watched, {})


class MessagesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.sent: List[Tuple[int, Any]] = []
        patches = [
            mock.patch.object(_bridge, "_send", lambda n, t: self.sent.append((n, t))),
            mock.patch.object(_bridge, "_look", lambda: None),
            mock.patch.dict(_messages._known, clear=True),
            mock.patch.dict(_messages._watched, clear=True),
        ]
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)

    def test_only_the_first_is_asked_for(self) -> None:
        with answers(OK) as asked:
            erlang.send("name", 1)
            erlang.reply("name", 2)
        (((_, number, dest)),) = asked
        self.assertEqual(dest, "name")
        self.assertEqual(self.sent, [(number, 1), (number, 2)])

    def test_gone(self) -> None:
        with answers(OK):
            erlang.send("name", 1)
        _messages._gone((self.sent[0][0], "why"))
        _messages._gone((self.sent[0][0], "again"))
        _messages._gone((12345678, "unknown"))
        with answers(erlang.Atom("gone")):
            with self.assertRaisesRegex(erlang.ProcessError, "no process 'name'"):
                erlang.send("name", 2)
        with answers(OK):
            erlang.send("name", 3)
        self.assertEqual([t for _, t in self.sent], [1, 3])
        self.assertEqual(len(_messages._watched), 1)

    def test_refused(self) -> None:
        with answers(erlang.Atom("invalid")), self.assertRaises(TypeError):
            erlang.send("name", 1)
        with answers(erlang.Atom("full")), self.assertRaises(RuntimeError):
            erlang.send("name", 1)
        with answers(KeyboardInterrupt()), self.assertRaises(KeyboardInterrupt):
            erlang.send("name", 1)
        with self.assertRaises(TypeError):
            erlang.send([], 1)  # type: ignore[arg-type]
        self.assertEqual(_messages._known, {})
        self.assertEqual(_messages._watched, {})

    def test_another_thread_forgets_as_well(self) -> None:
        class Changing(Dict[Any, Any]):
            def __iter__(self) -> Iterator[Any]:
                self.asked = getattr(self, "asked", 0) + 1
                if self.asked == 1:
                    raise RuntimeError("dictionary changed size during iteration")
                return super().__iter__()

        known = Changing()
        with mock.patch.object(_messages, "_known", known):
            with mock.patch.object(_messages, "KNOWN_MAX", 1), answers(OK, OK):
                erlang.send("name 1", 1)
                erlang.send("name 2", 2)
        self.assertEqual((list(known.keys()), known.asked), (["name 2"], 2))

    def test_the_oldest_is_forgotten(self) -> None:
        with mock.patch.object(_messages, "KNOWN_MAX", 3), answers(*[OK] * 6):
            for i in range(5):
                erlang.send(f"name {i}", i)
            self.assertEqual(list(_messages._known), ["name 2", "name 3", "name 4"])
            self.assertEqual(len(_messages._watched), 3)
            erlang.send("name 0", 6)
        forgotten = [t for n, t in self.sent if n == 0]
        first = self.sent[0][0]
        self.assertEqual(
            forgotten, [("forget", first), ("forget", first + 1), ("forget", first + 2)]
        )

    def test_monitor(self) -> None:
        pid = erlang.decode(
            b"\x83Xw\rnonode@nohost\x00\x00\x00\x50\x00\x00\x00\x00\x00\x00\x00\x00"
        )
        with answers(OK):
            watched = erlang.monitor(pid)
        self.assertTrue(watched.alive)
        self.assertIsNone(watched.reason)
        with answers(erlang.Atom("timeout")) as asked:
            self.assertFalse(watched.wait(0.25))
        self.assertEqual(asked[0][:3], (("message", "await"), pid, 250))
        with answers((erlang.Atom("gone"), "why")):
            self.assertTrue(watched.wait())
        self.assertFalse(watched.alive)
        self.assertEqual(watched.reason, "why")
        self.assertTrue(watched.wait())
        watched.close()
        watched.close()
        self.assertEqual(len(self.sent), 1)


class StateTest(unittest.TestCase):
    def test_answers(self) -> None:
        with answers((OK, None), erlang.Atom("not_found"), erlang.Atom("not_found")):
            self.assertIsNone(erlang.state_get("k", 5))
            self.assertEqual(erlang.state_get("k", 5), 5)
            self.assertIsNone(erlang.state_get("k"))
        with answers((erlang.Atom("full"), 10)):
            with self.assertRaisesRegex(OverflowError, "10 entries"):
                erlang.state_set("k", 1)
        with answers(erlang.Atom("not_an_integer")), self.assertRaises(TypeError):
            erlang.state_incr("k")
        with answers((OK, 3)) as asked:
            self.assertEqual(erlang.state_decr("k", 2), 3)
        self.assertEqual(asked, [(("state", "incr"), "k", -2)])
        with answers(erlang.Atom("not_started")), self.assertRaises(RuntimeError):
            erlang.state_set("k", 1)
        for change in (erlang.state_incr, erlang.state_decr):
            with self.assertRaises(TypeError):
                change("k", 1.5)  # type: ignore[arg-type]

    def test_shared_dict(self) -> None:
        store: Dict[Any, Any] = {}
        handle = (erlang.Atom("py_shared_dict"), "some reference")

        def ask(service: Any, *args: Any) -> Any:
            name = service[1]
            if name == "set":
                store[args[1]] = args[2]
                return OK, None
            if name == "keys":
                return OK, list(store)
            if name in ("check", "size"):
                return OK, len(store)
            find = store.pop if name == "take" else store.get
            value = find(args[1], None)
            return erlang.Atom("missing") if value is None else (OK, value)

        with mock.patch.object(_waits, "ask", ask):
            shared = erlang.SharedDict(handle)
            shared.update(a=1, b=2)
            self.assertEqual(dict(shared), {"a": 1, "b": 2})
            self.assertEqual(shared.setdefault("c", 3), 3)
            self.assertEqual(
                (shared.pop("a"), "a" in shared, len(shared)), (1, False, 2)
            )
            for missing in (lambda: shared["x"], lambda: shared.__delitem__("x")):
                with self.assertRaises(KeyError):
                    missing()
            self.assertEqual(pickle.loads(pickle.dumps(shared)), shared)
        with answers(erlang.Atom("destroyed")), self.assertRaises(ReferenceError):
            _state.SharedDict(handle)
        with answers(erlang.Atom("invalid")), self.assertRaises(TypeError):
            _state.SharedDict(5)


class ChannelTest(unittest.TestCase):
    def test_terms(self) -> None:
        for kind, tag in (
            (erlang.Channel, "py_channel"),
            (erlang.ByteChannel, "py_byte_channel"),
        ):
            made = kind(term(tag))
            self.assertEqual(made.term, term(tag))
            self.assertEqual(made, kind(term(tag)))
            self.assertEqual(hash(made), hash(kind(term(tag))))
            self.assertEqual(pickle.loads(pickle.dumps(made)), made)
            self.assertIn(kind.__name__, repr(made))
            for bad in (5, "x", (), ("py_channel",), term("other")):
                with self.assertRaises(TypeError):
                    kind(bad)
        with self.assertRaises(TypeError):
            erlang.PyBuffer(term("py_channel"))

    def test_receive(self) -> None:
        ch = erlang.Channel(term("py_channel"))
        with answers((OK, 1), erlang.Atom("timeout"), erlang.Atom("closed")) as asked:
            self.assertEqual(ch.receive(), 1)
            with self.assertRaises(TimeoutError):
                ch.receive(1.5)
            with self.assertRaises(erlang.ChannelClosed):
                ch.receive(timeout=0)
        self.assertEqual([a[2] for a in asked], [None, 1500, 0])
        self.assertEqual(len({a[3] for a in asked}), 3)
        with answers(erlang.Atom("empty"), (OK, None), erlang.Atom("closed")):
            self.assertIsNone(ch.try_receive())
            self.assertIsNone(ch.try_receive())
            with self.assertRaises(erlang.ChannelClosed):
                ch.try_receive()
        for bad in (-1, float("nan")):
            with self.assertRaises(ValueError):
                ch.receive(bad)
        with answers((OK, 1), (OK, 2), erlang.Atom("closed")):
            self.assertEqual(list(ch), [1, 2])

    def test_an_interrupt_cancels(self) -> None:
        ch = erlang.Channel(term("py_channel"))
        begun: List[Any] = []
        with mock.patch.object(
            _bridge, "_begin_call", lambda n, a, k, t: begun.append((n, a))
        ), answers(KeyboardInterrupt()) as asked:
            with self.assertRaises(KeyboardInterrupt):
                ch.receive()
        self.assertEqual(begun, [(("wait", "cancel"), (asked[0][3],))])
        with mock.patch.object(_bridge, "_begin_call", self.fail):
            with answers(ValueError()), self.assertRaises(ValueError):
                ch.receive()

    def test_send(self) -> None:
        ch = erlang.ByteChannel(term("py_byte_channel"))
        with answers(OK, erlang.Atom("busy"), erlang.Atom("closed")):
            ch.send(bytearray(b"x"))
            with self.assertRaises(erlang.ChannelBusy):
                ch.send(b"x")
            with self.assertRaises(erlang.ByteChannelClosed):
                ch.send(memoryview(b"x"))
        with self.assertRaises(TypeError):
            ch.send("text")  # type: ignore[arg-type]
        self.assertTrue(issubclass(erlang.ByteChannelClosed, erlang.ChannelClosed))
        self.assertIs(channel.reply, erlang.reply)

    def test_context_managers(self) -> None:
        async def use() -> None:
            async with erlang.Channel(term("py_channel")):
                pass

        with answers(OK, OK) as asked:
            with erlang.ByteChannel(term("py_byte_channel")):
                pass
            asyncio.run(use())
        self.assertEqual([a[0] for a in asked], [("channel", "close")] * 2)

    def test_buffer(self) -> None:
        with answers(b"on", b"e\ntwo", erlang.Atom("closed")):
            with erlang.PyBuffer(term("py_buffer")) as file:
                self.assertEqual(file.readline(), b"one\n")
                self.assertEqual(list(file), [b"two"])
                self.assertEqual(file.read(), b"")


class LateAnswerTest(unittest.TestCase):
    """An answer that comes for a coroutine which was cancelled."""

    def run_one(self, cancel: bool, late_answer: bool) -> Tuple[Any, List[Any]]:
        late: List[Any] = []
        there: List[Any] = []
        told: List[Any] = []

        def begin(name: Any, args: Any, kwargs: Any, when_there: Any) -> None:
            (told if name == ("wait", "cancel") else there).append(when_there)

        async def main() -> Any:
            task = asyncio.ensure_future(
                _waits.wait_async(("a", "b"), 1, late=late.append)
            )
            await asyncio.sleep(0)
            if not late_answer:
                there[0](None, "value")
            if cancel:
                task.cancel()
            try:
                return await task
            except asyncio.CancelledError:
                if late_answer:
                    self.assertEqual(len(told), 1)
                    there[0](None, "value")
                    await asyncio.sleep(0)
                return "cancelled"

        with mock.patch.object(_bridge, "_begin_call", begin), mock.patch.object(
            _waits, "_enter", lambda loop: None
        ), mock.patch.object(_waits, "_leave", lambda loop: None):
            return asyncio.run(main()), late

    def test_it_is_not_lost(self) -> None:
        self.assertEqual(self.run_one(False, False), ("value", []))
        self.assertEqual(self.run_one(True, True), ("cancelled", ["value"]))
        self.assertEqual(self.run_one(True, False), ("cancelled", ["value"]))


if __name__ == "__main__":
    unittest.main()
