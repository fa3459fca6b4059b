"""The kernel with a plugin that answers at once, and others that have nothing to say.

Nothing goes over a wire: what is measured is the kernel's own work, plus that of 30 plugins
which are asked in each of the five hooks and answer None.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import scillm
from scillm import hookimpl

IDLE_PLUGINS = 30
TEXT = "a" * 256
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1741570283,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": TEXT},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 19, "completion_tokens": 64, "total_tokens": 83},
}


class Instant:
    """A provider and transport in one."""

    PROVIDERS = ("instant",)

    @hookimpl
    def resolve_model(self, call: scillm.Call) -> scillm.Route | None:
        model = call.model_for("instant")
        return None if model is None else scillm.Route(provider="instant", model=model)

    @hookimpl
    def prepare_request(self, call: scillm.Call, route: scillm.Route) -> scillm.Request:
        body = {"model": route.model, "messages": list(call.messages), **call.params}
        return scillm.Request(route=route, url="instant:", body=body, read=_read)

    @hookimpl
    def send(self, request: scillm.Request) -> scillm.Sender | None:
        return _send if request.url == "instant:" else None


class Idle:
    """A plugin that is asked everything and answers nothing."""

    @hookimpl
    def resolve_model(self, call: scillm.Call) -> None:
        return None

    @hookimpl
    def prepare_request(self, call: scillm.Call, route: scillm.Route) -> None:
        return None

    @hookimpl
    def send(self, call: scillm.Call, request: scillm.Request) -> None:
        return None

    @hookimpl
    def classify_error(self, call: scillm.Call, request: scillm.Request, error: Exception) -> None:
        return None

    @hookimpl
    def post_process(self, call: scillm.Call, response: scillm.Response) -> None:
        return None


def _read(frame: bytes) -> list[scillm.Response]:
    return [scillm.Response(json.loads(frame))]


async def _send(request: scillm.Request) -> AsyncGenerator[scillm.Event, None]:
    yield scillm.Response(ANSWER)


class Client:
    """Calls a kernel made for the purpose; the base URL is not used."""

    idle_plugins = IDLE_PLUGINS

    def __init__(self, base_url: str) -> None:
        idle = [type(f"Idle{n}", (Idle,), {"ORDER": 499})() for n in range(self.idle_plugins)]
        self.kernel = scillm.Kernel.of(Instant(), *idle)

    async def acall(self, prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        answer = await self.kernel.acompletion(
            model="instant/m", messages=messages, temperature=0.2, max_tokens=64
        )
        return answer.choices[0].message.content
