"""Uvicorn's HTTP, with a limit on heads: their time, their size, and JSON for what is no HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from scillm_serving.refusals import Refused

if TYPE_CHECKING:
    _Base = Any
else:
    _Base = AutoHTTPProtocol  # which of two it is only the machine knows

LONGEST_HEAD_BYTES = 64 * 1024
_REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


class Limited(_Base):  # type: ignore[misc]  # Any, to mypy
    """Uvicorn's own, watched from outside."""

    head_s = 30.0
    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait for the first head."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_watching()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head, and wait for its end."""
        super().data_received(data)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._stop_watching()  # a request is being answered: its app has limits of its own
            return
        if cycle is None or not cycle.more_body:  # else the rest of a body that nobody wants
            self._head_bytes += len(data)
        if self._head_bytes > LONGEST_HEAD_BYTES:
            self._refuse(431, f"the head is longer than {LONGEST_HEAD_BYTES} bytes")
        elif self._timer is None:
            self._watch()

    def send_400_response(self, msg: str) -> None:
        """Say in JSON what is no HTTP."""
        self._refuse(400, f"this is not HTTP: {msg}")

    def _watch(self) -> None:
        self._timer = self.loop.call_later(self.head_s, self._give_up)

    def _stop_watching(self) -> None:
        self._head_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._refuse(408, f"no whole request came within {self.head_s:g} s")

    def _refuse(self, status: int, message: str) -> None:
        if self.transport.is_closing():
            return
        body = msgspec.json.encode(Refused(status, message, code="bad_http").body)
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def limited(head_s: float) -> type[asyncio.Protocol]:
    """Return a protocol that waits no longer than *head_s* seconds for the head of a request."""
    return type("Limited", (Limited,), {"head_s": head_s})
