"""A provider that says back what it was asked: the smallest plugin there is."""

import json
from collections.abc import AsyncGenerator

from scillm import BadRequestError, Call, Chunk, Event, Request, Response, Route, Sender, hookimpl

PROVIDERS = ("echo",)


@hookimpl
def resolve_model(call: Call) -> Route | None:
    """Take models of ``echo/``."""
    model = call.model_for("echo")
    return None if model is None else Route(provider="echo", model=model)


@hookimpl
def prepare_request(call: Call, route: Route) -> Request | None:
    """Send the last message, and the parameters as they are."""
    if route.provider != "echo":
        return None
    last = call.messages[-1] if call.messages else {}
    if call.operation != "chat" or last.get("role") != "user":
        raise BadRequestError("echo says back what a user says in a chat, and nothing else")
    return Request(
        route=route,
        url="echo:",
        body={"say": last["content"], **call.params, **call.extra_body},
        read=_read,
        frames="sse" if call.stream else "json",
        headers=call.headers,
    )


def _read(frame: bytes) -> list[Event]:
    raw = json.loads(frame)
    tokens = raw["tokens"]
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    choice = {"index": 0, "finish_reason": raw["end"]}
    if "piece" in raw:
        delta = {"content": raw["piece"]}
        return [Chunk({"choices": [{**choice, "delta": delta}], "usage": usage})]
    message = {"role": "assistant", "content": raw["said"]}
    return [Response({"choices": [{**choice, "message": message}], "usage": usage})]


@hookimpl
def send(request: Request) -> Sender | None:
    """Carry out its own requests: there is no service behind them."""
    return _send if request.url == "echo:" else None


async def _send(request: Request) -> AsyncGenerator[Event, None]:
    text = str((request.body or {})["say"])
    answer = {"said": text, "tokens": len(text.split()), "end": "stop"}
    for event in request.events(json.dumps(answer).encode()):
        yield event
