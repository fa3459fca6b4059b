"""A transport that answers from a script and remembers what was sent."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from scillm import Event, InvalidResponse, Request, hookimpl
from scillm.calls import Sender
from scillm.errors import StatusError


class Wire:
    """A transport plugin; since transports are plugins, nothing is patched.

    Answers come in the order queued; the last one repeats. ``sent`` holds the requests,
    ``closed`` counts the senders that were closed or came to their end.
    """

    __name__ = "wire"
    ORDER = 450  # before any plugin that sends, so that any provider can be tried

    def __init__(self) -> None:
        self.answers: list[list[bytes] | Exception] = []
        self.sent: list[Request] = []
        self.closed = 0

    def reply(self, *frames: Any) -> Wire:
        """Queue an answer: one JSON body, or the frames of a stream; bytes go as they are."""
        self.answers.append([f if isinstance(f, bytes) else json.dumps(f).encode() for f in frames])
        return self

    def fail(self, status: int, body: Any = None, **headers: str) -> Wire:
        """Queue an error status; ``retry_after="7"`` becomes the header ``retry-after``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append(StatusError(status, json.dumps(body or {}), named))
        return self

    def drop(self) -> Wire:
        """Queue a broken connection."""
        self.answers.append(ConnectionError("the wire was cut"))
        return self

    def hang(self) -> Wire:
        """Queue a deadline that passes."""
        self.answers.append(TimeoutError("the wire let a deadline pass"))
        return self

    @hookimpl
    def send(self) -> Sender:
        """Take every request."""
        return self._send

    async def _send(self, request: Request) -> AsyncGenerator[Event, None]:
        self.sent.append(request)
        if not self.answers:
            raise AssertionError(
                "the wire has no answer: queue one by wire.reply(...) or wire.fail(...)"
            )
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            if isinstance(answer, Exception):
                raise answer
            is_final = False
            for frame in answer:
                if frame == request.end:
                    return
                for event in request.events(frame):
                    is_final = is_final or event.is_final
                    yield event
            if not is_final:
                raise InvalidResponse("the script stops short of a finish_reason or an end mark")
        finally:
            self.closed += 1
