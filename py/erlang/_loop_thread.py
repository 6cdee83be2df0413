# SPDX-License-Identifier: Apache-2.0
"""The event loop of a context: it runs the coroutines that Erlang awaits.

One thread with a loop of the standard library.  The main thread hands awaitables
over (begin); this thread answers when their values are there, in whatever order,
and cancels what Erlang gives up.
"""

import asyncio
import atexit
import functools
import threading
from typing import Any, Awaitable, Dict

from erlang import _bridge

WIND_UP = 1.0
"""Seconds that cancelled tasks have at the end of the process."""


class Loop:
    """The loop, and the tasks that belong to requests."""

    def __init__(self, thread: threading.Thread) -> None:
        self.thread = thread
        self.loop = asyncio.new_event_loop()
        self.tasks: Dict[int, "asyncio.Future[Any]"] = {}
        self.ending = False
        self.loop.add_reader(_bridge._detached_fileno(), self._cancel)
        atexit.register(self.end)

    def serve(self) -> None:
        """Run, in the thread."""
        asyncio.set_event_loop(self.loop)
        while not self.ending:
            try:
                self.loop.run_forever()
            except (KeyboardInterrupt, SystemExit):
                pass  # raised by a task, which tells of it as its result

    def begin(self, number: int, awaitable: Awaitable[Any]) -> None:
        """Await this for a request; called in another thread."""
        self.loop.call_soon_threadsafe(self._begin, number, awaitable)

    def _begin(self, number: int, awaitable: Awaitable[Any]) -> None:
        try:
            task = asyncio.ensure_future(awaitable, loop=self.loop)
        except Exception as error:
            _bridge._detached_answer(number, error, None)
            return
        self.tasks[number] = task
        task.add_done_callback(functools.partial(self._done, number))

    def _done(self, number: int, task: "asyncio.Future[Any]") -> None:
        del self.tasks[number]
        if task.cancelled():
            _bridge._detached_answer(number, asyncio.CancelledError(), None)
            return
        error = task.exception()
        value = task.result() if error is None else None
        _bridge._detached_answer(number, error, value)

    def _cancel(self) -> None:
        for number in _bridge._detached_cancelled():
            task = self.tasks.get(number)
            if task is not None:
                task.cancel()

    async def _wind_up(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=WIND_UP)
        await self.loop.shutdown_asyncgens()
        self.loop.stop()

    def end(self) -> None:
        """Cancel what runs and end the thread."""
        self.ending = True
        asyncio.run_coroutine_threadsafe(self._wind_up(), self.loop)
        self.thread.join(2 * WIND_UP)
        if not self.thread.is_alive():
            self.loop.close()
