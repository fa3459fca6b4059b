"""What runs on a worker: leased items, answered by the loop of the local engine."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any, TypeAlias

from attrs import evolve

from scillm_batch import Item, Job, Row
from scillm_batch.engines import Local

TOGETHER_S = 0.05  # rows that are ready within so long travel together
_END: Any = object()

Leased: TypeAlias = list[tuple[Item, str]]


class Worker:
    """One process of the cluster; an actor of Ray.

    Args:
        job: What is done with each item.
        at_a_time: The most calls that this worker has under way.
        limiter: The actor that says when a call may begin, or None.
    """

    def __init__(self, job: Job, at_a_time: int, limiter: Any = None) -> None:
        self._job = evolve(job, concurrency=at_a_time)
        self._limiter = limiter
        self._engine = Local()
        self._waiting: deque[tuple[Item, str]] = deque()
        self._changed = asyncio.Event()
        self._is_finished = False

    def state(self) -> dict[str, Any]:
        """Return what the engine tells of its progress."""
        return dict(self._engine.state())

    async def add(self, leased: Leased) -> None:
        """Take items to be answered."""
        self._waiting.extend(leased)
        self._changed.set()

    async def finish(self) -> None:
        """Take note that there are no more."""
        self._is_finished = True
        self._changed.set()

    async def rows(self) -> AsyncGenerator[list[Row], None]:
        """Yield the rows of leased items, some at a time, as they are ready; till the last one."""
        ready: asyncio.Queue[Row] = asyncio.Queue()
        running = asyncio.ensure_future(self._engine.run(self._job, self._pull, ready.put))
        running.add_done_callback(lambda _: ready.put_nowait(_END))
        try:
            while (row := await ready.get()) is not _END:
                rows = [row]
                await asyncio.sleep(TOGETHER_S)
                while not ready.empty() and (row := ready.get_nowait()) is not _END:
                    rows.append(row)
                yield rows
                if row is _END:
                    break
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _pull(self, most: int) -> Leased:
        while not self._waiting:
            if self._is_finished:
                return []
            self._changed.clear()
            await self._changed.wait()
        items = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        if self._limiter is not None:
            await asyncio.gather(*(self._limiter.turn.remote() for _ in items))
        return items


class Limiter:
    """Says when a call of any worker may begin: so many a second, evenly spaced. An actor of Ray.

    Args:
        per_second: How many.
    """

    def __init__(self, per_second: float) -> None:
        self._gap_s = 1 / per_second
        self._next_s = 0.0

    async def turn(self) -> None:
        """Wait for the next turn."""
        now_s = time.monotonic()
        at_s = max(now_s, self._next_s)
        self._next_s = at_s + self._gap_s
        await asyncio.sleep(at_s - now_s)
