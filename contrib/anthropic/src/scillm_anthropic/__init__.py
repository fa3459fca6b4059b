"""Anthropic's Messages API: ``completion("anthropic/claude-...")``. The hooks, asking, reading.

Source: https://platform.claude.com/docs/en/api/messages, November 2026.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from itertools import groupby
from typing import Any

from attrs import evolve

import scillm
from scillm import BadRequestError, Call, Chunk, FailureKind, ModelList, Request, Setting, hookimpl

PROVIDERS = ("anthropic",)
KEY = Setting(name="ANTHROPIC_API_KEY", default="", prefix="", is_secret=True, help="its key")
URL = Setting(name="ANTHROPIC_BASE_URL", default="", prefix="", help="address, else its own")
MAX_TOKENS = Setting(name="ANTHROPIC_MAX_TOKENS", default=8192, help="if a call sets no max_tokens")
SETTINGS: tuple[Setting[Any], ...] = (KEY, URL, MAX_TOKENS)
_HEADERS = {"anthropic-version": "2023-06-01", "content-type": "application/json"}
_KINDS = {"billing_error": FailureKind.PERMISSION, "request_too_large": FailureKind.BAD_REQUEST}
_TOO_LONG = ("prompt is too long", "exceed context limit")  # the words are the only mark
_STATUS = {"rate_limit_error": 429, "timeout_error": 504, "overloaded_error": 529}
_ROLES = {r: r for r in ("user", "assistant", "system")} | {"tool": "user", "developer": "system"}
_TEXTS = {"text": "content", "thinking": "reasoning_content", "citations": "citations"}
_CHOICES = {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}
_ONE_CALL = {"disable_parallel_tool_use": True}
_FINISH = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls"}
_FINISH |= {"max_tokens": "length", "model_context_window_exceeded": "length"}
_FINISH |= {"refusal": "content_filter"}  # any other is told as it is
_WORDS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "max_tokens": lambda count: {"max_tokens": count},
    "max_completion_tokens": lambda count: {"max_tokens": count},
    "temperature": lambda value: {"temperature": value},
    "top_p": lambda value: {"top_p": value},
    "stop": lambda stop: {"stop_sequences": [stop] if isinstance(stop, str) else list(stop)},
    "tools": lambda tools: {"tools": [_tool(tool) for tool in tools]},
    "tool_choice": lambda choice: {
        "tool_choice": _CHOICES.get(str(choice)) or {"type": "tool", **choice["function"]}
    },
    "parallel_tool_calls": lambda many: {} if many else {"tool_choice": _ONE_CALL},
    "response_format": lambda it: {
        "output_config": {"format": {"type": "json_schema", "schema": it["json_schema"]["schema"]}}
    },
    "reasoning_effort": lambda effort: {"output_config": {"effort": effort}},
    "user": lambda user: {"metadata": {"user_id": user}},
    "stream_options": lambda _: {},  # usage is always told
    "n": lambda n: {1: {}}[n],
}


@hookimpl
def resolve_model(call: Call) -> scillm.Route | None:
    """Take ``anthropic/...``; the address may end in /v1 or not."""
    if (model := call.model_for("anthropic")) is None:
        return None
    base = (call.api_base or URL.value() or "https://api.anthropic.com").rstrip("/")
    return scillm.Route(provider="anthropic", model=model, base_url=base.removesuffix("/v1"))


@hookimpl
def prepare_request(call: Call, route: scillm.Route) -> Request | None:
    """Say a chat, or ask for the list of models."""
    if route.provider != "anthropic":
        return None
    headers: dict[str, str | scillm.Secret] = {**_HEADERS, **call.headers}
    if "x-api-key" not in headers and "authorization" not in headers:
        headers["x-api-key"] = call.api_key or scillm.Secret(KEY.value())
        if not headers["x-api-key"]:
            raise scillm.AuthenticationError("no key: set ANTHROPIC_API_KEY, or pass api_key=...")
    is_list = call.operation == "models"
    return Request(
        route=route,
        url=f"{route.base_url}/v1/{'models?limit=1000' if is_list else 'messages'}",
        method="GET" if is_list else "POST",
        headers=headers,
        body=None if is_list else _body(call, route.model),
        read=lambda frame: [next(iter(Reader().read(frame)))],  # nothing is no answer
        frames="sse" if call.stream else "json",
    )


@hookimpl(wrapper=True)
def send(request: Request) -> Generator[None, Any, Any]:
    """Give each attempt at a stream a Reader of its own, since one remembers what it has read."""
    sender = yield
    if sender is None or request.route.provider != "anthropic" or request.frames != "sse":
        return sender
    return lambda attempt: sender(evolve(attempt, read=Reader().read))


@hookimpl(wrapper=True)
def classify_error(request: Request, error: Exception) -> Generator[None, Any, Any]:
    """Add what the kernel cannot know: where the request's id is, and what some errors mean."""
    failure = yield
    if request.route.provider != "anthropic" or not isinstance(error, scillm.StatusError):
        return failure
    is_long = any(words in failure.detail for words in _TOO_LONG)
    kind = FailureKind.CONTEXT_WINDOW if is_long else _KINDS.get(failure.code, failure.kind)
    return evolve(failure, kind=kind, request_id=error.headers.get("request-id"))


def _body(call: Call, model: str) -> dict[str, Any]:
    turns = _turns(call.messages)
    top = turns.pop(0)["content"] if turns and turns[0]["role"] == "system" else []
    if call.operation != "chat" or not model or not turns:
        raise BadRequestError("anthropic answers chats: give 'anthropic/model' and messages=[...]")
    body: dict[str, Any] = {"model": model, "messages": turns} | ({"system": top} if top else {})
    for name, value in call.params.items():
        try:
            parts = _WORDS[name](value)
        except (KeyError, TypeError, AttributeError):
            if name not in call.allowed_openai_params:
                said = f"anthropic has no {name}={value!r:.80}: leave it out, or use extra_body=..."
                raise scillm.UnsupportedParamsError(said) from None
            parts = {name: value}
        for word, part in parts.items():
            body[word] = {**body.get(word, {}), **part} if isinstance(part, dict) else part
    if isinstance(choice := body.get("tool_choice"), dict):
        body["tool_choice"] = {"type": "auto", **choice}
    body = {**body, **({"stream": True} if call.stream else {}), **call.extra_body}
    budget = (body.get("thinking") or {}).get("budget_tokens", 0)  # thoughts count as answer
    return {"max_tokens": MAX_TOKENS.value() + budget, **body}


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    if "function" not in tool:
        return tool  # one of Anthropic's own
    function = {"parameters": {"type": "object"}, **tool["function"]}
    return {"input_schema": function.pop("parameters"), **function}


def _turns(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    runs = groupby(messages, lambda message: _ROLES[message["role"]])  # neighbours are one turn
    try:
        return [{"role": r, "content": [b for m in run for b in _blocks(m)]} for r, run in runs]
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequestError(f"anthropic has no word for {error} in a message") from None


def _blocks(message: Mapping[str, Any]) -> list[Any]:
    content = message.get("content") or message.get("refusal") or ()
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    blocks = [*(message.get("thinking_blocks") or ()), *map(_block, parts)]
    if message["role"] == "tool":
        key = message["tool_call_id"]
        return [{"type": "tool_result", "tool_use_id": key, "content": blocks}]
    for call in message.get("tool_calls") or ():
        name, given = call["function"]["name"], json.loads(call["function"]["arguments"] or "{}")
        blocks.append({"type": "tool_use", "id": call["id"], "name": name, "input": given})
    return blocks


def _block(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if part["type"] in ("text", "image", "document"):
        return part  # both say it so, or it is Anthropic's own
    if part["type"] != "image_url":
        raise BadRequestError(f"anthropic has no parts of type {part['type']!r}")
    url = part["image_url"]["url"]
    kind, is_data, encoded = url.removeprefix("data:").partition(";base64,")
    source = {"type": "base64", "media_type": kind, "data": encoded}
    return {"type": "image", "source": source if is_data else {"type": "url", "url": url}}


class Reader:
    """Reads one answer, whole or streamed, and remembers what came of it."""

    def __init__(self) -> None:
        self._top: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._block: dict[str, Any] = {}  # the one that is open
        self._calls = -1

    def read(self, frame: bytes) -> Iterable[scillm.Event]:  # noqa: C901  # a table
        """Read a frame; a ping, or an event of a kind to come, gives nothing."""
        match json.loads(frame):
            case {"data": list(models)}:
                models = [{**model, "object": "model"} for model in models]
                return [ModelList({"object": "list", "data": models})]
            case {"type": "message", "content": blocks} as raw:
                said = [c for b in blocks for c in (*self._opened(b), *self._closed())]
                return [scillm.fold([*self._begun(raw), *said, *self._ended(raw, {})])]
            case {"type": "message_start", "message": message}:
                return self._begun(message)
            case {"type": "content_block_start", "content_block": block}:
                return self._opened(block)
            case {"delta": {"text": text}}:
                return self._delta({"content": text})
            case {"delta": {"thinking": text}}:
                self._block["thinking"] += text
                return self._delta({"reasoning_content": text})
            case {"delta": {"signature": signature}}:
                self._block["signature"] = signature
            case {"delta": {"citation": citation}}:
                return self._delta({"citations": [citation]})
            case {"delta": {"partial_json": str(more)}} if self._block["type"] == "tool_use":
                self._block["input"] = self._block["input"] if not more else None
                return self._call({"arguments": more})
            case {"type": "content_block_stop"}:
                return self._closed()
            case {"type": "message_delta", "delta": last} as raw:
                return self._ended(last, raw.get("usage") or {})
            case {"type": "error", "error": {"type": kind}} as raw:
                known = {"request-id": raw.get("request_id")}
                raise scillm.StatusError(_STATUS.get(kind, 500), frame.decode(), known)
        return ()

    def _begun(self, message: Mapping[str, Any]) -> Iterable[Chunk]:
        self._top, self._usage = {k: message[k] for k in ("id", "model")}, dict(message["usage"])
        return self._delta({"role": "assistant"})

    def _opened(self, block: Mapping[str, Any]) -> Iterable[Chunk]:
        self._block = dict(block)
        if block["type"] == "tool_use":
            self._calls += 1
            return self._call({"name": block["name"], "arguments": ""}, id=block["id"])
        told = {ours: block[name] for name, ours in _TEXTS.items() if block.get(name)}
        return self._delta(told) if told else ()

    def _closed(self) -> Iterable[Chunk]:
        if "thinking" in self._block["type"]:
            return self._delta({"thinking_blocks": [self._block]})
        given = self._block.get("input")  # None if it came in pieces
        is_ours = self._block["type"] == "tool_use" and given is not None
        return self._call({"arguments": json.dumps(given)}) if is_ours else ()

    def _ended(self, last: Mapping[str, Any], more: Mapping[str, Any]) -> Iterable[Chunk]:
        told = {**self._usage, **{name: count for name, count in more.items() if count is not None}}
        read, new = (told.get(f"cache_{word}_input_tokens") or 0 for word in ("read", "creation"))
        asked, said = told["input_tokens"] + read + new, told["output_tokens"]
        usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
        usage["prompt_tokens_details"] = {"cached_tokens": read, "cache_write_tokens": new}
        thought = (told.get("output_tokens_details") or {}).get("thinking_tokens")
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}
        reason, why = last["stop_reason"], (last.get("stop_details") or {}).get("explanation")
        return self._delta(
            {"refusal": why} if why else {}, _FINISH.get(reason, reason), usage=usage
        )

    def _call(self, function: dict[str, Any], **opening: str) -> Iterable[Chunk]:
        call = {"index": self._calls, "type": "function", **opening, "function": function}
        return self._delta({"tool_calls": [call]})

    def _delta(self, delta: Any, finish: str | None = None, **more: Any) -> Iterable[Chunk]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return (Chunk({**self._top, "choices": [choice], **more}),)
