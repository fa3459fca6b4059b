"""The plugin: after a delay without an answer, the same request goes out once more."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scillm import BadRequestError, Request, Setting, hookimpl
from scillm_hedge.attempt import Attempt, end

if TYPE_CHECKING:
    from cachetools import LRUCache

    from scillm import Call, Event, Sender

FEWEST, MOST, ROUTES = 10, 200, 256
_Place = tuple[str, str, str]


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
        self._lock = threading.Lock()

    @cached_property
    def _seen(self) -> LRUCache[_Place, deque[float]]:
        """How long answers took, lately, by place."""
        from cachetools import LRUCache  # only who hedges pays for it

        return LRUCache(ROUTES)

    @hookimpl(wrapper=True)
    def send(self, call: Call) -> Generator[None, Sender | None, Sender | None]:
        """Wrap the Sender, if a delay is set."""
        inner = yield
        delay = DELAY.value(call) if inner is not None else None
        return inner if inner is None or delay is None else self._hedged(inner, delay)

    def _hedged(self, inner: Sender, delay: Any) -> Sender:
        read = _read(delay)

        async def send(request: Request) -> AsyncGenerator[Event, None]:
            begun_s, place = self._clock(), _place(request)
            attempts = [Attempt(inner(request))]
            try:
                if await _is_late(attempts[0], read(self._times(place))):
                    attempts.append(Attempt(inner(request)))
                winner, has_begun = await _winner(attempts)
                if has_begun:
                    self._note(place, self._clock() - begun_s)
                await end([other.task for other in attempts if other is not winner])
                notes = _notes(attempts, winner) if len(attempts) > 1 else None
                async with aclosing(winner.events()) as events:
                    async for event in events:
                        yield event.with_notes("hedge", notes) if notes else event
                        notes = None
            finally:
                await end([attempt.task for attempt in attempts])

        return send

    def _times(self, place: _Place) -> Sequence[float]:
        """Return how long the latest answers took to begin."""
        with self._lock:
            return tuple(self._seen.get(place, ()))

    def _note(self, place: _Place, took_s: float) -> None:
        with self._lock:
            self._seen.setdefault(place, deque(maxlen=MOST)).append(took_s)


def _place(request: Request) -> _Place:
    return request.route.base_url, request.route.provider, request.route.model


def _notes(attempts: list[Attempt], winner: Attempt) -> dict[str, Any]:
    return {"started": True, "winner": "first" if winner is attempts[0] else "second"}


async def _is_late(attempt: Attempt, delay_s: float | None) -> bool:
    """Wait for an attempt to begin; True if it has not after the delay."""
    if delay_s is None:
        return False
    done, _ = await asyncio.wait({attempt.begun}, timeout=delay_s)
    return not done


async def _winner(attempts: list[Attempt]) -> tuple[Attempt, bool]:
    """Return the first that begins to answer, else the first that was asked; and which it is."""
    waiting = {attempt.begun: attempt for attempt in attempts}
    while waiting:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for begun in done:
            attempt = waiting.pop(begun)
            if begun.result():
                return attempt, True
    return attempts[0], False


def _read(delay: Any) -> Callable[[Sequence[float]], float | None]:
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


def _percentile(seen: Sequence[float], share: float) -> float | None:
    """Return the time in which so many came; None while too few are known."""
    if len(seen) < FEWEST:
        return None
    return sorted(seen)[min(len(seen) - 1, int(len(seen) * share))]
