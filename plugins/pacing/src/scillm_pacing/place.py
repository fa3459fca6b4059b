"""One address: how fast it may be asked, and until when not at all."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from pyrate_limiter import Rate, RateItem
from pyrate_limiter.buckets import InMemoryBucket

from scillm_pacing.limits import Limits
from scillm_pacing.turnstile import Turnstile
from scillm_redis_store import RedisStore

MINUTE_S = 60.0
SOON_S = 0.005


class Place:
    """The state of one address; safe for threads and event loops.

    Args:
        name: The address.
        redis: Where the state is shared.
        clock: Tells seconds that never go back.
    """

    def __init__(self, name: str, redis: RedisStore, clock: Callable[[], float]) -> None:
        self._key = "scillm:pacing:" + hashlib.sha256(name.encode()).hexdigest()[:32]
        self._redis, self._clock = redis, clock
        self.slots, self.queue = Turnstile(), Turnstile()
        self._buckets: dict[str, InMemoryBucket] = {}
        self._tokens: deque[tuple[float, int]] = deque()
        self._cool_until_s = 0.0

    async def wait_s(self, limits: Limits, tokens: int) -> float:
        """Take a turn and return 0; or return the seconds after which to try again."""
        wait_s = await self._cooling_s(limits)
        if wait_s <= 0 and limits.tokens_per_minute is not None:
            wait_s = self._full_s(limits.tokens_per_minute, tokens)
        if wait_s <= 0 and (rates := limits.rates()):
            wait_s = await self._taken(rates)
        wait_s = max(wait_s, self._cool_until_s - self._clock())  # a 429 came meanwhile
        if wait_s <= 0 and limits.tokens_per_minute is not None:
            self._tokens.append((self._clock(), tokens))
        return max(0.0, wait_s)

    async def cool(self, seconds: float) -> None:
        """Let nobody through for so long; what is set already is never shortened."""
        self._cool_until_s = max(self._cool_until_s, self._clock() + seconds)
        if self._redis.is_configured:
            await self._redis.run(lambda redis: self._share_cooling(redis, seconds), default=None)

    def correct(self, tokens: int) -> None:
        """Count tokens that an answer told, beyond those that were estimated."""
        self._tokens.append((self._clock(), tokens))

    async def _cooling_s(self, limits: Limits) -> float:
        left_s = self._cool_until_s - self._clock()
        if limits.cooldown_s is None or not self._redis.is_configured:
            return left_s
        shared_ms = await self._redis.run(lambda redis: redis.pttl(self._key + ":cool"), default=0)
        return max(left_s, shared_ms / 1000)

    async def _share_cooling(self, redis: Any, seconds: float) -> None:
        until_ms = math.ceil(seconds * 1000)
        if until_ms > await redis.pttl(self._key + ":cool"):
            await redis.set(self._key + ":cool", "1", px=until_ms)

    def _full_s(self, limit: float, tokens: int) -> float:
        now_s = self._clock()
        while self._tokens and self._tokens[0][0] <= now_s - MINUTE_S:
            self._tokens.popleft()
        spent = sum(count for _, count in self._tokens)
        if not self._tokens or spent + tokens <= limit:
            return 0.0  # one that is larger than the limit alone is let through alone
        return max(SOON_S, self._tokens[0][0] + MINUTE_S - now_s)

    async def _taken(self, rates: list[Rate]) -> float:
        if self._redis.is_configured:
            shared = await self._redis.run(lambda redis: self._shared(redis, rates), default=None)
            if shared is not None:
                return shared
        key = _name(rates)
        if key not in self._buckets:
            self._buckets[key] = InMemoryBucket(rates)
        bucket = self._buckets[key]
        now_ms = int(self._clock() * 1000)
        bucket.leak(now_ms)
        return _wait_s(bucket.put_decision(RateItem("call", now_ms)))

    async def _shared(self, redis: Any, rates: list[Rate]) -> float:
        from pyrate_limiter.buckets import RedisBucket

        key = f"{self._key}:{_name(rates)}"
        bucket = await RedisBucket.init(rates, redis, key)
        now_ms = bucket.now()
        await bucket.leak(now_ms)
        wait_s = _wait_s(await bucket.put_decision(RateItem("call", now_ms)))
        await redis.pexpire(key, 2 * rates[-1].interval)
        return wait_s


def _name(rates: list[Rate]) -> str:
    return ":".join(f"{rate.limit}:{rate.interval}" for rate in rates)


def _wait_s(decision: Any) -> float:
    if decision.allowed:
        return 0.0
    return max(SOON_S, (decision.retry_after_ms or 0) / 1000)
