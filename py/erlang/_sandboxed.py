# SPDX-License-Identifier: Apache-2.0
"""What ``py_sandbox:run/2`` has a single-use helper do.

It runs inside the sandbox, and after the user's code has run nothing here can
be relied on: the caller believes no more than that bytes came.
"""

from __future__ import annotations

import ast
import os
from types import CodeType
from typing import Any

from erlang._bridge import encode

__erlang_hidden__ = True
"""Tracebacks begin with the user's own code."""

FOLDER = "/tmp"

ONE_LINE = 1000
"""Characters that are worth to be looked at twice."""


def run(
    code: str,
    inputs: dict[str, Any],
    files: dict[str, bytes],
    wanted: list[str],
    most: int,
) -> tuple[Any, dict[str, bytes]]:
    """The value of the last expression, and the files that are wanted."""
    if files or wanted:
        os.chdir(FOLDER)
        for name, data in files.items():
            _write(name, data)
    value = _execute(code, {"__name__": "__main__", **inputs})
    return value, _collect(wanted, most) if wanted else {}


def rehearsal() -> bytes:
    """A call of ``run``, as the VM sends it, for what many are forked from."""
    return _call("import math\ndef f(x): return [x, str(x)]\nf(1)\n2 + 2")


def least() -> bytes:
    """One that does no more than any call does."""
    return _call("2 + 2")


def _call(code: str) -> bytes:
    args = [code.encode(), {}, {}, [], 1]
    return encode((b"erlang._sandboxed", b"run", args, {}))


def _expression(code: str) -> CodeType | None:
    """The code, if it is one expression on one line; the common case, and by far
    the cheapest.  What is none fails again below, and is told there."""
    if len(code) > ONE_LINE or "\n" in code:
        return None
    try:
        found: CodeType = compile(code, "<sandbox>", "eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    return found


def _execute(code: str, names: dict[str, Any]) -> Any:
    expression = _expression(code)
    if expression is not None:
        return eval(expression, names)
    tree = compile(code, "<sandbox>", "exec", ast.PyCF_ONLY_AST)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "<sandbox>", "exec"), names)
        return None
    del tree.body[-1]
    exec(compile(tree, "<sandbox>", "exec"), names)
    value = ast.Expression(last.value)
    return eval(compile(value, "<sandbox>", "eval"), names)


def _write(name: str, data: bytes) -> None:
    folder = os.path.dirname(name)
    if folder:
        os.makedirs(folder, exist_ok=True)
    if isinstance(data, str):
        data = data.encode()
    with open(name, "wb") as file:
        file.write(data)


def _collect(wanted: list[str], most: int) -> dict[str, bytes]:
    """Those that are there; together they must not be too large."""
    found = {}
    for name in wanted:
        try:
            with open(name, "rb") as file:
                data = file.read(most + 1)
        except FileNotFoundError:
            continue
        most -= len(data)
        if most < 0:
            raise OverflowError(f"the output files are too large: {name}")
        found[name] = data
    return found
