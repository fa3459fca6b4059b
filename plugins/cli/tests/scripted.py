"""A provider of a few lines, asked in process; what it answers is what the last message says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

from scillm import Call, Chunk, Event, ModelList, Request, Response, Route, Sender, hookimpl

PROVIDERS = ("scripted",)


@hookimpl
def resolve_model(call: Call) -> Route | None:
    """Take `scripted/...`."""
    model = call.model_for("scripted")
    return None if model is None else Route(provider="scripted", model=model)


@hookimpl
def prepare_request(call: Call, route: Route) -> Request | None:
    """Need nothing."""
    if route.provider != "scripted":
        return None
    return Request(route=route, url="scripted:", read=lambda frame: ())


@hookimpl
def send(call: Call, request: Request) -> Sender | None:
    """Answer without a wire."""
    if request.url != "scripted:":
        return None

    async def run(request: Request) -> AsyncGenerator[Event, None]:
        if call.operation == "models":
            yield ModelList({"object": "list", "data": [{"id": "parrot"}]})
            return
        said = call.messages[-1]["content"]
        if said == "hang":
            yield _chunk("begun ")
            await asyncio.Event().wait()
        while said == "endless":
            yield _chunk("more " * 2000)
            await asyncio.sleep(0)
        yield _whole(call, said)

    return run


def _whole(call: Call, said: str) -> Response:
    text = "half \ud83d of it" if said == "half" else said
    if said == "count":
        text = f"{len(call.messages)} messages"
    if call.params.get("response_format", {}).get("type") == "json_schema" and "{" not in said:
        text = json.dumps({"name": "Ada", "age": 36})
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    return Response({"id": "1", "model": "parrot", "choices": [choice], "usage": usage})


def _chunk(text: str) -> Chunk:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return Chunk({"id": "1", "model": "parrot", "choices": [choice]})
