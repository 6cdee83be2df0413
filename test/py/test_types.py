# SPDX-License-Identifier: Apache-2.0
"""The types that Erlang has and Python has not."""

import collections.abc
import copy
import gc
import pickle
import struct
import typing
import unittest
import weakref

import erlang
from erlang import Atom, BitString, FrozenList, FrozenMap, ImproperList, atom


def node(name: str) -> bytes:
    return b"w" + bytes([len(name)]) + name.encode()


def pid(number: int, serial: int = 0, on: str = "a@b", creation: int = 1) -> erlang.Pid:
    rest = struct.pack(">III", number, serial, creation)
    value = erlang.decode(b"\x83X" + node(on) + rest)
    assert isinstance(value, erlang.Pid)
    return value


def port(number: int, on: str = "a@b") -> erlang.Port:
    value = erlang.decode(b"\x83x" + node(on) + struct.pack(">QI", number, 1))
    assert isinstance(value, erlang.Port)
    return value


def ref(*words: int, on: str = "a@b", creation: int = 1) -> erlang.Ref:
    head = b"\x83Z" + struct.pack(">H", len(words)) + node(on)
    tail = struct.pack(f">{len(words) + 1}I", creation, *words)
    value = erlang.decode(head + tail)
    assert isinstance(value, erlang.Ref)
    return value


def export() -> erlang.Fun:
    value = erlang.decode(b"\x83q" + node("lists") + node("map") + b"a\x02")
    assert isinstance(value, erlang.Fun)
    return value


SAMPLES: list[typing.Any] = [
    Atom("ok"),
    pid(1),
    port(1),
    ref(1, 2, 3),
    export(),
    BitString(b"\xe0", 3),
    ImproperList([1], 2),
    FrozenList([1, 2]),
    FrozenMap({"a": FrozenList([1])}),
]


class CommonTest(unittest.TestCase):
    def test_pickle_and_copy(self) -> None:
        for value in SAMPLES:
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                again = pickle.loads(pickle.dumps(value, protocol))
                self.assertIs(type(again), type(value))
                self.assertEqual(again, value)
            self.assertEqual(copy.copy(value), value)
            self.assertEqual(copy.deepcopy(value), value)

    def test_hash_and_equality(self) -> None:
        for value in SAMPLES:
            again = erlang.decode(erlang.encode({value: 1}))
            self.assertEqual(list(again), [value])
            self.assertEqual(hash(list(again)[0]), hash(value))
            self.assertFalse(value == object())
            self.assertTrue(value != object())

    def test_are_final(self) -> None:
        for value in SAMPLES:
            with self.assertRaises(TypeError):
                type("Sub", (type(value),), {})

    def test_opaque_ones_cannot_be_made(self) -> None:
        for opaque in (erlang.Pid, erlang.Ref, erlang.Port, erlang.Fun):
            with self.assertRaises(TypeError):
                opaque()

    def test_are_immutable(self) -> None:
        for value in SAMPLES:
            with self.assertRaises((AttributeError, TypeError)):
                value.anything = 1
        for value, name in ((SAMPLES[5], "bits"), (SAMPLES[6], "tail")):
            with self.assertRaises(AttributeError):
                setattr(value, name, 1)

    def test_modules(self) -> None:
        for value in SAMPLES:
            self.assertEqual(type(value).__module__, "erlang")
            self.assertIs(getattr(erlang, type(value).__name__), type(value))


class AtomTest(unittest.TestCase):
    def test_is_a_str(self) -> None:
        self.assertIsInstance(Atom("ok"), str)
        self.assertEqual(Atom("ok"), "ok")
        self.assertEqual(hash(Atom("ok")), hash("ok"))
        self.assertEqual({"ok": 1}[Atom("ok")], 1)
        self.assertEqual(f"{Atom('ok')}", "ok")
        self.assertIs(type(str(Atom("ok"))), str)
        self.assertEqual(repr(Atom("ok")), "Atom('ok')")
        self.assertEqual(Atom("a") + "b", "ab")

    def test_length(self) -> None:
        self.assertEqual(len(Atom("\U0001f600" * 255)), 255)
        with self.assertRaisesRegex(ValueError, "at most 255 characters, not 256"):
            Atom("x" * 256)
        with self.assertRaisesRegex(ValueError, "surrogate"):
            Atom("\ud800")
        with self.assertRaises(TypeError):
            Atom(b"ok")  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            Atom()  # type: ignore[call-arg]

    def test_same_atom(self) -> None:
        self.assertIs(atom("x"), atom("x"))
        self.assertIs(type(atom("x")), Atom)
        one = Atom("one")
        self.assertIs(Atom(one), one)

    def test_decoded_atoms_are_shared(self) -> None:
        values = erlang.decode(erlang.encode([Atom("shared")] * 2))
        self.assertIs(values[0], values[1])

    def test_more_atoms_than_the_cache_holds(self) -> None:
        names = [f"atom_{i}" for i in range(20_000)]
        values = erlang.decode(erlang.encode([Atom(n) for n in names]))
        self.assertEqual(values, names)
        self.assertEqual({type(v) for v in values}, {Atom})


class IdentTest(unittest.TestCase):
    def test_repr(self) -> None:
        self.assertEqual(repr(pid(85, 3)), "<erlang.Pid a@b 0.85.3>")
        self.assertEqual(repr(port(6)), "<erlang.Port a@b 0.6>")
        self.assertEqual(repr(ref(1, 2, 3)), "<erlang.Ref a@b 0.3.2.1>")
        self.assertEqual(repr(export()), "<erlang.Fun lists:map/2>")

    def test_node(self) -> None:
        for value in (pid(1), port(1), ref(1)):
            self.assertEqual(value.node, "a@b")
            self.assertIs(type(value.node), Atom)

    def test_order_of_pids(self) -> None:
        ordered = [
            pid(5, 0, "a@b", 1),
            pid(5, 0, "a@b", 2),
            pid(5, 0, "b@b", 1),
            pid(6, 0, "a@b", 1),
            pid(5, 1, "a@b", 1),
        ]
        self.check_order(ordered)

    def test_order_of_ports(self) -> None:
        self.check_order([port(1), port(1, "b@b"), port(2), port(1 << 40)])

    def test_order_of_references(self) -> None:
        self.check_order(
            [
                ref(9),
                ref(9, 1, 1),
                ref(1, 2, 1),
                ref(1, 2, 1, on="b@b"),
                ref(2, 2, 1),
                ref(0, 0, 2),
                ref(0, 0, 0, 0, 0),
                ref(0, 0, 0, 0, 1),
            ]
        )

    def check_order(self, ordered: list[typing.Any]) -> None:
        for i, a in enumerate(ordered):
            for j, b in enumerate(ordered):
                self.assertEqual(a < b, i < j, (a, b))
                self.assertEqual(a <= b, i <= j, (a, b))
                self.assertEqual(a == b, i == j, (a, b))

    def test_kinds_do_not_compare(self) -> None:
        for other in (port(1), ref(1), 1, "x"):
            with self.assertRaises(TypeError):
                pid(1) < other  # noqa: B015
        with self.assertRaises(TypeError):
            export() < export()  # type: ignore[operator]  # noqa: B015


class BitStringTest(unittest.TestCase):
    def test_parts(self) -> None:
        bits = BitString(b"\xff\xff", 11)
        self.assertEqual((bits.data, bits.bits), (b"\xff\xe0", 11))
        self.assertEqual(bits, BitString(b"\xff\xe5", 11))
        self.assertNotEqual(bits, BitString(b"\xff\xe0", 12))
        self.assertEqual(BitString(b"", 0).data, b"")

    def test_source_is_not_changed(self) -> None:
        for n in range(256):
            source = bytes([n])
            BitString(source, 1)
            self.assertEqual(source[0], n)

    def test_wrong_sizes(self) -> None:
        for data, bits in ((b"", 1), (b"a", 0), (b"a", 9), (b"ab", 8), (b"a", -1)):
            with self.assertRaisesRegex(ValueError, "do not take"):
                BitString(data, bits)


class ImproperListTest(unittest.TestCase):
    def test_parts(self) -> None:
        value = ImproperList(iter([1, 2]), 3)
        self.assertEqual((value.items, value.tail), ((1, 2), 3))
        self.assertNotEqual(value, ImproperList([1, 2], 4))
        self.assertNotEqual(value, ImproperList([1], 3))

    def test_refused(self) -> None:
        with self.assertRaises(ValueError):
            ImproperList([], 1)
        for tail in ([], FrozenList()):
            with self.assertRaises(ValueError):
                ImproperList([1], tail)

    def test_unhashable(self) -> None:
        with self.assertRaises(TypeError):
            hash(ImproperList([[]], 1))

    def test_cycle_is_collected(self) -> None:
        class Marker:
            pass

        marker = Marker()
        alive = weakref.ref(marker)
        cycle: list[typing.Any] = [marker]
        cycle.append(ImproperList([cycle], FrozenMap(cycle=cycle)))
        del marker, cycle
        gc.collect()
        self.assertIsNone(alive())

    def test_recursive_repr(self) -> None:
        inner: list[typing.Any] = []
        value = ImproperList([inner], 1)
        inner.append(value)
        self.assertEqual(repr(value), "ImproperList([[ImproperList(...)]], 1)")

    def test_long_chain_is_freed(self) -> None:
        value: typing.Any = 1
        for _ in range(100_000):
            value = ImproperList([1], value)
        del value
        chain: typing.Any = 1
        for _ in range(100_000):
            chain = FrozenMap(a=chain)
        del chain


class FrozenMapTest(unittest.TestCase):
    def test_is_a_mapping(self) -> None:
        value = FrozenMap({"a": 1, "b": 2})
        self.assertIsInstance(value, collections.abc.Mapping)
        self.assertEqual((len(value), value["a"], list(value)), (2, 1, ["a", "b"]))
        self.assertEqual(list(value.keys()), ["a", "b"])
        self.assertEqual(list(value.values()), [1, 2])
        self.assertEqual(list(value.items()), [("a", 1), ("b", 2)])
        self.assertEqual(
            (value.get("a"), value.get("x"), value.get("x", 9)), (1, None, 9)
        )
        self.assertIn("a", value)
        self.assertNotIn("x", value)
        with self.assertRaises(KeyError):
            value["x"]
        with self.assertRaises(TypeError):
            value["a"] = 2  # type: ignore[index]
        self.assertEqual(dict(value), {"a": 1, "b": 2})
        self.assertEqual({**value}, {"a": 1, "b": 2})

    def test_equality(self) -> None:
        value = FrozenMap({"a": 1, "b": 2})
        self.assertEqual(value, {"b": 2, "a": 1})
        self.assertEqual(hash(value), hash(FrozenMap([("b", 2), ("a", 1)])))
        self.assertNotEqual(value, FrozenMap({"a": 1}))
        self.assertNotEqual(value, [("a", 1)])

    def test_copies_its_source(self) -> None:
        source = {"a": 1}
        value = FrozenMap(source)
        source["a"] = 2
        self.assertEqual(value["a"], 1)

    def test_unhashable(self) -> None:
        with self.assertRaises(TypeError):
            hash(FrozenMap(a=[]))

    def test_matches(self) -> None:
        match FrozenMap(a=1):
            case {"a": x}:
                self.assertEqual(x, 1)
            case _:
                self.fail("no match")


if __name__ == "__main__":
    unittest.main()
