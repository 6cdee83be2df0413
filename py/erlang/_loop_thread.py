# SPDX-License-Identifier: Apache-2.0
"""The event loop of a context: it runs the coroutines that Erlang awaits.

One thread with an event loop.  The main thread hands awaitables over (begin);
this thread answers when their values are there, in whatever order, and cancels
what Erlang gives up.
"""

import asyncio
import atexit
import functools
import threading
from typing import TYPE_CHECKING, Any, Awaitable, Coroutine, Dict, Set

from erlang import _bridge, _schedule
from erlang._event_loop import ErlangEventLoop
from erlang._trace import handed_over

if TYPE_CHECKING:
    import concurrent.futures

WIND_UP = 1.0
"""Seconds that cancelled tasks have at the end of the process."""

MARGIN = 1.0
"""Seconds more for the thread to be through with that."""


def _stopped() -> asyncio.CancelledError:
    return asyncio.CancelledError("the event loop of the context was stopped")


class Loop:
    """The loop, and the tasks that belong to requests.

    numbers are the requests that it owes an answer: begin adds one, the thread
    takes it out when it answers, and whoever gives up the loop takes the rest.
    """

    def __init__(self, thread: threading.Thread) -> None:
        self.thread = thread
        self.loop = ErlangEventLoop()
        self.tasks: Dict[int, "asyncio.Future[Any]"] = {}
        self.numbers: Set[int] = set()
        self.ending = False
        self.ended = False
        self.loop.add_reader(_bridge._detached_fileno(), self._cancel)
        atexit.register(self._at_exit)

    def serve(self) -> None:
        """Run, in the thread."""
        asyncio.set_event_loop(self.loop)
        while not self.ended:
            try:
                self.loop.run_forever()
            except (KeyboardInterrupt, SystemExit):
                pass  # raised by a task, which tells of it as its result
        self.loop.close()

    def begin(self, number: int, awaitable: Awaitable[Any]) -> None:
        """Await this for a request; called in another thread."""
        self.numbers.add(number)
        try:
            self.loop.call_soon_threadsafe(
                self._begin, number, awaitable, context=handed_over()
            )
        except BaseException:
            self.numbers.discard(number)  # whoever called answers
            raise

    def spawn(self, coro: Coroutine[Any, Any, Any]) -> "concurrent.futures.Future[Any]":
        """Run a coroutine; called in another thread."""
        return asyncio.run_coroutine_threadsafe(coro, self.loop)

    def set_debug(self, enabled: bool) -> None:
        """Set asyncio's debug mode; called in another thread."""
        self.loop.call_soon_threadsafe(self.loop.set_debug, enabled)

    def _begin(self, number: int, awaitable: Awaitable[Any]) -> None:
        if number not in self.numbers:  # the loop was given up
            if asyncio.iscoroutine(awaitable):
                awaitable.close()
            return
        try:
            task = asyncio.ensure_future(awaitable, loop=self.loop)
        except Exception as error:
            self._answer(number, error, None)
            return
        self._watch(number, task)

    def _watch(self, number: int, task: "asyncio.Future[Any]") -> None:
        self.tasks[number] = task
        task.add_done_callback(functools.partial(self._done, number))

    def _answer(self, number: int, error: Any, value: Any) -> None:
        if number in self.numbers:
            self.numbers.discard(number)
            _bridge._detached_answer(number, error, value)

    def _done(self, number: int, task: "asyncio.Future[Any]") -> None:
        del self.tasks[number]
        if task.cancelled():
            error: Any = _stopped() if self.ending else asyncio.CancelledError()
            self._answer(number, error, None)
            return
        error = task.exception()
        value = task.result() if error is None else None
        if type(value) is _bridge.Continuation:
            self._go_on(number, value)
            return
        self._answer(number, error, value)

    def _go_on(self, number: int, value: Any) -> None:
        if self.ending:
            self._answer(number, _stopped(), None)
        else:
            self._watch(number, self.loop.create_task(_schedule.follow(value)))

    def _cancel(self) -> None:
        if self.ending:  # another loop reads it now
            self.loop.remove_reader(_bridge._detached_fileno())
            return
        for number in _bridge._detached_cancelled():
            task = self.tasks.get(number)
            if task is not None:
                task.cancel()

    async def _wind_up(self, seconds: float) -> None:
        try:
            self.loop.remove_reader(_bridge._detached_fileno())
            await self._end_tasks(seconds)
            await asyncio.sleep(0)  # those that are done tell of it
            self._give_up()
            await self.loop.shutdown_asyncgens()
        finally:
            self.ended = True
            self.loop.stop()

    async def _end_tasks(self, seconds: float) -> None:
        """First those that come and go, then those that last as the loop does."""
        until = self.loop.time() + seconds
        lasting = set(self.loop.lasting.values())
        kept = {one.task for one in lasting} | {asyncio.current_task()}
        await self._cancel_all(kept, seconds / 2 if lasting else seconds)
        if lasting:
            ends = [self.loop.create_task(one.end()) for one in lasting]
            await asyncio.wait(ends, timeout=max(0, until - self.loop.time()))
            await self._cancel_all({asyncio.current_task()}, 0)

    async def _cancel_all(self, kept: "Set[Any]", seconds: float) -> None:
        tasks = asyncio.all_tasks() - kept
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def _give_up(self) -> None:
        """Tell those who still wait."""
        for number in list(self.numbers):
            self._answer(number, _stopped(), None)

    def end(self, seconds: float) -> bool:
        """Cancel what runs, and end the thread; False: it is blocked."""
        atexit.unregister(self._at_exit)
        self.ending = True
        asyncio.run_coroutine_threadsafe(self._wind_up(seconds), self.loop)
        try:
            self.thread.join(seconds + MARGIN)
        finally:  # also when this is interrupted: nobody comes back for them
            if self.thread.is_alive():
                self._give_up()
        return not self.thread.is_alive()

    def _at_exit(self) -> None:
        self.end(WIND_UP)
