"""Work that many want at the same time and that is done once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
Flight = concurrent.futures.Future  # of a tuple of one, or of None if it came to no end


class Flights(Generic[T]):
    """Lets one of many do a thing, and gives all what came of it, an error too.

    For any threads and loops. One that has ``once`` called has no ``once_sync``: who waits in
    sync code might block the very loop in which the work is done.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, Flight[tuple[T] | None]] = {}
        self._lock = threading.Lock()

    async def once(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """Return what *work* returns, or raise what it raises; done anew if it is cancelled."""
        while True:
            flight, is_mine = self._flight(key)
            if is_mine:
                with self._landing(key, flight) as landed:
                    landed.append(await work())
                    return landed[0]
            # Shielded: one who stops waiting must not end the flight of the others.
            found = await asyncio.shield(asyncio.wrap_future(flight))
            if found is not None:
                return found[0]

    def once_sync(self, key: Hashable, work: Callable[[], T]) -> T:
        """Do as ``once`` in sync code."""
        while True:
            flight, is_mine = self._flight(key)
            if is_mine:
                with self._landing(key, flight) as landed:
                    landed.append(work())
                    return landed[0]
            found = flight.result()
            if found is not None:
                return found[0]

    def _flight(self, key: Hashable) -> tuple[Flight[tuple[T] | None], bool]:
        """Return the flight of a key, and whether it begins here."""
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight, False
            flight = self._under_way[key] = Flight()
            return flight, True

    @contextmanager
    def _landing(self, key: Hashable, flight: Flight[tuple[T] | None]) -> Iterator[list[T]]:
        """Tell those who wait, at the end of the work, what was put into the list, or raised."""
        landed: list[T] = []
        failed: Exception | None = None
        try:
            yield landed
        except Exception as error:
            failed = error
            raise
        finally:
            with self._lock:
                self._under_way.pop(key, None)
            if failed is not None:
                flight.set_exception(failed)
            else:
                flight.set_result((landed[0],) if landed else None)
