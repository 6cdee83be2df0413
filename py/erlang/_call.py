# SPDX-License-Identifier: Apache-2.0
"""Erlang functions as Python functions."""

from typing import Any

from erlang import _bridge


def call(name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call the Erlang function that is registered under this name.

    It runs in the process that made the request which is being run.  Raises
    ErlangError with what it raises, NameError when there is no such function.
    """
    return _bridge.call(name, args, kwargs)


class Function:
    """An Erlang function, by its name; calling it calls that."""

    __slots__ = ("__name__",)

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return _bridge.call(self.__name__, args, kwargs)

    def __repr__(self) -> str:
        return f"<Erlang function {self.__name__}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Function) and other.__name__ == self.__name__

    def __hash__(self) -> int:
        return hash((Function, self.__name__))

    def __reduce__(self) -> Any:
        return Function, (self.__name__,)
