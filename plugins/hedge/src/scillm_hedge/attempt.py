"""One of two requests: it runs in a task of its own, so that it can be left alone or ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scillm import Event

_END: Any = object()
AHEAD = 64


class Attempt:
    """A request under way.

    Attributes:
        begun: Done when it has begun to answer, or cannot any more; whether it has.
        error: What it failed with.
        task: What reads its events.

    Args:
        events: Its events; closed in the task that reads them.
    """

    def __init__(self, events: AsyncGenerator[Event, None]) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue(AHEAD)
        self.begun: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.error: Exception | None = None
        self.task = asyncio.ensure_future(self._read(events))

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield its events; raises what it raised."""
        while (event := await self._queue.get()) is not _END:
            yield event
        if self.error is not None:
            raise self.error

    async def _read(self, events: AsyncGenerator[Event, None]) -> None:
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    self._tell(is_begun=True)
                    await self._queue.put(event)
        except Exception as error:  # noqa: BLE001  # whoever takes the events raises it
            self.error = error
        self._tell(is_begun=self.error is None)
        await self._queue.put(_END)

    def _tell(self, *, is_begun: bool) -> None:
        if not self.begun.done():
            self.begun.set_result(is_begun)


async def end(tasks: Collection[asyncio.Future[Any]]) -> None:
    """End tasks, and wait until they have closed what they opened.

    Waited for, not awaited: that would take a cancellation of ours for one of theirs.
    """
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # so that asyncio does not tell of it
