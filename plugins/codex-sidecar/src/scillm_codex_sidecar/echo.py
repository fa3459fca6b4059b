"""Echo: a canned answer that needs no model, no key and no network, to try the wiring with."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from scillm import BadRequestError, Call, Chunk, Event, Request, Route, Sender, hookimpl
from scillm_codex_sidecar.examples import smallest

PROVIDERS = ("codex-echo",)
TEXT = "shim ok"
OBJECT = {"ok": True, "best_id": "A", "rationale_short": "echo: nothing was judged"}
"""What is said in JSON mode without a schema; the doctor's judge reads it too."""

_MOST = 128
_URL = "echo:"


@hookimpl
def resolve_model(call: Call) -> Route:
    """Take any model."""
    return Route(provider="codex-echo", model=call.model)


@hookimpl
def prepare_request(call: Call, route: Route) -> Request:
    """Say what is to be said."""
    params = call.params
    body = {
        "model": route.model,
        "prompt_tokens": _tokens(" ".join(str(m.get("content") or "") for m in call.messages)),
        "n": _number(params, "n", 1),
        **_said(params),
    }
    return Request(route=route, url=_URL, body=body, read=lambda frame: ())


@hookimpl
def send(request: Request) -> Sender | None:
    """Answer one's own requests."""
    return _send if request.url == _URL else None


async def _send(request: Request) -> AsyncGenerator[Event, None]:
    body: Mapping[str, Any] = request.body or {}
    head = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": body["model"],
    }
    for index in range(body["n"]):
        for place, delta in enumerate(body["deltas"]):
            role = {"role": "assistant"} if place == 0 else {}
            choice = {"index": index, "delta": {**role, **delta}, "finish_reason": None}
            yield Chunk({**head, "choices": [choice]})
    ends = [
        {"index": index, "delta": {}, "finish_reason": body["finish_reason"]}
        for index in range(body["n"])
    ]
    yield Chunk({**head, "choices": ends})
    said = body["completion_tokens"] * body["n"]
    usage = {
        "prompt_tokens": body["prompt_tokens"],
        "completion_tokens": said,
        "total_tokens": body["prompt_tokens"] + said,
    }
    yield Chunk({**head, "choices": [], "usage": usage})


def _said(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pieces of the message, why it ends, and how many words it has."""
    tool = _tool(params)
    if tool is not None:
        arguments = json.dumps(smallest(tool.get("parameters") or {"type": "object"}))
        call = {
            "index": 0,
            "id": f"call_{uuid.uuid4().hex[:24]}",
            "type": "function",
            "function": {"name": tool.get("name", ""), "arguments": arguments},
        }
        deltas: list[dict[str, Any]] = [{"content": None, "tool_calls": [call]}]
        return {"deltas": deltas, "finish_reason": "tool_calls", "completion_tokens": 1}
    text, finish_reason = _text(params), "stop"
    for mark in _stops(params):
        text = text.partition(mark)[0]
    words = text.split(" ") if text else []
    asked = _number(params, "max_completion_tokens", _number(params, "max_tokens", len(words)))
    if asked < len(words):
        words, finish_reason = words[:asked], "length"
    pieces = [word if place == 0 else f" {word}" for place, word in enumerate(words)]
    return {
        "deltas": [{"content": piece} for piece in pieces] or [{"content": ""}],
        "finish_reason": finish_reason,
        "completion_tokens": len(words),
    }


def _text(params: Mapping[str, Any]) -> str:
    wanted = params.get("response_format") or {}
    kind = wanted.get("type", "text")
    if kind == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema")
        return json.dumps(OBJECT if schema is None else smallest(schema))
    return json.dumps(OBJECT) if kind == "json_object" else TEXT


def _tool(params: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the function that must be called, None if none must."""
    choice = params.get("tool_choice")
    known = [tool.get("function") or {} for tool in params.get("tools") or ()]
    if choice == "required" and known:
        return known[0]
    if isinstance(choice, Mapping):
        name = (choice.get("function") or {}).get("name")
        found = next((each for each in known if each.get("name") == name), None)
        if found is None:
            raise BadRequestError(f"tool_choice names {name!r}, which is none of the tools")
        return found
    return None


def _stops(params: Mapping[str, Any]) -> list[str]:
    stop = params.get("stop") or []
    return [stop] if isinstance(stop, str) else [mark for mark in stop if mark]


def _number(params: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = params.get(name)
    if value is None:
        return otherwise
    if not 1 <= value <= (_MOST if name == "n" else 2**31):
        raise BadRequestError(f"{name}={value!r} is not a number that echo can take")
    return int(value)


def _tokens(text: str) -> int:
    return len(text.split())
