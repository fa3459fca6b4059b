"""A JSON completion at a host whose key style is unknown: one form after another, never all."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from cachetools import TTLCache

from scillm import AuthenticationError, BadRequestError, Response
from scillm_json_mode.strict import astrict_json_completion

Variant = Callable[[str], dict[str, str]]
MOST_REMEMBERED = 256
MOST_AT_A_TIME = 2
LONGEST_S = 24 * 3600.0

VARIANTS: dict[str, Variant] = {
    "bearer": lambda key: {"Authorization": f"Bearer {key}"},
    "x-api-key": lambda key: {"x-api-key": key},
    "raw": lambda key: {"Authorization": key},
}
_winners: TTLCache[tuple[str, bytes], tuple[float, str]] = TTLCache(MOST_REMEMBERED, LONGEST_S)
_lock = threading.Lock()


async def hedged_json_completion(  # noqa: PLR0913  # the signature that users know
    *,
    model: str,
    messages: list[dict[str, Any]],
    api_base: str,
    key: str,
    timeout: float = 30,  # seconds for the call, as everywhere
    temperature: float = 0,
    max_tokens: int | None = None,
    variants: Sequence[str] | None = None,
    ttl_s: float = 600,
    hedge_delay_ms: float = 250,
    **more: Any,
) -> Response:
    """Ask for JSON with the key in one form, and in the next if that is refused or late.

    What worked is remembered for that address and key, so that the next call is one request.

    Args:
        model: The model's name at the host.
        messages: Chat messages.
        api_base: The host's address.
        key: The key.
        timeout: Seconds for one request.
        temperature: As in ``completion``.
        max_tokens: As in ``completion``.
        variants: Forms in their order: ``"bearer"``, ``"x-api-key"``, ``"raw"``; None is these.
        ttl_s: Seconds that a form that worked is remembered.
        hedge_delay_ms: Milliseconds after which the next form is tried beside the first.
        **more: Further arguments of ``astrict_json_completion``.

    Raises:
        BadRequestError: A form that there is not.
        InvalidJSON: The answer is not JSON.
        AuthenticationError: Every form was refused.
        APIError: The call failed for another reason, which no other form would mend.
    """
    names = list(variants or VARIANTS)
    if unknown := sorted(set(names) - set(VARIANTS)):
        raise BadRequestError(f"variants has {unknown[0]!r}; there are {', '.join(VARIANTS)}")
    place = (api_base.rstrip("/").removesuffix("/v1"), hashlib.sha256(key.encode()).digest())
    with _lock:
        at_s, winner = _winners.get(place, (0.0, ""))
    if winner in names and time.monotonic() - at_s < ttl_s:
        names = [winner, *(name for name in names if name != winner)]

    async def ask(name: str) -> Response:
        return await astrict_json_completion(
            model=model,
            messages=messages,
            api_base=api_base,
            extra_headers=VARIANTS[name](key),
            timeout=timeout,
            temperature=temperature,
            max_tokens=max_tokens,
            **more,
        )

    delay_s = hedge_delay_ms / 1000 if names[0] != winner else None
    name, answer = await _first(names, ask, delay_s)
    with _lock:
        _winners[place] = (time.monotonic(), name)
    return answer


async def _first(
    names: Sequence[str], ask: Callable[[str], Awaitable[Response]], delay_s: float | None
) -> tuple[str, Response]:
    """Return the first answer; one more is asked when all are late or refused.

    Raises:
        AuthenticationError: All were refused; the first one's.
        APIError: One of them failed for another reason.
    """
    waiting = list(names)
    running: dict[asyncio.Future[Response], str] = {}
    refused: AuthenticationError | None = None
    try:
        while waiting or running:
            if waiting and len(running) < MOST_AT_A_TIME:
                name = waiting.pop(0)
                running[asyncio.ensure_future(ask(name))] = name
            has_room = waiting and len(running) < MOST_AT_A_TIME
            limit_s = delay_s if has_room else None
            done, _ = await asyncio.wait(
                running, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in sorted(done, key=lambda task: task.exception() is not None):
                name = running.pop(task)
                try:
                    return name, task.result()
                except AuthenticationError as error:
                    refused = refused or error
        assert refused is not None
        raise refused
    finally:
        await _end(running)


async def _end(running: Collection[asyncio.Future[Response]]) -> None:
    """End requests and wait for it; awaiting them would swallow who cancels us meanwhile."""
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
    for task in running:
        if not task.cancelled():
            task.exception()  # so that asyncio does not tell of it
