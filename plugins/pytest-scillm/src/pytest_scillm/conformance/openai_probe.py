"""A provider for testing transports: OpenAI's dialect in a few lines, with the kernel alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from scillm import Call, Chunk, Request, Response, Route, Secret, hookimpl

if TYPE_CHECKING:
    from scillm import Event

KEY = "sk-transport-0123456789"


class OpenaiProbe:
    """Asks ``call.api_base`` for a chat completion, with a key."""

    __name__ = "openai_probe"
    PROVIDERS = ("probe",)

    @hookimpl
    def resolve_model(self, call: Call) -> Route | None:
        """Take models of ``probe/``."""
        model = call.model_for("probe")
        return (
            None
            if model is None
            else Route(provider="probe", model=model, base_url=call.api_base or "")
        )

    @hookimpl
    def prepare_request(self, call: Call, route: Route) -> Request:
        """Write OpenAI's body."""
        return Request(
            route=route,
            url=f"{route.base_url}/chat/completions",
            body={"model": route.model, "messages": list(call.messages), "stream": call.stream},
            headers={
                "content-type": "application/json",
                "authorization": Secret(f"Bearer {KEY}"),
                **call.headers,
            },
            frames="sse" if call.stream else "json",
            read=_read_chunk if call.stream else _read_whole,
            timeouts=call.timeouts,
            max_bytes=call.options.get("max_bytes", 1_000_000),
        )


def _read_whole(frame: bytes) -> Iterable[Event]:
    raw = json.loads(frame, parse_constant=_refuse)
    if not raw["choices"]:
        raise ValueError("no choice")
    return (Response(raw),)


def _read_chunk(frame: bytes) -> Iterable[Event]:
    raw = json.loads(frame, parse_constant=_refuse)
    if "error" in raw:
        from scillm.errors import StatusError

        raise StatusError(500, frame.decode())
    return (Chunk(raw),)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
