"""Token buckets, for loops that keep to a rate of their own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from scillm_batch.variables import CAPACITY, MAX_SLEEP_S, RATE


class _Reserve:
    """How many tokens there are, and when the next are; safe for threads."""

    def __init__(
        self, rate: float, capacity: float, max_sleep_s: float | None, clock: Callable[[], float]
    ) -> None:
        if not rate > 0 or not capacity >= 1:
            raise ValueError(f"rate={rate!r} must be above 0, and capacity={capacity!r} 1 or more")
        self._rate, self._capacity, self._max_sleep_s = rate, capacity, max_sleep_s
        self._clock, self._lock = clock, threading.Lock()
        self._tokens, self._at_s = capacity, clock()

    def wait_s(self, tokens: float) -> float | None:
        """Take tokens, and return the seconds until they are there; None if that is too long."""
        with self._lock:
            now_s = self._clock()
            have = min(self._capacity, self._tokens + (now_s - self._at_s) * self._rate)
            wait_s = max(0.0, (tokens - have) / self._rate)
            if self._max_sleep_s is not None and wait_s > self._max_sleep_s:
                return None
            self._tokens, self._at_s = have - tokens, now_s
            return wait_s


class TokenBucket:
    """Lets callers of any thread through at a rate: ``with bucket: call()``.

    Args:
        rate: Tokens a second.
        capacity: The most that it holds, which may be taken at once.
        max_sleep_s: The longest that a caller waits; None is for ever.
        clock: Tells seconds that never go back.
    """

    def __init__(
        self,
        rate: float,
        capacity: float = 1.0,
        max_sleep_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reserve = _Reserve(rate, capacity, max_sleep_s, clock)

    def acquire(self, tokens: float = 1.0) -> bool:
        """Wait for tokens; False, and none taken, if that would take longer than permitted."""
        wait_s = self._reserve.wait_s(tokens)
        if wait_s:
            time.sleep(wait_s)
        return wait_s is not None

    def __enter__(self) -> TokenBucket:
        if not self.acquire():
            raise TimeoutError("no token within the time that this bucket lets a caller wait")
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing: a token is spent."""


class AsyncTokenBucket:
    """The same for tasks: ``async with bucket: await call()``; its arguments are those."""

    def __init__(
        self,
        rate: float,
        capacity: float = 1.0,
        max_sleep_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reserve = _Reserve(rate, capacity, max_sleep_s, clock)

    async def acquire(self, tokens: float = 1.0) -> bool:
        """Wait for tokens; False, and none taken, if that would take longer than permitted."""
        wait_s = self._reserve.wait_s(tokens)
        if wait_s:
            await asyncio.sleep(wait_s)
        return wait_s is not None

    async def __aenter__(self) -> AsyncTokenBucket:
        if not await self.acquire():
            raise TimeoutError("no token within the time that this bucket lets a caller wait")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Do nothing: a token is spent."""


def token_bucket_from_env() -> TokenBucket:
    """Return a bucket as ``SCILLM_BUCKET_RATE``, ``_CAPACITY`` and ``_MAX_SLEEP_S`` say."""
    return TokenBucket(RATE.value(), CAPACITY.value(), MAX_SLEEP_S.value())
