"""How many calls may be under way: more while the gateway accepts, fewer when it refuses."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

FIRST = 8
_REFUSALS = frozenset({"rate_limit", "overloaded"})


class Gate:
    """Lets in so many calls at a time, and none during a pause. For one event loop.

    The number rises by one for each answer until a gateway first refuses (a rate limit, no
    capacity); each refusal halves it, and from then on it rises by one for each so many
    answers as there may be calls ("additive increase, multiplicative decrease"). Refusals of
    calls that began before the last halving are its echo, and count no more. A wait that the
    gateway asks for holds for every call.

    Source: Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion
    Avoidance in Computer Networks", 1989; the beginning is the slow start of RFC 5681.

    Attributes:
        limit: The number now.
        in_flight: Calls under way.
        refusals: How many there were.

    Args:
        most: The highest number.
        is_adaptive: Whether it changes at all.
        clock: Tells seconds that never go back; that of ``attempt_start_monotonic``.
    """

    def __init__(
        self, most: int, *, is_adaptive: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._is_adaptive, self._clock = most, is_adaptive, clock
        self.limit = float(min(most, FIRST) if is_adaptive else most)
        self.in_flight = self.refusals = 0
        self._is_starting = is_adaptive
        self._cut_s = float("-inf")
        self._until_s = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def paused_s(self) -> float:
        """Seconds until calls are let in again; 0 if they are now."""
        return max(0.0, self._until_s - self._clock())

    async def enter(self) -> None:
        """Wait for a place."""
        if not self._waiting and self._has_room():
            self.in_flight += 1
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        self._look()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back."""
        self.in_flight -= 1
        self._look()

    def accepted(self) -> None:
        """Take note of an answer."""
        if self._is_adaptive and self.limit < self._most:
            step = 1.0 if self._is_starting else 1.0 / self.limit
            self.limit = min(float(self._most), self.limit + step)
            self._look()

    def refused(self, attempt: Mapping[str, Any]) -> None:
        """Take note of an attempt that failed.

        Args:
            attempt: ``reason``, the failure's kind; ``retry_after``, seconds or None; and
                ``attempt_start_monotonic``.
        """
        if attempt.get("reason") not in _REFUSALS:
            return
        self.refusals += 1
        now_s = self._clock()
        if wait_s := attempt.get("retry_after"):
            self._until_s = max(self._until_s, now_s + float(wait_s))
        if self._is_adaptive and attempt.get("attempt_start_monotonic", now_s) > self._cut_s:
            self._is_starting, self._cut_s = False, now_s
            self.limit = max(1.0, self.limit / 2)

    def _has_room(self) -> bool:
        return self.in_flight < int(self.limit) and self._until_s <= self._clock()

    def _look(self) -> None:
        """Let in whoever may come, and look again when a pause ends."""
        while self._waiting and self._has_room():
            next_one = self._waiting.popleft()
            if not next_one.done():
                self.in_flight += 1
                next_one.set_result(None)
        if self._waiting and self._timer is None and (wait_s := self.paused_s) > 0:
            self._timer = asyncio.get_running_loop().call_later(wait_s + 0.001, self._again)

    def _again(self) -> None:
        self._timer = None
        self._look()
