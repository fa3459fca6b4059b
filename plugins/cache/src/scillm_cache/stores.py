"""Where answers are kept: in memory, on disk, in Redis. Each keeps text by key, for a time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from scillm_redis_store import RedisStore

MOST_BYTES = 256 * 1024 * 1024


class Store(Protocol):
    """What keeps text."""

    name: str

    async def get(self, key: str) -> str | None:
        """Return the text, None if there is none or its time is over."""

    async def put(self, key: str, text: str, ttl_s: float) -> None:
        """Keep a text for so many seconds."""

    async def aclose(self) -> None:
        """Give back what it holds."""


class Memory:
    """Keeps text in the process; the oldest unused go when it is full.

    Args:
        most_bytes: How much text.
        clock: Tells seconds that never go back.
    """

    name = "memory"

    def __init__(
        self, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        from cachetools import TLRUCache  # only who keeps answers pays for it

        self.most_bytes = most_bytes
        self._kept: TLRUCache[str, tuple[str, float]] = TLRUCache(
            most_bytes,
            ttu=lambda key, value, now: now + value[1],
            timer=clock,
            getsizeof=lambda value: sys.getsizeof(value[0]) + 100,
        )
        self._lock = threading.Lock()

    async def get(self, key: str) -> str | None:
        """Return the text, None if there is none or its time is over."""
        with self._lock:
            found = self._kept.get(key)
        return found[0] if found else None

    async def put(self, key: str, text: str, ttl_s: float) -> None:
        """Keep a text for so many seconds."""
        with self._lock:
            if sys.getsizeof(text) + 100 <= self._kept.maxsize:
                self._kept[key] = (text, ttl_s)

    async def aclose(self) -> None:
        """Keep everything: a kernel that was closed can be used again."""


_AWAY: Any = object()


class Shared:
    """Keeps text in Redis, and in memory besides: while Redis is away, memory answers.

    Args:
        redis: Where.
        memory: What was kept lately, in case Redis goes away.
    """

    name = "redis"

    def __init__(self, redis: RedisStore, memory: Memory | None = None) -> None:
        self._redis, self._memory = redis, memory or Memory()
        self._unshared = Memory(self._memory.most_bytes)  # came while Redis was away

    async def get(self, key: str) -> str | None:
        """Return the text, None if there is none or its time is over."""
        found = await self._redis.run(lambda redis: redis.get(_named(key)), default=_AWAY)
        if found is None:
            return await self._unshared.get(key)
        if found is _AWAY:
            return await self._memory.get(key)
        return found if isinstance(found, str) else bytes(found).decode("utf-8", "replace")

    async def put(self, key: str, text: str, ttl_s: float) -> None:
        """Keep a text for so many seconds."""
        await self._memory.put(key, text, ttl_s)
        lasts_ms = max(1, int(ttl_s * 1000))
        done = await self._redis.run(
            lambda redis: redis.set(_named(key), text, px=lasts_ms), default=_AWAY
        )
        if done is _AWAY:
            await self._unshared.put(key, text, ttl_s)

    async def aclose(self) -> None:
        """Give back what it holds."""
        await self._redis.aclose()


def _named(key: str) -> str:
    return f"scillm:cache:{key}"
