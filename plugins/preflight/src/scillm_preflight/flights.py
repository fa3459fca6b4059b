"""Work that many want at the same time and that is done once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """Lets one of many do a thing, and gives all what came of it; for any threads and loops."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, concurrent.futures.Future[tuple[T] | None]] = {}
        self._lock = threading.Lock()

    async def once(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """Return what *work* returns, or raise what it raises; done anew if it is cancelled."""
        while True:
            flight, is_mine = self._flight(key)
            if is_mine:
                return await self._flown(key, flight, work)
            # Shielded: one who stops waiting must not end the flight of the others.
            landed = await asyncio.shield(asyncio.wrap_future(flight))
            if landed is not None:
                return landed[0]

    def _flight(self, key: Hashable) -> tuple[concurrent.futures.Future[tuple[T] | None], bool]:
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight, False
            flight = self._under_way[key] = concurrent.futures.Future()
            return flight, True

    async def _flown(
        self,
        key: Hashable,
        flight: concurrent.futures.Future[tuple[T] | None],
        work: Callable[[], Awaitable[T]],
    ) -> T:
        landed: tuple[T] | None = None
        failed: Exception | None = None
        try:
            landed = (await work(),)
        except Exception as error:
            failed = error
            raise
        finally:
            with self._lock:
                self._under_way.pop(key, None)
            if failed is not None:
                flight.set_exception(failed)
            else:
                flight.set_result(landed)
        return landed[0]
