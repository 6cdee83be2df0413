# SPDX-License-Identifier: Apache-2.0
"""Iterators that Erlang pulls from, some items at a time."""

import time
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any, AsyncIterator, Iterator, List, Optional, Tuple

from erlang._atom import atom

if TYPE_CHECKING:
    import asyncio

LONG = 0.001
"""Seconds that items may gather; what takes longer is handed over at once."""

MORE, DONE = atom("more"), atom("done")


class Stream:
    """Any iterator, sync or async, with the same methods.

    An exception comes after the items that were there before it.  What was
    handed over last can be had again one by one, should it not have a term
    together.
    """

    def __init__(self, source: Any) -> None:
        self.error: Optional[Exception] = None
        self.last: List[Any] = []
        self.later: Optional[AsyncIterator[Any]] = None
        self.now: Iterator[Any] = iter(())
        self.coming: "Optional[asyncio.Future[Any]]" = None
        if hasattr(type(source), "__aiter__"):
            self.later = aiter(source)
        else:
            self.now = iter(source)

    def next(self, most: int) -> Any:
        """Return (items, more | done), at most so many; or what to await."""
        self.last = []
        if self.error is not None:
            raise self.error
        return self._now(most) if self.later is None else self._later(most)

    def count(self) -> int:
        """How many items the last call had."""
        return len(self.last)

    def item(self, index: int) -> Any:
        """One of them."""
        return self.last[index]

    def _now(self, most: int) -> Tuple[List[Any], str]:
        items: List[Any] = []
        until = time.monotonic() + LONG
        try:
            for item in self.now:
                items.append(item)
                if len(items) >= most or time.monotonic() >= until:
                    return self._given(items, MORE)
        except Exception as error:
            return self._failed(items, error)
        return self._given(items, DONE)

    async def _later(self, most: int) -> Tuple[List[Any], str]:
        """The same; an item that is slow to come is left for the next call."""
        items: List[Any] = []
        until = time.monotonic() + LONG
        try:
            while len(items) < most:
                if items and not await self._comes_until(until):
                    break
                items.append(await self._coming())
                self.coming = None
        except StopAsyncIteration:
            self.coming = None
            return self._given(items, DONE)
        except Exception as error:
            return self._failed(items, error)
        return self._given(items, MORE)

    def _coming(self) -> "asyncio.Future[Any]":
        import asyncio

        if self.coming is None:
            assert self.later is not None
            self.coming = asyncio.ensure_future(_anext(self.later))
        return self.coming

    async def _comes_until(self, until: float) -> bool:
        import asyncio

        coming = self._coming()
        await asyncio.wait({coming}, timeout=max(0.0, until - time.monotonic()))
        return coming.done()

    def _given(self, items: List[Any], what: str) -> Tuple[List[Any], str]:
        self.last = items
        return items, what

    def _failed(self, items: List[Any], error: Exception) -> Tuple[List[Any], str]:
        self.coming = None
        if not items:
            raise error
        self.error = error
        return self._given(items, MORE)

    def close(self) -> Any:
        """End the generator, so that its finally blocks run; or what to await."""
        now, later = self.now, self.later
        self.now, self.later, self.last, self.error = iter(()), None, [], None
        if later is not None:
            return self._close_later(later)
        return now.close() if isinstance(now, GeneratorType) else None

    async def _close_later(self, later: AsyncIterator[Any]) -> None:
        import asyncio

        if self.coming is not None:
            self.coming.cancel()
            await asyncio.wait({self.coming})
            self.coming = None
        if isinstance(later, AsyncGeneratorType):
            await later.aclose()


async def _anext(source: AsyncIterator[Any]) -> Any:
    """Await its next item; a task can not end with StopAsyncIteration else."""
    return await source.__anext__()
