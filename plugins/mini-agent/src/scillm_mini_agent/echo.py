"""A model that is none: it says back what it was asked, the same each time; its name says so.

For trying out transport, clients and servers without a model.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from scillm import BadRequestError, Request, Response, Route, hookimpl, unfold
from scillm_mini_agent.samples import sample

if TYPE_CHECKING:
    from scillm import Call, Event, Sender

PROVIDER = "mini-agent-echo"
URL = "mini-agent-echo:"
_VERDICT = {"ok": True, "best_id": "A", "rationale_short": "echo: nothing was judged"}
"""What an object holds besides, so that `scillm codex doctor` sees a judgement in strict JSON."""


class EchoModel:
    """The provider ``mini-agent-echo``.

    Args:
        reply: What it says instead of the last message of the user.
        delay_s: How long it waits before.
    """

    PROVIDERS = (PROVIDER,)

    def __init__(self, reply: str | None = None, delay_s: float = 0.0) -> None:
        self._reply, self._delay_s = reply, delay_s

    @hookimpl
    def resolve_model(self, call: Call) -> Route | None:
        """Take ``mini-agent-echo/<anything>``."""
        name = call.model_for(PROVIDER)
        return None if name is None else Route(provider=PROVIDER, model=name)

    @hookimpl
    def prepare_request(self, call: Call, route: Route) -> Request | None:
        """Keep what is asked."""
        if route.provider != PROVIDER:
            return None
        body = {"messages": list(call.messages), **call.params}
        frames: Literal["json", "sse"] = "sse" if call.stream else "json"
        return Request(route=route, url=URL, body=body, read=lambda _: (), frames=frames)

    @hookimpl
    def send(self, request: Request) -> Sender | None:
        """Answer requests of ours."""
        return self._send if request.url == URL else None

    async def _send(self, request: Request) -> AsyncGenerator[Event, None]:
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        body = request.body or {}
        said = self._reply if self._reply is not None else _last_said(body["messages"])
        answer = Response(_answer(body, said, request.route.model))
        for event in _by_words(answer) if request.frames == "sse" else (answer,):
            yield event


def _by_words(answer: Response) -> Iterator[Event]:
    """Cut an answer into pieces of a word each."""
    for chunk in unfold(answer):
        if not chunk.text or len(answer.choices) > 1:
            yield chunk
            continue
        delta = chunk.choices[0].delta.to_dict()
        for word in re.findall(r"\s*\S+\s*$|\s*\S+|\s+", chunk.text):
            choice = {"index": 0, "delta": {**delta, "content": word}, "finish_reason": None}
            yield chunk.evolve(choices=[choice])
            delta = {}


def _answer(body: Mapping[str, Any], said: str, model: str) -> dict[str, Any]:
    call = None if _is_told_a_result(body["messages"]) else _forced_call(body, said)
    if call is not None:
        message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [call]}
        text, reason = json.dumps(call["function"]), "tool_calls"
    else:
        text, reason = _bounded(body, _formatted(body, said))
        message = {"role": "assistant", "content": text}
    asked = sum(len(_text(m.get("content")).split()) for m in body["messages"])
    spoken = len(text.split())
    return {
        "id": f"echo-{_mark(body)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {"index": n, "message": message, "finish_reason": reason}
            for n in range(int(body.get("n") or 1))
        ],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": spoken,
            "total_tokens": asked + spoken,
        },
    }


def _mark(body: Mapping[str, Any]) -> str:
    """Return an id that is the same for the same request."""
    text = json.dumps(body, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:24]


def _last_said(messages: list[Mapping[str, Any]]) -> str:
    """Return the result of a tool, if that is what came last; else what the user said last."""
    if _is_told_a_result(messages):
        return _text(messages[-1].get("content"))
    asked = [m for m in messages if m.get("role") == "user"]
    return _text((asked or messages)[-1].get("content"))


def _is_told_a_result(messages: list[Mapping[str, Any]]) -> bool:
    return bool(messages) and messages[-1].get("role") == "tool"


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(p["text"]) for p in content if isinstance(p, dict) and "text" in p)
    return content if isinstance(content, str) else ""


def _formatted(body: Mapping[str, Any], said: str) -> str:
    """Return what is said in the format that is asked for.

    Raises:
        BadRequestError: A schema of which no example can be made.
    """
    wished = body.get("response_format")
    kind = wished.get("type") if isinstance(wished, Mapping) else None
    if kind == "json_object":
        return (
            said if _is_object(said) else json.dumps({"echo": said, **_VERDICT}, ensure_ascii=False)
        )
    if kind == "json_schema":
        told = (wished or {}).get("json_schema")
        schema = told.get("schema") if isinstance(told, Mapping) else None
        if not isinstance(schema, Mapping):
            raise BadRequestError("response_format has no json_schema with a schema")
        return json.dumps(_example(schema, said), ensure_ascii=False)
    return said


def _example(schema: Mapping[str, Any], said: str) -> Any:
    try:
        return sample(schema, said)
    except ValueError as error:
        raise BadRequestError(f"the echo cannot make an example of this schema: {error}") from None


def _forced_call(body: Mapping[str, Any], said: str) -> dict[str, Any] | None:
    """Return a call of the tool that has to be called, if one has."""
    choice = body.get("tool_choice")
    given = (tool.get("function") for tool in body.get("tools") or ())
    tools = [f for f in given if isinstance(f, Mapping) and isinstance(f.get("name"), str)]
    if isinstance(choice, Mapping):
        wanted = choice.get("function")
        name = wanted.get("name") if isinstance(wanted, Mapping) else None
        tools = [tool for tool in tools if tool["name"] == name]
    elif choice != "required":
        return None
    if not tools:
        raise BadRequestError("tool_choice names a tool that is not among the tools")
    schema = tools[0].get("parameters")
    arguments = _example(schema if isinstance(schema, Mapping) else {"type": "object"}, said)
    function = {"name": tools[0]["name"], "arguments": json.dumps(arguments)}
    return {"id": "call_echo", "type": "function", "function": function}


def _bounded(body: Mapping[str, Any], text: str) -> tuple[str, str]:
    """Return the text up to a stop word, at most so many words; and why it ends."""
    stops = body.get("stop") or ()
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.partition(stop)[0] if stop else text
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    words = text.split()
    if isinstance(most, int) and 0 <= most < len(words):
        return " ".join(words[:most]), "length"
    return text, "stop"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
