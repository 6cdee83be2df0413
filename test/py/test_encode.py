# SPDX-License-Identifier: Apache-2.0
"""What each kind of Python object becomes, and what is refused, with where."""

import array
import collections
import collections.abc
import dataclasses
import decimal
import enum
import fractions
import gc
import math
import mmap
import struct
import sys
import threading
import types
import typing
import unittest

import erlang
from erlang import Atom, BitString, FrozenList, FrozenMap, ImproperList


def echo(obj: object) -> object:
    """Return what Erlang would send back."""
    return erlang.decode(erlang.encode(obj))


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Name(str, enum.Enum):
    A = "a"


class Bits(enum.Flag):
    A = 1
    B = 2


@dataclasses.dataclass
class Point:
    x: int
    args: typing.Any = None
    total: typing.ClassVar[int] = 0


class Pair(typing.NamedTuple):
    left: int
    right: int


class MyList(list):  # type: ignore[type-arg]
    pass


class Real:
    """A number known only by its registration."""

    def __float__(self) -> float:
        return 2.5


class Integral:
    def __index__(self) -> int:
        return 1 << 70


class Shrinking(collections.abc.Sequence):  # type: ignore[type-arg]
    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: typing.Any) -> typing.Any:
        if i >= 2:
            raise IndexError
        return i


class MappingTest(unittest.TestCase):
    """The table of the documentation, row by row."""

    def same(self, obj: object, expected: object) -> None:
        got = echo(obj)
        self.assertEqual(repr(got), repr(expected))

    def test_integers(self) -> None:
        for bits in range(0, 2200):
            for n in ((1 << bits) - 1, 1 << bits, -(1 << bits), -(1 << bits) - 1):
                self.assertEqual(echo(n), n)
                self.assertIs(type(echo(n)), int)

    def test_huge_integer(self) -> None:
        n = 7**50_000  # more digits than str() may convert
        self.assertEqual(echo(n), n)
        self.assertEqual(echo(-n), -n)
        with self.assertRaisesRegex(erlang.EncodeError, "int of 1048577 bytes"):
            erlang.encode(1 << (8 << 20))
        self.assertEqual(echo((1 << (8 << 20)) - 1), (1 << (8 << 20)) - 1)

    def test_bool_before_int(self) -> None:
        self.assertEqual(erlang.encode(True), b"\x83w\x04true")
        self.assertEqual(erlang.encode(False), b"\x83w\x05false")

    def test_none(self) -> None:
        self.assertEqual(erlang.encode(None), b"\x83w\x04none")

    def test_floats(self) -> None:
        for f in (0.0, -0.0, 1.5, sys.float_info.max, 5e-324):
            self.same(f, f)
        self.assertEqual(erlang.encode(math.inf), b"\x83w\x08infinity")
        self.assertEqual(erlang.encode(-math.inf), b"\x83w\x0cneg_infinity")
        self.assertEqual(erlang.encode(math.nan), b"\x83w\x03nan")
        self.same([math.inf, -math.inf, math.nan], [math.inf, -math.inf, math.nan])

    def test_text(self) -> None:
        for s in ("", "abc", "h\xe9", "\u4e2d", "\U0001f600", "\0", "x" * 70_000):
            self.same(s, s)
        self.same("\U0001f600" * 50_000, "\U0001f600" * 50_000)

    def test_bytes(self) -> None:
        raw = b"\xff\x00\xfe"
        for obj in (raw, bytearray(raw), memoryview(raw)):
            self.assertEqual(erlang.encode(obj), b"\x83m\0\0\0\3" + raw)
        self.same(b"plain", "plain")
        self.same((Atom("bytes"), "plain"), b"plain")

    def test_memoryviews(self) -> None:
        data = bytes(range(128, 144))
        self.same(memoryview(data)[::2], data[::2])
        self.same(memoryview(data)[::-1], data[::-1])
        self.same(memoryview(data).cast("B", (4, 4)), data)
        self.same(memoryview(array.array("H", [65535])), b"\xff\xff")

    def test_other_buffers(self) -> None:
        with mmap.mmap(-1, 4) as m:
            m[:] = b"\xff\xfe\xfd\xfc"
            self.same(m, b"\xff\xfe\xfd\xfc")

    def test_atoms(self) -> None:
        for name in ("", "ok", "h\xe9", "\U0001f600" * 255, "x" * 255):
            self.same(Atom(name), Atom(name))
        self.assertEqual(erlang.encode(Atom("true")), b"\x83w\x04true")

    def test_lists(self) -> None:
        for obj in (
            [1, 2],
            {1: 0, 2: 0}.keys(),
            collections.deque([1, 2]),
            range(1, 3),
            {1, 2},
            frozenset([1, 2]),
            array.array("i", [1, 2]),
            {0: 1, 1: 2}.values(),
            MyList([1, 2]),
            FrozenList([1, 2]),
            collections.UserList([1, 2]),
        ):
            self.same(obj, [1, 2])
        for empty in ([], set(), range(0), collections.deque(), FrozenList()):
            self.same(empty, [])
        self.same({"a": 1}.items(), [("a", 1)])

    def test_tuples(self) -> None:
        self.same(Pair(1, 2), (1, 2))
        self.same((), ())
        self.same((1,) * 300, (1,) * 300)

    def test_maps(self) -> None:
        expected = {"a": 1}
        for obj in (
            {"a": 1},
            collections.OrderedDict(a=1),
            collections.defaultdict(int, a=1),
            collections.Counter("a"),
            collections.ChainMap({"a": 1}),
            collections.UserDict(a=1),
            types.MappingProxyType({"a": 1}),
            FrozenMap(a=1),
        ):
            self.same(obj, expected)
        self.same({}, {})

    def test_dataclass(self) -> None:
        self.same(Point(1, [2]), {"x": 1, "args": [2]})

    def test_enums(self) -> None:
        self.same([Level.LOW, Name.A], [1, "a"])

    def test_registered_numbers(self) -> None:
        import numbers

        numbers.Real.register(Real)
        numbers.Integral.register(Integral)
        self.same([Real(), Integral()], [2.5, 1 << 70])

    def test_own_types(self) -> None:
        for obj in (
            BitString(b"\xe0", 3),
            ImproperList([1, [2]], "x"),
            {FrozenList([1]): FrozenList([1])}.keys().__iter__().__next__(),
        ):
            self.same(obj, list(obj) if isinstance(obj, FrozenList) else obj)
        self.same(BitString(b"ab", 16), "ab")


class KeyTest(unittest.TestCase):
    def test_unhashable_keys(self) -> None:
        for key in (
            FrozenList([1, FrozenList()]),
            FrozenMap({1: FrozenList([2])}),
            (1, FrozenList([FrozenMap()])),
            ImproperList([FrozenList([1])], 2),
            BitString(b"\x80", 1),
        ):
            value = echo({key: [1, {}]})
            self.assertEqual(repr(value), repr({key: [1, {}]}))
            self.assertEqual(erlang.encode(value), erlang.encode({key: [1, {}]}))

    def test_list_key_is_found_by_tuple(self) -> None:
        value = echo({FrozenList([1, 2]): "x"})
        assert isinstance(value, dict)
        self.assertEqual(value[(1, 2)], "x")

    def test_same_term_twice(self) -> None:
        for clash in (
            {"a": 1, b"a": 2},
            {None: 1, Atom("none"): 2},
            {True: 1, Atom("true"): 2},
            {math.inf: 1, Atom("infinity"): 2},
            {float("nan"): 1, float("nan"): 2},
            {(1, "a"): 1, (1, b"a"): 2},
            {FrozenList([0, 1]): 1, range(2): 2},
            FrozenMap({"a": 1, b"a": 2}),
            types.MappingProxyType({"a": 1, b"a": 2}),
        ):
            with self.assertRaisesRegex(erlang.EncodeError, "same Erlang term"):
                erlang.encode(clash)

    def test_keys_that_only_look_alike(self) -> None:
        for fine in (
            {"a": 1, b"b": 2},
            {None: 1, Atom("x"): 2, True: 3},
            {1: 1, "1": 2, (1,): 3, 1.5: 4},
            {(i,): i for i in range(1000)},
        ):
            self.assertEqual(echo(fine), echo(echo(fine)))
            self.assertEqual(len(echo(fine)), len(fine))  # type: ignore[arg-type]


class ErrorTest(unittest.TestCase):
    def refuses(self, obj: object, text: str) -> None:
        with self.assertRaises(erlang.EncodeError) as caught:
            erlang.encode(obj)
        self.assertIsInstance(caught.exception, TypeError)
        self.assertIsInstance(caught.exception, ValueError)
        self.assertEqual(str(caught.exception), text)

    def test_types(self) -> None:
        for obj, name in (
            (object(), "object"),
            (len, "builtin_function_or_method"),
            (1j, "complex"),
            (Color.RED, "Color"),
            (Bits.A | Bits.B, "Bits"),
            (Color, type(Color).__name__),
            (Point, "type"),
            (int, "type"),
            (fractions.Fraction(1, 3), "Fraction"),
            (decimal.Decimal(1), "decimal.Decimal"),
            ((x for x in (1,)), "generator"),
            (iter([]), "list_iterator"),
            (zip("a", "b"), "zip"),
            (map(len, ()), "map"),
            (NotImplemented, "NotImplementedType"),
            (..., "ellipsis"),
            (sys, "module"),
        ):
            self.refuses(obj, f"cannot encode object of type {name}")

    def test_paths(self) -> None:
        bad = 1j
        text = "cannot encode object of type complex at "
        self.refuses([0, bad], text + "[1]")
        self.refuses((0, (bad,)), text + "[1][0]")
        self.refuses({"key": [bad]}, text + "['key'][0]")
        self.refuses({Atom("key"): bad}, text + "[Atom('key')]")
        self.refuses({(1, 2): bad}, text + "[<tuple>]")
        self.refuses({"x" * 100: bad}, text + "['" + "x" * 59 + "...]")
        self.refuses({1: 2, bad: 3}, text + ".keys()[1]")
        self.refuses([0, 1, 2, {"key": Point(1, bad)}], text + "[3]['key'].args")
        self.refuses(ImproperList([1], bad), text + ".tail")
        self.refuses(collections.deque([1, bad]), text + "[1]")
        if hasattr(sys, "set_int_max_str_digits"):  # repr() refuses this key
            self.refuses({10**5000: bad}, text + "[<int>]")
        deep: object = bad
        for _ in range(50):
            deep = [deep]
        self.refuses(deep, text + "[0]" * 24 + "..." + "[0]" * 4)

    def test_surrogates(self) -> None:
        self.refuses(["\ud800"], "cannot encode a str with a lone surrogate at [0]")

    def test_cycles(self) -> None:
        a: list[typing.Any] = []
        a.append(a)
        b: dict[str, typing.Any] = {}
        b["b"] = [b]
        c = Point(1)
        c.args = (c,)
        d: collections.deque[typing.Any] = collections.deque()
        d.append(d)
        e = types.MappingProxyType(b)
        for cycle in (a, b, c, d, e):
            with self.assertRaisesRegex(erlang.EncodeError, "cyclic object of type"):
                erlang.encode(cycle)

    def test_shared_is_not_cyclic(self) -> None:
        a = [1]
        self.assertEqual(echo([a, a, (a, a)]), [[1], [1], ([1], [1])])

    def test_depth(self) -> None:
        def nest(n: int) -> object:
            obj: object = 1
            for _ in range(n):
                obj = [obj]
            return obj

        def levels(obj: object) -> int:
            n = 0
            while isinstance(obj, list):
                obj, n = obj[0], n + 1
            return n

        self.assertEqual(levels(echo(nest(1000))), 1000)
        with self.assertRaisesRegex(
            erlang.EncodeError, "more than 1000 nested containers"
        ):
            erlang.encode(nest(1001))
        deep = erlang.encode(nest(1024), max_depth=1024)
        self.assertEqual(levels(erlang.decode(deep, max_depth=1024)), 1024)
        with self.assertRaisesRegex(erlang.DecodeError, "nested too deeply"):
            erlang.decode(deep)
        self.assertEqual(erlang.encode(1, max_depth=0), b"\x83a\x01")
        for depth in (-1, 1025):
            with self.assertRaisesRegex(ValueError, "max_depth is 0 to 1024"):
                erlang.encode(1, max_depth=depth)
            with self.assertRaisesRegex(ValueError, "max_depth is 0 to 1024"):
                erlang.decode(b"\x83a\x01", max_depth=depth)

    def test_changed_while_encoded(self) -> None:
        class Grow(collections.UserList):  # type: ignore[type-arg]
            victim: typing.Any

            def __len__(self) -> int:
                self.victim.clear()
                return 0

        grow = Grow()
        as_dict: dict[int, object] = {0: grow, 1: 1, 2: 2}
        grow.victim = as_dict
        self.refuses(as_dict, "a dict changed while it was encoded")
        as_list: list[object] = [grow, 1, 2]
        grow.victim = as_list
        self.refuses(as_list, "a list changed while it was encoded")
        as_set = {1, 2}

        class Hashable(Grow):
            __hash__ = object.__hash__

        changing = Hashable()
        changing.victim = as_set
        as_set.add(changing)  # type: ignore[arg-type]
        with self.assertRaises((RuntimeError, erlang.EncodeError)):
            erlang.encode(as_set)

    def test_wrong_length(self) -> None:
        self.refuses(Shrinking(), "an iterable has not as many items as its len()")

    def test_items_that_are_no_pairs(self) -> None:
        class Odd(collections.UserDict):  # type: ignore[type-arg]
            def items(self) -> typing.Any:
                return [1]

        self.refuses(Odd(a=1), "a mapping's items are not pairs")

    def test_exceptions_of_user_code_pass(self) -> None:
        class Angry(collections.UserDict):  # type: ignore[type-arg]
            def items(self) -> typing.Any:
                raise LookupError("mine")

        with self.assertRaisesRegex(LookupError, "mine"):
            erlang.encode([Angry()])

    def test_nothing_is_lost_or_leaked(self) -> None:
        objects: list[object] = [[1, 2, {"a": (1j,)}], {"k": [Point(1, 1j)]}]
        before = [sys.getrefcount(o) for o in objects]
        for _ in range(100):
            for i in range(len(objects)):
                with self.assertRaises(erlang.EncodeError):
                    erlang.encode(objects[i])
        self.assertEqual([sys.getrefcount(o) for o in objects], before)

    def test_memory_is_flat(self) -> None:
        data = erlang.encode([{"a": [1.5, 10**30, Atom("x")]}] * 10)
        bad = data[:-1]

        def rounds(n: int) -> int:
            for _ in range(n):
                erlang.encode(erlang.decode(data))
                try:
                    erlang.decode(bad)
                except erlang.DecodeError:
                    pass
            gc.collect()
            return sys.getallocatedblocks()

        first = rounds(100)
        self.assertLess(rounds(1000) - first, 200)

    def test_threads(self) -> None:
        """User code that gives up the GIL in the midst of an encoding."""

        class Slow(collections.UserList):  # type: ignore[type-arg]
            def __iter__(self) -> typing.Any:
                for i in range(20):
                    threading.Event().wait(0.0005)
                    yield i

            def __len__(self) -> int:
                return 20

        results: list[object] = []
        threads = [
            threading.Thread(target=lambda: results.append(echo([Slow(), Slow()])))
            for _ in range(4)
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join(30)
        self.assertEqual(results, [[list(range(20))] * 2] * 4)


class DecodeTest(unittest.TestCase):
    def test_arguments(self) -> None:
        data = b"\x83a\x05"
        for obj in (data, bytearray(data), memoryview(data)):
            self.assertEqual(erlang.decode(obj), 5)
        with self.assertRaises(TypeError):
            erlang.decode("text")  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            erlang.encode()  # type: ignore[call-arg]

    def test_flipped_bits(self) -> None:
        data = erlang.encode(
            {"a": [1, 2.5, None, (Atom("x"), b"\xff")], (1,): BitString(b"\x80", 1)}
        )
        for i in range(len(data) * 8):
            flipped = bytearray(data)
            flipped[i // 8] ^= 1 << i % 8
            try:
                value = erlang.decode(flipped)
            except erlang.DecodeError:
                continue
            try:
                again = erlang.encode(value)
            except erlang.EncodeError as error:
                self.assertIn("same Erlang term", str(error))
                continue
            self.assertEqual(erlang.encode(erlang.decode(again)), again)

    def test_compression_bomb(self) -> None:
        import zlib

        body = zlib.compress(b"m" + struct.pack(">I", 1 << 20) + bytes(1 << 20))
        bomb = b"\x83P" + struct.pack(">I", 9) + body
        with self.assertRaises(erlang.DecodeError):
            erlang.decode(bomb)
        honest = b"\x83P" + struct.pack(">I", 5 + (1 << 20)) + body
        self.assertEqual(erlang.decode(honest), "\0" * (1 << 20))
        announced = b"\x83P" + struct.pack(">I", 1 << 31) + body
        with self.assertRaisesRegex(erlang.DecodeError, "limit"):
            erlang.decode(announced)


if __name__ == "__main__":
    unittest.main()
