"""The plugin: holds a request back until it is its turn."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from scillm import APIError, Failure, FailureKind, Request, Setting, Timeout, hookimpl
from scillm.settings import boolean
from scillm_pacing.limits import Limits
from scillm_redis_store import SETTINGS as REDIS_SETTINGS
from scillm_redis_store import RedisStore

if TYPE_CHECKING:
    from scillm import Event, Sender
    from scillm_pacing.place import Place


LONGEST_ASKED_S = 3600.0
"""What a host asks for beyond this is a mistake, and would hold up every call to it."""


def _positive(text: str) -> float | None:
    """Read a number; none and 0 mean no limit."""
    value = float(text) if text.strip() else 0.0
    if not 0 <= value < float("inf"):
        raise ValueError("expected a number, 0 or more")
    return value or None


def _count(text: str) -> int | None:
    value = _positive(text)
    return None if value is None else max(1, int(value))


def _limit(name: str, meaning: str, read: Callable[[str], Any] = _positive) -> Setting[Any]:
    return Setting(name=name, default=None, read=read, help=meaning)


QPS = _limit("RATE_LIMIT_QPS", "calls a second to one address, evenly spaced")
RPM = _limit("RATE_LIMIT_RPM", "calls in any minute to one address")
TPM = _limit(
    "RATE_LIMIT_TPM", "tokens in any minute to one address, estimated before, then as told"
)
COOLDOWN = _limit("COOLDOWN_429_S", "seconds without a call to an address that answered 429")
AT_A_TIME = _limit("MAX_CONCURRENCY", "calls under way to one address", _count)
CHUTES_MODE = Setting(
    name="CHUTES_MODE",
    default=False,
    read=boolean,
    help="1 paces every address as Chutes advises, where the variables above say nothing: 2.5 "
    "calls a second, 2 under way, 120 seconds after a 429",
)
_LIMITS = (QPS, RPM, TPM, AT_A_TIME, COOLDOWN)
_ADVISED = (2.5, None, None, 2, 120.0)


class Pacing:
    """Keeps to what the environment allows; without limits it does nothing.

    Args:
        clock: Tells seconds that never go back.
        sleep: Waits so many seconds.
    """

    ORDER = 400
    SETTINGS: tuple[Setting[Any], ...] = (
        QPS,
        RPM,
        TPM,
        COOLDOWN,
        AT_A_TIME,
        CHUTES_MODE,
        *REDIS_SETTINGS,
    )

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._redis = RedisStore("scillm.pacing")
        self._places: dict[str, Place] = {}
        self._lock = threading.Lock()

    @hookimpl(wrapper=True)
    def send(self) -> Generator[None, Sender | None, Sender | None]:
        """Wrap the Sender, if there is a limit."""
        inner = yield
        limits = (QPS.value(), RPM.value(), TPM.value(), AT_A_TIME.value(), COOLDOWN.value())
        if CHUTES_MODE.value():
            limits = _advised(limits)
        if inner is None or limits == (None,) * 5:
            return inner
        return self._paced(inner, Limits(*limits))

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        await self._redis.aclose()

    def _paced(self, inner: Sender, limits: Limits) -> Sender:
        async def send(request: Request) -> AsyncGenerator[Event, None]:
            place = self._place(request)
            begun_s = self._clock()
            until_s = _later(begun_s, request.timeouts.total_s)
            if limits.at_a_time is None:
                await self._turn(place, limits, request, until_s)
                async with aclosing(self._sent(inner, request, limits, place, begun_s)) as events:
                    async for event in events:
                        yield event
                return
            if not await place.slots.enter(limits.at_a_time, self._left_s(until_s)):
                raise self._late(request, begun_s, "for one of the calls under way to end")
            try:
                await self._turn(place, limits, request, until_s)
                async with aclosing(self._sent(inner, request, limits, place, begun_s)) as events:
                    async for event in events:
                        yield event
            finally:
                place.slots.leave()

        return send

    async def _turn(
        self, place: Place, limits: Limits, request: Request, until_s: float | None
    ) -> None:
        """Wait for this request's turn; only the first in the queue looks for it."""
        begun_s = self._clock()
        if not await place.queue.enter(1, self._left_s(until_s)):
            raise self._late(request, begun_s, "behind others")
        try:
            tokens = _estimated(request) if limits.tokens_per_minute is not None else 0
            while (wait_s := await place.wait_s(limits, tokens)) > 0:
                left_s = self._left_s(until_s)
                if left_s is not None and wait_s > left_s:
                    raise self._late(request, begun_s, f"{wait_s:.1f} s more")
                await self._sleep(wait_s)
        finally:
            place.queue.leave()

    async def _sent(  # one step of `send`, which has all of these
        self, inner: Sender, request: Request, limits: Limits, place: Place, begun_s: float
    ) -> AsyncGenerator[Event, None]:
        waited_s = self._clock() - begun_s
        is_begun, told = False, None
        try:
            async with aclosing(inner(request)) as events:
                async for event in events:
                    if not is_begun and waited_s >= 0.001:
                        yield event.with_notes("pacing", {"waited_s": round(waited_s, 3)})
                    else:
                        yield event
                    is_begun = True
                    if limits.tokens_per_minute is not None and (usage := event.get("usage")):
                        told = usage.get("total_tokens")
        except APIError as error:
            if limits.cooldown_s is not None and error.failure.kind is FailureKind.RATE_LIMIT:
                asked_s = min(error.failure.retry_after_s or 0.0, LONGEST_ASKED_S)
                await place.cool(max(limits.cooldown_s, asked_s))
            raise
        if told is not None:
            place.correct(told - _estimated(request))

    def _place(self, request: Request) -> Place:
        from scillm_pacing.place import Place  # with its library, for those who pace alone

        name = request.route.base_url or request.route.provider
        with self._lock:
            if name not in self._places:
                self._places[name] = Place(name, self._redis, self._clock)
            return self._places[name]

    def _left_s(self, until_s: float | None) -> float | None:
        return None if until_s is None else max(0.0, until_s - self._clock())

    def _late(self, request: Request, begun_s: float, wanted: str) -> Timeout:
        route = request.route
        said = (
            f"the call would have had to wait {wanted} by the limits that pacing was given "
            f"(waited {self._clock() - begun_s:.1f} s of a timeout of "
            f"{request.timeouts.total_s:g} s); allow more time, or raise the limits"
        )
        return Timeout(
            f"{route.provider}/{route.model}: {said}",
            llm_provider=route.provider,
            model=route.model,
            failure=Failure(kind=FailureKind.TIMEOUT, detail=said),
        )


def _advised(limits: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the limits with what is advised in place of each that nobody set."""
    return tuple(
        advice if limit is None and setting.lookup() is None else limit
        for limit, setting, advice in zip(limits, _LIMITS, _ADVISED, strict=True)
    )


def _later(now_s: float, seconds: float | None) -> float | None:
    return None if seconds is None else now_s + seconds


def _estimated(request: Request) -> int:
    """Return about how many tokens a request costs: a token is about four bytes of text."""
    body = request.body or {}
    size = sum(len(str(message.get("content") or "")) for message in body.get("messages") or ())
    most = body.get("max_completion_tokens") or body.get("max_tokens") or 0
    return size // 4 + (most if isinstance(most, int) else 0)
