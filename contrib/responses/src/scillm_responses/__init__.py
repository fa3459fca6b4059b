"""OpenAI's Responses API: ``completion("responses/gpt-...")``. The hooks, asking, reading.

Source: https://platform.openai.com/docs/api-reference/responses, November 2026.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

from attrs import evolve

import scillm
from scillm import BadRequestError, Call, Chunk, FailureKind, Request, Setting, hookimpl

PROVIDERS = ("responses",)
KEY = Setting(name="OPENAI_API_KEY", default="", prefix="", is_secret=True, help="key for OpenAI")
URL = Setting(name="OPENAI_BASE_URL", default="", prefix="", help="address, else its own")
SETTINGS: tuple[Setting[Any], ...] = (KEY, URL)
_JSON = "application/json"
_STATUS = {"": 500, "server_error": 500, "rate_limit_exceeded": 429, "insufficient_quota": 429}
_STATUS |= {"server_is_overloaded": 503, "slow_down": 503, "vector_store_timeout": 504}
_POLICIES = ("bio_policy", "misalignment_policy_violation", "image_content_policy_violation")
_CUT = {"max_output_tokens": "length", "max_messages": "length"}  # any other is told as it is
_SAME = ["temperature", "top_p", "user", "service_tier", "store", "reasoning"]
_SAME += ["parallel_tool_calls", "safety_identifier", "prompt_cache_key"]
_WORDS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "max_tokens": lambda count: {"max_output_tokens": count},
    "max_completion_tokens": lambda count: {"max_output_tokens": count},
    "tools": lambda tools: {"tools": [_flat(tool) for tool in tools]},
    "tool_choice": lambda it: {"tool_choice": it if isinstance(it, str) else _flat(it)},
    "response_format": lambda it: {
        "text": {"format": {"type": it["type"], **(it.get("json_schema") or {})}}
    },
    "verbosity": lambda value: {"text": {"verbosity": value}},
    "reasoning_effort": lambda effort: {"reasoning": {"effort": effort}},
    "stream_options": lambda _: {},  # usage is always told
    "n": lambda n: {1: {}}[n],
}


@hookimpl
def resolve_model(call: Call) -> scillm.Route | None:
    """Take ``responses/...``; the address may end in /v1 or not."""
    if (model := call.model_for("responses")) is None:
        return None
    base = (call.api_base or URL.value() or "https://api.openai.com").rstrip("/")
    return scillm.Route(provider="responses", model=model, base_url=base.removesuffix("/v1"))


@hookimpl
def prepare_request(call: Call, route: scillm.Route) -> Request | None:
    """Say a chat, or ask for the list of models."""
    if route.provider != "responses":
        return None
    headers: dict[str, str | scillm.Secret] = {"content-type": _JSON, **call.headers}
    if "authorization" not in headers and "api-key" not in headers:
        key = call.api_key or scillm.Secret(KEY.value())
        if not key:
            raise scillm.AuthenticationError("no key: set OPENAI_API_KEY, or pass api_key=...")
        headers["authorization"] = scillm.Secret(f"Bearer {key.reveal()}")
    is_list = call.operation == "models"
    return Request(
        route=route,
        url=f"{route.base_url}/v1/{'models' if is_list else 'responses'}",
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
    if sender is None or request.route.provider != "responses" or request.frames != "sse":
        return sender
    return lambda attempt: sender(evolve(attempt, read=Reader().read))


@hookimpl(wrapper=True)
def classify_error(request: Request) -> Generator[None, Any, Any]:
    """Add what the kernel cannot know: which codes of this API mean a policy."""
    failure = yield
    if request.route.provider != "responses" or failure.code not in _POLICIES:
        return failure
    return evolve(failure, kind=FailureKind.CONTENT_POLICY)


def _body(call: Call, model: str) -> dict[str, Any]:
    if call.operation != "chat" or not model or not call.messages:
        raise BadRequestError("responses answers chats: give 'responses/model' and messages=[...]")
    try:
        items = [item for message in call.messages for item in _items(message)]
    except (KeyError, TypeError) as error:
        raise BadRequestError(f"responses has no word for {error} in a message") from None
    body: dict[str, Any] = {"model": model, "input": items, "store": False}
    if call.metadata and call.params.get("store"):
        body["metadata"] = dict(call.metadata)  # marks of what is stored
    for name, value in call.params.items():
        is_same = name in _SAME or name in call.allowed_openai_params
        try:
            parts = {name: value} if is_same else _WORDS[name](value)
        except (KeyError, TypeError, AttributeError):
            said = f"responses has no {name}={value!r:.80}: leave it out, or ask chat completions"
            raise scillm.UnsupportedParamsError(said) from None
        for word, part in parts.items():
            body[word] = {**body.get(word, {}), **part} if isinstance(part, dict) else part
    return {**body, **({"stream": True} if call.stream else {}), **call.extra_body}


def _flat(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", **tool["function"]} if "function" in tool else dict(tool)


def _items(message: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    role, content = message["role"], message.get("content") or message.get("refusal")
    parts = content if isinstance(content, str) else [_part(p, role) for p in content or ()]
    if role == "tool":
        yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": parts}
        return
    for thought in message.get("reasoning_items") or ():
        if thought.get("encrypted_content"):  # else only a stored response knows it
            yield thought
    if parts:
        yield {"role": role, "content": parts}
    for call in message.get("tool_calls") or ():
        yield {"type": "function_call", "call_id": call["id"], **call["function"]}


def _part(part: Mapping[str, Any], role: str) -> dict[str, Any]:
    match part:
        case {"type": "text", "text": text}:
            return {"type": "output_text" if role == "assistant" else "input_text", "text": text}
        case {"type": "image_url", "image_url": it}:
            detail = it.get("detail", "auto")
            return {"type": "input_image", "image_url": it["url"], "detail": detail}
        case {"type": "file", "file": file}:
            return {"type": "input_file", **file}
        case {"type": "input_audio" | "refusal"}:
            return dict(part)  # both say it so
    raise BadRequestError(f"responses has no parts of type {part['type']!r}")


def _annotation(told: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": told["type"], told["type"]: {k: v for k, v in told.items() if k != "type"}}


class Reader:
    """Reads one answer, whole or streamed, and remembers what came of it."""

    def __init__(self) -> None:
        self._top: dict[str, Any] = {}
        self._calls: dict[int, int] = {}  # places among the tool calls, by those in the output
        self._told: set[Any] = set()  # which arguments came in pieces
        self._thought: Any = None  # the part of the reasoning that is being told

    def read(self, frame: bytes) -> Iterable[scillm.Event]:  # noqa: C901, PLR0912  # a table
        """Read a frame; an event that repeats what was told, or is of a kind to come, is none."""
        match json.loads(frame):
            case {"data": list(models)}:
                return [scillm.ModelList({"object": "list", "data": models})]
            case {"error": dict(e)} | {"response": {"error": dict(e)}} | ({"type": "error"} as e):
                status = _STATUS.get(e.get("code") or "", 400)
                raise scillm.StatusError(status, json.dumps({"error": e}))
            case {
                "object": "response",
                "status": "completed" | "incomplete",
                "output": items,
            } as it:
                said = [chunk for item in enumerate(items) for chunk in self._whole(*item)]
                return [scillm.fold([*self._begun(it), *said, *self._ended(it)])]
            case {"type": "response.created", "response": raw}:
                return self._begun(raw)
            case {"type": "response.output_item.added", "output_index": at, "item": item}:
                return self._opened(at, item)
            case {"type": "response.output_item.done", "output_index": at, "item": item}:
                return self._closed(at, item)
            case {"type": "response.output_text.delta", "delta": text}:
                return self._delta({"content": text})
            case {"type": "response.refusal.delta", "delta": text}:
                return self._delta({"refusal": text})
            case {"type": "response.output_text.annotation.added", "annotation": mark}:
                return self._delta({"annotations": [_annotation(mark)]})
            case {"type": "response.function_call_arguments.delta", "delta": more} as raw:
                self._told.add(raw["output_index"])
                return self._call(raw["output_index"], {"arguments": more})
            case {"type": "response.reasoning_summary_text.delta", "delta": text} as raw:
                return self._think((raw["output_index"], "summary", raw["summary_index"]), text)
            case {"type": "response.reasoning_text.delta", "delta": text} as raw:
                return self._think((raw["output_index"], "content", raw["content_index"]), text)
            case {"type": "response.completed" | "response.incomplete", "response": raw}:
                return self._ended(raw)
        return ()

    def _begun(self, raw: Mapping[str, Any]) -> Iterable[Chunk]:
        self._top = {"id": raw["id"], "model": raw["model"], "created": raw.get("created_at")}
        return self._delta({"role": "assistant"})

    def _whole(self, at: int, item: Mapping[str, Any]) -> Iterable[Chunk]:
        yield from self._opened(at, item)
        for kind in ("summary", "content"):
            for place, part in enumerate(item.get(kind) or ()):
                match part:
                    case {"refusal": text}:
                        yield from self._delta({"refusal": text})
                    case {"type": "output_text", "text": text}:
                        yield from self._delta({"content": text})
                    case {"type": "summary_text" | "reasoning_text", "text": text}:
                        yield from self._think((at, kind, place), text)
                if marks := [_annotation(mark) for mark in part.get("annotations") or ()]:
                    yield from self._delta({"annotations": marks})
        yield from self._closed(at, item)

    def _opened(self, at: int, item: Mapping[str, Any]) -> Iterable[Chunk]:
        if item["type"] != "function_call":
            return ()
        self._calls[at] = len(self._calls)
        return self._call(at, {"name": item["name"], "arguments": ""}, id=item["call_id"])

    def _closed(self, at: int, item: Mapping[str, Any]) -> Iterable[Chunk]:
        if item["type"] == "reasoning":
            return self._delta({"reasoning_items": [item]})
        is_untold = at in self._calls and at not in self._told
        return self._call(at, {"arguments": item["arguments"]}) if is_untold else ()

    def _think(self, part: Any, text: str) -> Iterable[Chunk]:
        gap = "" if self._thought in (None, part) else "\n\n"
        self._thought = part
        return self._delta({"reasoning_content": gap + text})

    def _call(self, at: int, function: dict[str, Any], **opening: str) -> Iterable[Chunk]:
        call = {"index": self._calls[at], "type": "function", **opening, "function": function}
        return self._delta({"tool_calls": [call]})

    def _ended(self, raw: Mapping[str, Any]) -> Iterable[Chunk]:
        reason = (raw.get("incomplete_details") or {}).get("reason") or ""
        finish = _CUT.get(reason, reason) or ("tool_calls" if self._calls else "stop")
        told = (raw.get("usage") or {}).items()
        usage = {k.replace("input", "prompt").replace("output", "completion"): n for k, n in told}
        return self._delta({}, finish, usage=usage or None)

    def _delta(self, delta: Any, finish: str | None = None, **more: Any) -> Iterable[Chunk]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return (Chunk({**self._top, "choices": [choice], **more}),)
