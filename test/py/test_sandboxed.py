# SPDX-License-Identifier: Apache-2.0
"""What runs of strangers' code make of it: one expression is found to be one at
once, and that changes nothing."""

from __future__ import annotations

import unittest
from typing import Any
from unittest import mock

from erlang import _sandboxed

PLAIN = [
    "2 + 2",
    "'text'",
    "(x := 7)",
    "[i for i in range(3)]",
    "x * 2  # of the inputs",
    "__name__",
    "*[1], 2",
    "2;",
    "x = 1",
    "import math; math.floor(2.5)",
    "",
    "# nothing",
    "pass",
    "1\n2",
    "def f(): return 3\nf()",
    "1" + " + 1" * 300,
]

WRONG = [
    "def",
    "x := 5",
    " 2 + 2",
    "yield 1",
    "await x",
    "1 /",
    "0 1",
    "a\0b",
    "1 / 0",
    "nobody",
]


def outcome(code: str) -> Any:
    """The value, or what is raised, in words."""
    try:
        return _sandboxed.run(code, {"x": 3}, {}, [], 1)
    except Exception as error:
        return type(error), str(error)


class Sandboxed(unittest.TestCase):
    """With the short way and without it."""

    def test_short_way_changes_nothing(self) -> None:
        for code in PLAIN + WRONG:
            with self.subTest(code=code):
                short = outcome(code)
                with mock.patch.object(_sandboxed, "_expression", return_value=None):
                    self.assertEqual(outcome(code), short)

    def test_short_way_is_gone(self) -> None:
        with mock.patch.object(
            _sandboxed.ast, "Expression", side_effect=AssertionError
        ):
            self.assertEqual(outcome("2 + 2"), (4, {}))
            self.assertEqual(outcome("1 / 0"), (ZeroDivisionError, "division by zero"))

    def test_wrong_code_is_an_error(self) -> None:
        for code in WRONG:
            with self.subTest(code=code):
                self.assertIsInstance(outcome(code)[0], type)

    def test_calls_that_are_rehearsed_can_be_made(self) -> None:
        self.assertIn(b"import math", _sandboxed.rehearsal())
        self.assertIn(b"2 + 2", _sandboxed.least())


if __name__ == "__main__":
    unittest.main()
