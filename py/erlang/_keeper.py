# SPDX-License-Identifier: Apache-2.0
"""What was handed over ends with its event loop.

Called in the loop's thread.  asyncio is not imported: where a loop runs, it is.
"""

import sys
from typing import TYPE_CHECKING, Any, Optional

from erlang import _connection

if TYPE_CHECKING:
    import asyncio

KEY = "descriptors"


class Keeper:
    """Closes all entries of a loop at its end (see _event_loop.Lasting)."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.over = loop.create_future()
        self.task: "asyncio.Task[None]" = loop.create_task(self._live())

    async def _live(self) -> None:
        await self.over

    async def end(self) -> None:
        """Close them."""
        for entry in list(_connection.living()):
            if entry.loop is self.loop:
                entry.close()
        if not self.over.done():
            self.over.set_result(None)


def running_loop() -> Any:
    """Return the loop that runs in this thread, or None."""
    known = sys.modules.get("asyncio")
    return None if known is None else known._get_running_loop()


def watch_over(loop: Any) -> None:
    """Have the loop close what it has, if it tells of its end."""
    lasting: Optional[Any] = getattr(loop, "lasting", None)
    if lasting is not None and KEY not in lasting:
        lasting[KEY] = Keeper(loop)
