"""Who is next: so many at a time, first come first served, over all threads and event loops."""

from __future__ import annotations

import asyncio
import threading
from collections import deque


class Turnstile:
    """Lets in so many at a time. ``asyncio`` has this for one loop only."""

    def __init__(self) -> None:
        self._inside = 0
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self._lock = threading.Lock()

    async def enter(self, capacity: int, timeout_s: float | None = None) -> bool:
        """Wait until there is room; False if there was none in time.

        Args:
            capacity: The most that may be inside.
            timeout_s: Seconds to wait, None for ever.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._inside < capacity and not self._waiting:
                self._inside += 1
                return True
            mine = loop.create_future()
            self._waiting.append((loop, mine))
        try:
            done, _ = await asyncio.wait({mine}, timeout=timeout_s)
        except asyncio.CancelledError:
            self._give_up(loop, mine)
            raise
        if done:
            return True
        self._give_up(loop, mine)
        return False

    def leave(self) -> None:
        """Let the next one in; from any thread."""
        with self._lock:
            while self._waiting:
                loop, next_one = self._waiting.popleft()
                try:
                    loop.call_soon_threadsafe(self._let_in, next_one)
                except RuntimeError:
                    continue  # its loop is closed, and it with it
                return
            self._inside -= 1

    def _let_in(self, next_one: asyncio.Future[None]) -> None:
        if next_one.done():
            self.leave()  # it left the queue meanwhile
        else:
            next_one.set_result(None)

    def _give_up(self, loop: asyncio.AbstractEventLoop, mine: asyncio.Future[None]) -> None:
        with self._lock:
            if (loop, mine) in self._waiting:
                self._waiting.remove((loop, mine))
                return
        if mine.done():
            self.leave()
        else:
            mine.cancel()  # `_let_in` is on its way, and passes the place on
