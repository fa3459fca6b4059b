"""Many requests, so many at a time: results as they come, nothing kept that was handed on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_DONE: Any = object()


async def each(
    items: Iterable[Any], work: Callable[[int, Any], Awaitable[T]], at_a_time: int
) -> AsyncGenerator[T, None]:
    """Yield what *work* makes of each item, in the order in which it is ready.

    So many workers share one iterator, so that an item is read when a worker is free for it,
    and a result waits until it is taken: memory is flat, however many items there are.

    Args:
        items: What to work on; read as needed.
        work: Takes an item's place and the item.
        at_a_time: The most items under way.

    Raises:
        Exception: Whatever *items* or *work* raise, at once; the rest is cancelled.
    """
    ready: asyncio.Queue[Any] = asyncio.Queue(maxsize=at_a_time)
    numbered = enumerate(items)
    workers = [asyncio.ensure_future(_worked(numbered, work, ready)) for _ in range(at_a_time)]
    try:
        left = at_a_time
        while left:
            result = await ready.get()
            if isinstance(result, _Raised):
                raise result.error
            if result is _DONE:
                left -= 1
            else:
                yield result
    finally:
        for worker in workers:
            worker.cancel()
        for worker in workers:
            with contextlib.suppress(asyncio.CancelledError):
                await worker


class _Raised:
    def __init__(self, error: Exception) -> None:
        self.error = error


async def _worked(
    numbered: Iterator[tuple[int, Any]],
    work: Callable[[int, Any], Awaitable[Any]],
    ready: asyncio.Queue[Any],
) -> None:
    try:
        for place, item in numbered:
            await ready.put(await work(place, item))
    except Exception as error:  # noqa: BLE001  # whoever takes the results raises it
        await ready.put(_Raised(error))
    await ready.put(_DONE)
