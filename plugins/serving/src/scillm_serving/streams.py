"""Server-sent events, to the end or until the client leaves.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import attrs
import msgspec

from scillm_serving.exchange import Exchange
from scillm_serving.routes import Events

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]
_COMMENT = b": still here\n\n"


async def send_events(events: Events, exchange: Exchange, keep_alive_s: float) -> None:
    """Send each event as it comes; the source is closed whatever happens.

    Args:
        events: What is sent.
        exchange: To whom.
        keep_alive_s: Seconds of silence after which a comment is sent; 0 for none.
    """
    exchange.is_stream = True
    async with aclosing(events.source) as source:  # type: ignore[type-var]  # else below
        await exchange.send(
            {"type": "http.response.start", "status": 200, "headers": list(_HEADERS)}
        )
        comments = _Comments(exchange, keep_alive_s)
        try:
            async for event in source:
                comments.put_off()
                await _send(exchange, frame(event))
        finally:
            await comments.end()
        if events.end:
            await _send(exchange, events.end)
    await exchange.send({"type": "http.response.body", "body": b""})


def frame(event: Any) -> bytes:
    """Return an event's bytes; what is no bytes yet becomes JSON behind ``data:``."""
    if isinstance(event, bytes):
        return event
    shown = attrs.asdict(event) if attrs.has(type(event)) else event
    return b"data: " + msgspec.json.encode(shown) + b"\n\n"


async def _send(exchange: Exchange, body: bytes) -> None:
    await exchange.send({"type": "http.response.body", "body": body, "more_body": True})


class _Comments:
    """Sends a comment when nothing else was sent for a while."""

    def __init__(self, exchange: Exchange, every_s: float) -> None:
        self._exchange, self._every_s = exchange, every_s
        self._is_due = False
        self._task = asyncio.ensure_future(self._run()) if every_s > 0 else None

    def put_off(self) -> None:
        """Something was sent."""
        self._is_due = False

    async def end(self) -> None:
        """Send none any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            self._is_due = True
            await asyncio.sleep(self._every_s)
            if self._is_due:
                await _send(self._exchange, _COMMENT)
