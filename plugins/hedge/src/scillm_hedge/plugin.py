"""The plugin: after a delay without an answer, the same request goes out once more."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from scillm import BadRequestError, Request, Setting, hookimpl
from scillm_hedge.attempt import Attempt

if TYPE_CHECKING:
    from scillm import Call, Event, Sender

FEWEST, MOST, ROUTES = 10, 200, 256


def _delay(text: str) -> str | None:
    return text.strip() or None


DELAY: Setting[Any] = Setting(
    name="HEDGE_DELAY_MS",
    default=None,
    read=_delay,
    option="hedge_delay_ms",
    help="milliseconds without an answer after which a request goes out once more; or p95, p99: "
    "the share of earlier answers of that model that came sooner",
)


class Hedge:
    """Starts a second request when the first is late; off unless asked for.

    Args:
        clock: Tells seconds that never go back.
    """

    ORDER = 320
    SETTINGS: tuple[Setting[Any], ...] = (DELAY,)

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: LRUCache[tuple[str, str, str], deque[float]] = LRUCache(ROUTES)

    @hookimpl(wrapper=True)
    def send(self, call: Call) -> Generator[None, Sender | None, Sender | None]:
        """Wrap the Sender, if a delay is set."""
        inner = yield
        delay = DELAY.value(call) if inner is not None else None
        return inner if inner is None or delay is None else self._hedged(inner, delay)

    def _hedged(self, inner: Sender, delay: Any) -> Sender:
        read = _read(delay)

        async def send(request: Request) -> AsyncGenerator[Event, None]:
            begun_s, route = self._clock(), request.route
            seen = self._seen.setdefault(
                (route.base_url, route.provider, route.model), deque(maxlen=MOST)
            )
            attempts = [Attempt(inner(request))]
            try:
                if await _is_late(attempts[0], read(seen)):
                    attempts.append(Attempt(inner(request)))
                winner = await _winner(attempts)
                seen.append(self._clock() - begun_s)
                for other in attempts:
                    if other is not winner:
                        await other.aclose()
                notes = _notes(attempts, winner) if len(attempts) > 1 else None
                async with aclosing(winner.events()) as events:
                    async for event in events:
                        yield event.with_notes("hedge", notes) if notes else event
                        notes = None
            finally:
                for attempt in attempts:
                    await attempt.aclose()

        return send


def _notes(attempts: list[Attempt], winner: Attempt) -> dict[str, Any]:
    return {"started": True, "winner": "first" if winner is attempts[0] else "second"}


async def _is_late(attempt: Attempt, delay_s: float | None) -> bool:
    """Wait for an attempt to begin; True if it has not after the delay."""
    if delay_s is None:
        return False
    done, _ = await asyncio.wait({attempt.begun}, timeout=delay_s)
    return not done


async def _winner(attempts: list[Attempt]) -> Attempt:
    """Return the first that begins to answer; if none does, the first that was asked."""
    waiting = {attempt.begun: attempt for attempt in attempts}
    while waiting:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for begun in done:
            attempt = waiting.pop(begun)
            if begun.result():
                return attempt
    return attempts[0]


def _read(delay: Any) -> Callable[[deque[float]], float | None]:
    """Return what gives the delay in seconds, from the times of earlier answers.

    Raises:
        BadRequestError: It is neither a number of milliseconds nor a percentile.
    """
    text = str(delay).strip().lower()
    try:
        if text.startswith("p") and 0 < float(text[1:]) < 100:
            share = float(text[1:]) / 100
            return lambda seen: _percentile(seen, share)
        if not isinstance(delay, bool) and float(text) >= 0:
            delay_s = float(text) / 1000
            return lambda seen: delay_s
    except ValueError:
        pass
    raise BadRequestError(
        f"hedge_delay_ms={delay!r} is neither a number of milliseconds nor a percentile like 'p95'"
    )


def _percentile(seen: deque[float], share: float) -> float | None:
    """Return the time in which so many came; None while too few are known."""
    if len(seen) < FEWEST:
        return None
    return sorted(seen)[min(len(seen) - 1, int(len(seen) * share))]
