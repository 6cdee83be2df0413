# SPDX-License-Identifier: Apache-2.0
"""State that all contexts and all of Erlang share, and dictionaries."""

from typing import Any, Iterator, List, MutableMapping, Optional

from erlang import _waits


def _checked(answer: Any, key: Any) -> Any:
    """Return the value of (ok, value), or raise what went wrong."""
    if isinstance(answer, tuple):
        if answer[0] == "ok":
            return answer[1]
        if answer[0] == "full":
            raise OverflowError(f"the state holds {answer[1]} entries, its maximum")
    if answer == "not_an_integer":
        raise TypeError(f"the value of {key!r} is not an integer")
    if answer == "not_started":
        raise RuntimeError("the application does not run")
    return None


def state_get(key: Any, default: Any = None) -> Any:
    """Return the value of this key, or the default."""
    answer = _waits.ask(("state", "get"), key)
    return _checked(answer, key) if isinstance(answer, tuple) else default


def state_set(key: Any, value: Any) -> None:
    """Store the value under this key; OverflowError when the state is full."""
    _checked(_waits.ask(("state", "set"), key, value), key)


def state_delete(key: Any) -> None:
    """Remove this key; fine if it is not there."""
    _checked(_waits.ask(("state", "delete"), key), key)


def state_keys() -> List[Any]:
    """Return all keys; names are str."""
    keys: List[Any] = _checked(_waits.ask(("state", "keys")), None)
    return keys


def state_clear() -> None:
    """Remove all keys."""
    _checked(_waits.ask(("state", "clear")), None)


def state_incr(key: Any, by: int = 1) -> int:
    """Add to a counter and return its new value; one that is not there is 0.

    Atomic.  TypeError if the value is not an integer, which it stays.
    """
    if not isinstance(by, int):
        raise TypeError(f"a counter is changed by an int, not {by!r}")
    value: int = _checked(_waits.ask(("state", "incr"), key, int(by)), key)
    return value


def state_decr(key: Any, by: int = 1) -> int:
    """Subtract from a counter, as state_incr adds."""
    if not isinstance(by, int):
        raise TypeError(f"a counter is changed by an int, not {by!r}")
    return state_incr(key, -by)


class SharedDict(MutableMapping[Any, Any]):
    """A dictionary that Erlang holds, by its handle.

    Without a handle a new one is made; it goes with the process that made the
    request which is being run (outside of any, with the context).  Keys are as
    those of the state; values are copied.  ReferenceError when it is no more.
    """

    def __init__(self, handle: Optional[Any] = None) -> None:
        self._handle = self._ask("new") if handle is None else handle
        if handle is not None:
            self._ask("check", handle)

    @staticmethod
    def _ask(name: str, *args: Any) -> Any:
        answer = _waits.ask(("shared_dict", name), *args)
        if isinstance(answer, tuple):
            return answer[1]
        if answer == "destroyed":
            raise ReferenceError("this shared dictionary is no more")
        if answer == "invalid":
            raise TypeError(f"not a handle of a shared dictionary: {args[0]!r}")
        raise KeyError(args[1])

    @property
    def handle(self) -> Any:
        """What Erlang calls it."""
        return self._handle

    def __getitem__(self, key: Any) -> Any:
        return self._ask("get", self._handle, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._ask("set", self._handle, key, value)

    def __delitem__(self, key: Any) -> None:
        self._ask("take", self._handle, key)

    def __contains__(self, key: object) -> bool:
        try:
            self._ask("get", self._handle, key)
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(self._ask("keys", self._handle))

    def __len__(self) -> int:
        size: int = self._ask("size", self._handle)
        return size

    def destroy(self) -> None:
        """Give it up before its owner ends; fine if it is no more."""
        _waits.ask(("shared_dict", "destroy"), self._handle)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SharedDict) and other._handle == self._handle

    def __hash__(self) -> int:
        return hash(self._handle)

    def __repr__(self) -> str:
        return f"erlang.SharedDict({self._handle!r})"

    def __reduce__(self) -> Any:
        return SharedDict, (self._handle,)
