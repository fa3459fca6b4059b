"""Identical calls under way at the same time: one of them asks, the others wait for it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_S = 0.25
PATIENCE_S = 1.0


class Flight:
    """A call under way, whose answer others wait for, on any event loop."""

    def __init__(self) -> None:
        self._answer: concurrent.futures.Future[str | None] = concurrent.futures.Future()
        self._loop = asyncio.get_running_loop()
        self._idle_since_s: float | None = None

    @contextmanager
    def handed_over(self) -> Iterator[None]:
        """Mark the time in which its caller has a piece of the answer, and looks at it."""
        self._idle_since_s = time.monotonic()
        try:
            yield
        finally:
            self._idle_since_s = None

    @property
    def is_stuck(self) -> bool:
        """Whether nobody should wait for it: its loop is closed, or its caller does not go on."""
        since_s = self._idle_since_s
        is_idle = since_s is not None and time.monotonic() - since_s > PATIENCE_S
        return is_idle or self._loop.is_closed()

    def land(self, text: str | None) -> None:
        """Tell those who wait; None if there is no answer to share."""
        if not self._answer.done():
            self._answer.set_result(text)

    async def landed(self, timeout_s: float | None) -> str | None:
        """Return the answer; None if there is none to share, or nobody should wait for it.

        Args:
            timeout_s: Seconds to wait, None for ever.

        Raises:
            TimeoutError: They are over.
        """
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        # Shielded by the wait: one who stops waiting must not end the flight of the others.
        told = asyncio.wrap_future(self._answer)
        while not self.is_stuck:
            left_s = LOOK_S if until_s is None else min(LOOK_S, until_s - time.monotonic())
            done, _ = await asyncio.wait({told}, timeout=max(0.0, left_s))
            if done:
                return told.result()
            if until_s is not None and time.monotonic() >= until_s:
                raise TimeoutError("an identical call that is under way has no answer yet")
        return None


class Flights:
    """The calls under way, by key; safe for threads and event loops."""

    def __init__(self) -> None:
        self._under_way: dict[str, Flight] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._under_way)

    def join(self, key: str) -> tuple[Flight, bool]:
        """Return the flight of a key, and whether it begins here."""
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None and not flight.is_stuck:
                return flight, False
            flight = self._under_way[key] = Flight()
            return flight, True

    def land(self, key: str, flight: Flight, text: str | None) -> None:
        """End a flight."""
        with self._lock:
            if self._under_way.get(key) is flight:
                del self._under_way[key]
        flight.land(text)
