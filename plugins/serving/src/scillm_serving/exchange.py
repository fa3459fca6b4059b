"""One request and its answer, as the edge of the server sees them."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping
from typing import Any

import msgspec

from scillm_serving.refusals import Refused

Message = MutableMapping[str, Any]
LEFT = 499
"""What the log says of a client that left; the number is nginx's."""


class Exchange:
    """Watches what is sent, adds the request's id, and turns an error into an answer.

    Args:
        scope: ASGI's scope of the request.
        send: ASGI's function that sends.
        request_id: Its id.
    """

    def __init__(self, scope: Mapping[str, Any], send: Any, request_id: str) -> None:
        self.request_id, self.method = request_id, scope["method"]
        self.path: str = scope["path"]
        self.route = "none"
        self.status, self.sent_bytes = 0, 0
        self.is_stream = self.is_over = False
        self.began = time.perf_counter()
        self._send = send

    @property
    def ms(self) -> float:
        """Milliseconds since it began."""
        return (time.perf_counter() - self.began) * 1000

    async def send(self, message: Message) -> None:
        """Send one message of ASGI's."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self.request_id.encode())]
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
            self.is_over = not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        """Answer with an error: as a whole, or as the last event of a stream that has begun."""
        if self.is_over:
            return
        body = msgspec.json.encode(refused.body)
        if not self.status:
            await self.reply(refused.status, body, refused.headers)
        elif self.is_stream:
            await self.send({"type": "http.response.body", "body": b"data: " + body + b"\n\n"})

    async def reply(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> None:
        """Send a whole answer."""
        made = {"content-type": content_type, "content-length": str(len(body))}
        made |= {name.lower(): value for name, value in (headers or {}).items()}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in made.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        shown = b"" if self.method == "HEAD" else body
        await self.send({"type": "http.response.body", "body": shown})
