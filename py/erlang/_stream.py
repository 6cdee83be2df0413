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

Given = Tuple[List[Any], str]


class _Now:
    """An iterator."""

    def __init__(self, source: Iterator[Any]) -> None:
        self.source = source
        self.error: Optional[Exception] = None

    def next(self, most: int) -> Given:
        if self.error is not None:
            raise self.error
        items: List[Any] = []
        until = time.monotonic() + LONG
        try:
            for item in self.source:
                items.append(item)
                if len(items) >= most or time.monotonic() >= until:
                    return items, MORE
        except Exception as error:
            if not items:
                raise
            self.error = error
            return items, MORE
        return items, DONE

    def close(self) -> None:
        source, self.source, self.error = self.source, iter(()), None
        if isinstance(source, GeneratorType):
            source.close()

    def drop(self) -> None:
        """Its generator closes itself."""


class _Later:
    """An async iterator.  One task iterates, so that to the generator all is one
    coroutine; it stops when there are as many items as somebody asks for."""

    def __init__(self, source: AsyncIterator[Any]) -> None:
        self.source = source
        self.items: List[Any] = []
        self.wanted = 0
        self.ended = False
        self.error: Optional[Exception] = None
        self.task: "Optional[asyncio.Task[None]]" = None

    async def next(self, most: int) -> Given:
        import asyncio

        self.wanted = most
        if self.task is None:
            self.there, self.room = asyncio.Event(), asyncio.Event()
            self.task = asyncio.get_running_loop().create_task(self._iterate())
        self.room.set()
        while not self.items and not self.ended:
            self.there.clear()
            await self.there.wait()
        self.wanted = 0
        items, self.items = self.items[:most], self.items[most:]
        if self.ended and self.error is not None and not items:
            raise self.error
        all_is_given = self.ended and self.error is None and not self.items
        return items, DONE if all_is_given else MORE

    async def _iterate(self) -> None:
        try:
            async for item in self.source:
                self.items.append(item)
                self.there.set()
                while len(self.items) >= self.wanted:
                    self.room.clear()
                    await self.room.wait()
        except Exception as error:
            self.error = error
        except BaseException:  # cancelled, with the loop; close() forgets it
            self.error = RuntimeError("the stream was cancelled in its event loop")
            raise
        finally:
            self.ended = True
            self.there.set()

    async def close(self) -> None:
        import asyncio

        if self.task is not None and not self.task.done():
            self.task.cancel()
            await asyncio.wait({self.task})
        self.items, self.error = [], None
        if isinstance(self.source, AsyncGeneratorType):
            await self.source.aclose()

    def drop(self) -> None:
        """Nobody pulls any more: close it, in its loop."""
        if self.task is not None and not self.ended:
            loop = self.task.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(lambda: loop.create_task(self.close()))


class Stream:
    """Any iterator, sync or async, with the same methods; what an async one
    answers is to be awaited.

    An exception comes after the items that were there before it.  What was
    handed over last can be had again one by one, should it not have a term
    together.
    """

    def __init__(self, source: Any) -> None:
        self.last: List[Any] = []
        self.source: "Any" = None
        if hasattr(type(source), "__aiter__"):
            self.source = _Later(aiter(source))
        else:
            self.source = _Now(iter(source))

    def next(self, most: int) -> Any:
        """Return (items, more | done), at most so many."""
        self.last = []
        if isinstance(self.source, _Later):
            return self._later(most)
        given = self.source.next(most)
        self.last = given[0]
        return given

    async def _later(self, most: int) -> Given:
        given: Given = await self.source.next(most)
        self.last = given[0]
        return given

    def count(self) -> int:
        """How many items the last call had."""
        return len(self.last)

    def item(self, index: int) -> Any:
        """One of them."""
        return self.last[index]

    def close(self) -> Any:
        """End the generator, so that its finally blocks run."""
        self.last = []
        return self.source.close()

    def __del__(self) -> None:
        if self.source is not None:
            self.source.drop()
