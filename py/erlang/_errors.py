# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in Erlang, as Python exceptions."""

from typing import Any, List, Tuple

Frame = Tuple[str, str, int, str, int]
"""Module, function, arity, file, line (0: not known)."""


class ErlangError(RuntimeError):
    """An Erlang function that Python called failed.

    kind is "error", "exit" or "throw"; reason is the term; stacktrace lists
    (module, function, arity, file, line), innermost first.
    """

    def __init__(self, kind: str, reason: Any, stacktrace: List[Frame]) -> None:
        super().__init__(kind, reason, stacktrace)
        self.kind = kind
        self.reason = reason
        self.stacktrace = stacktrace

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason!r}"


class ProcessError(RuntimeError):
    """A process that is to receive a message does not exist."""


def _raised(name: Any, parts: Tuple[Any, Any, List[Frame]]) -> Exception:
    """Make the exception for a callback that failed."""
    kind, reason, stack = parts
    if kind is None:
        return NameError(f"no Erlang function is registered as {name!r}")
    return ErlangError(str(kind), reason, stack)
