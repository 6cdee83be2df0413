# SPDX-License-Identifier: Apache-2.0
"""The codec against the golden terms that Erlang wrote."""

import pathlib
import sys
import unittest

import erlang

GOLDEN = pathlib.Path(__file__).parent.parent / "data" / "etf"


def golden(suffix: str) -> list[pathlib.Path]:
    """Return the .etf files that have a companion with this suffix."""
    return [p for p in sorted(GOLDEN.glob("*.etf")) if p.with_suffix(suffix).exists()]


class GoldenTest(unittest.TestCase):
    def setUp(self) -> None:
        if hasattr(sys, "set_int_max_str_digits"):
            limit = sys.get_int_max_str_digits()
            sys.set_int_max_str_digits(0)
            self.addCleanup(sys.set_int_max_str_digits, limit)

    def test_values(self) -> None:
        files = golden(".repr")
        self.assertGreater(len(files), 90)
        for path in files:
            with self.subTest(path.stem):
                value = erlang.decode(path.read_bytes())
                text = path.with_suffix(".repr").read_text("utf-8")
                self.assertEqual(repr(value) + "\n", text)

    def test_round_trip(self) -> None:
        for path in golden(".repr"):
            with self.subTest(path.stem):
                back = path.with_suffix(".back")
                expected = (back if back.exists() else path).read_bytes()
                value = erlang.decode(path.read_bytes())
                self.assertEqual(erlang.encode(value), expected)
                again = erlang.decode(expected)
                self.assertEqual(erlang.encode(again), expected)

    def test_errors(self) -> None:
        files = golden(".error")
        self.assertGreater(len(files), 35)
        for path in files:
            with self.subTest(path.stem):
                with self.assertRaises(erlang.DecodeError) as caught:
                    erlang.decode(path.read_bytes())
                text = path.with_suffix(".error").read_text().rstrip("\n")
                self.assertIn(text, str(caught.exception))
                self.assertIn("at byte", str(caught.exception))

    def test_truncated(self) -> None:
        for path in golden(".repr"):
            data = path.read_bytes()
            for n in range(min(len(data), 600)):
                with self.assertRaises(erlang.DecodeError, msg=f"{path.stem} {n}"):
                    erlang.decode(data[:n])


if __name__ == "__main__":
    unittest.main()
