"""Many requests, so many at a time: results as they come, nothing kept that was handed on."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Items = Iterable[Any] | AsyncIterable[Any]
_NO_MORE: Any = object()


async def each(
    items: Items, work: Callable[[int, Any], Awaitable[T]], at_a_time: int
) -> AsyncGenerator[T, None]:
    """Yield what *work* makes of each item, in the order in which it is ready.

    An item is read when a worker is free for it, and a worker waits when results are not taken:
    memory is flat, however many items there are.

    Args:
        items: What to work on, sync or async; read as needed, and closed at the end if it is
            an async generator.
        work: Takes an item's place and the item.
        at_a_time: The most items under way.

    Raises:
        BaseException: Whatever *items* or *work* raise, at once; the rest is cancelled.
    """
    crew = _Crew(items, work, at_a_time)
    try:
        crew.hire()
        while crew.workers or not crew.ready.empty():
            result = await crew.ready.get()
            if isinstance(result, _Result):
                crew.room.release()
                yield result.value
            elif result is not None:
                raise result
    finally:
        await crew.dismiss()


class _Result(Generic[T]):
    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


class _Crew(Generic[T]):
    """Workers who share one source; each hires the next one when there is an item for it."""

    def __init__(
        self, items: Items, work: Callable[[int, Any], Awaitable[T]], at_a_time: int
    ) -> None:
        self._source = _Source(items)
        self._work, self._most = work, at_a_time
        self._is_closing = False
        self.workers: set[asyncio.Task[None]] = set()
        # Results; a worker's error; None when a worker ends.
        self.ready: asyncio.Queue[_Result[T] | BaseException | None] = asyncio.Queue()
        self.room = asyncio.Semaphore(2 * at_a_time)  # for items under way and results not taken

    def hire(self) -> None:
        if len(self.workers) < self._most and not self._is_closing:
            worker = asyncio.get_running_loop().create_task(self._run())
            self.workers.add(worker)
            worker.add_done_callback(self._ended)

    async def dismiss(self) -> None:
        self._is_closing = True
        workers = list(self.workers)
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)
        await self._source.aclose()

    async def _run(self) -> None:
        while True:
            await self.room.acquire()
            numbered = await self._source.take()
            if numbered is _NO_MORE:
                return
            self.hire()
            self.ready.put_nowait(_Result(await self._work(*numbered)))

    def _ended(self, worker: asyncio.Task[None]) -> None:
        self.workers.discard(worker)
        if worker.cancelled():
            # By somebody else: whoever takes the results must not wait for it for ever.
            error: BaseException | None = None if self._is_closing else asyncio.CancelledError()
        else:
            error = worker.exception()
        self.ready.put_nowait(error)


class _Source:
    """Items with their places, one reader at a time."""

    def __init__(self, items: Items) -> None:
        self._places = itertools.count()
        self._is_over = False
        self._turn = asyncio.Lock()
        self._async: AsyncIterator[Any] | None = None
        self._sync: Iterator[Any] = iter(())
        if isinstance(items, AsyncIterable):
            self._async = aiter(items)
        else:
            self._sync = iter(items)

    async def take(self) -> Any:
        """Return the next place and item, or ``_NO_MORE``."""
        if self._is_over:
            return _NO_MORE
        if self._async is None:
            return self._numbered(next(self._sync, _NO_MORE))
        async with self._turn:
            if self._is_over:
                return _NO_MORE
            return self._numbered(await anext(self._async, _NO_MORE))

    async def aclose(self) -> None:
        if (aclose := getattr(self._async, "aclose", None)) is not None:
            await aclose()

    def _numbered(self, item: Any) -> Any:
        if item is _NO_MORE:
            self._is_over = True
            return _NO_MORE
        return next(self._places), item
