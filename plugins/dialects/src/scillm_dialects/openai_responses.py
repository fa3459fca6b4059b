"""OpenAI's Responses dialect, for calls that were written for chat completions. Pure.

``at(request, url)`` sends a chat's request to an address that speaks Responses; what comes back is
a chat completion again. What one dialect can say and the other cannot is refused by name.

Source: https://platform.openai.com/docs/api-reference/responses, November 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import evolve

from scillm import BadRequestError, InvalidResponse, Response, UnsupportedParamsError
from scillm.errors import StatusError

if TYPE_CHECKING:
    from scillm import Event, Request

_RENAMED = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
_REFUSED = frozenset(
    {
        "n",
        "seed",
        "stop",
        "logit_bias",
        "frequency_penalty",
        "presence_penalty",
        "logprobs",
        "functions",
        "function_call",
        "audio",
        "modalities",
        "prediction",
        "web_search_options",
    }
)
_TRANSLATED = frozenset(
    {
        "n",
        "messages",
        "tools",
        "tool_choice",
        "response_format",
        "reasoning_effort",
        "verbosity",
        "stream",
        "stream_options",
    }
)
_IMPLIED = {"n": 1}  # what every response is
_STATUS = {"rate_limit_exceeded": 429, "server_error": 500, "invalid_prompt": 400}
_FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}


def at(request: Request, url: str) -> Request:
    """Return the request of a chat, as it goes to a Responses endpoint; never as a stream.

    Raises:
        UnsupportedParamsError: It has a parameter that there is no word for.
        BadRequestError: So has a message.
    """
    headers = {**request.headers, "accept": "application/json"}
    body = from_chat(request.body or {})
    return evolve(request, url=url, body=body, headers=headers, read=read_response, frames="json")


def from_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a chat in the words of the Responses dialect.

    Raises:
        UnsupportedParamsError: A parameter that there is no word for.
        BadRequestError: A message that there is no word for.
    """
    if refused := sorted(
        name for name in _REFUSED.intersection(body) if body[name] != _IMPLIED.get(name)
    ):
        raise UnsupportedParamsError(
            f"{refused[0]!r} cannot be said to a Responses endpoint: leave it out, or ask "
            "chat completions"
        )
    made = {_RENAMED.get(k, k): v for k, v in body.items() if k not in _TRANSLATED}
    made["input"] = [item for message in body.get("messages", ()) for item in _items(message)]
    if "tools" in body:
        made["tools"] = [_flat(tool) for tool in body["tools"]]
    if "tool_choice" in body:
        choice = body["tool_choice"]
        made["tool_choice"] = _flat(choice) if isinstance(choice, Mapping) else choice
    if "reasoning_effort" in body:
        made.setdefault("reasoning", {"effort": body["reasoning_effort"]})
    if text := _text(body):
        made["text"] = {**made.get("text", {}), **text}
    return made


def read_response(frame: bytes) -> Iterable[Event]:
    """Read a whole response as a chat completion.

    Raises:
        StatusError: It says that it failed.
        InvalidResponse: It is no response.
    """
    raw = msgspec.json.decode(frame)
    if isinstance(raw, dict) and raw.get("error"):
        code = raw["error"].get("code") if isinstance(raw["error"], dict) else None
        raise StatusError(_STATUS.get(str(code), 500), frame.decode("utf-8", "replace"))
    if not isinstance(raw, dict) or not isinstance(raw.get("output"), list):
        shown = frame[:200].decode("utf-8", "replace")
        raise InvalidResponse(f"the answer is no response with an output: {shown!r}")
    message = _message(raw["output"])
    reason = (raw.get("incomplete_details") or {}).get("reason")
    finish = "tool_calls" if message.get("tool_calls") else _FINISH.get(str(reason), "stop")
    completion = {
        "id": raw.get("id"),
        "object": "chat.completion",
        "created": int(raw.get("created_at") or 0),
        "model": raw.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if usage := raw.get("usage"):
        completion["usage"] = _usage(usage)
    return (Response(completion),)


def _items(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what one message of a chat is in an input: itself, and each tool call apart."""
    role, content = message["role"], message.get("content")
    if role == "tool":
        output = {"call_id": message.get("tool_call_id"), "output": _plain(content)}
        return [{"type": "function_call_output", **output}]
    items: list[dict[str, Any]] = []
    if content:
        is_ours = role != "assistant"
        parts = content if isinstance(content, str) else [_part(p, is_ours) for p in content]
        items.append({"role": role, "content": parts})
    for call in message.get("tool_calls") or ():
        function = call.get("function")
        if not isinstance(function, Mapping):
            raise BadRequestError(f"a tool call of type {call.get('type')!r} cannot be said here")
        named = {"call_id": call.get("id"), "name": function["name"]}
        items.append({"type": "function_call", **named, "arguments": function["arguments"]})
    return items


def _part(part: Mapping[str, Any], is_input: bool) -> dict[str, Any]:  # noqa: FBT001  # one caller
    kind = part["type"]
    if kind == "text":
        return {"type": "input_text" if is_input else "output_text", "text": part["text"]}
    if kind == "image_url" and is_input:
        return {"type": "input_image", "detail": "auto", **_image(part["image_url"])}
    raise BadRequestError(f"a part of type {kind!r} cannot be said to a Responses endpoint")


def _image(image: Mapping[str, Any]) -> dict[str, Any]:
    told = {"detail": image["detail"]} if image.get("detail") else {}
    return {"image_url": image["url"], **told}


def _plain(content: Any) -> str:
    if isinstance(content, (list, tuple)):
        return "".join(str(part.get("text") or "") for part in content)
    return str(content or "")


def _flat(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool, or the choice of one, with its function's fields at the top."""
    function = tool.get("function")
    return {"type": "function", **function} if isinstance(function, Mapping) else dict(tool)


def _text(body: Mapping[str, Any]) -> dict[str, Any]:
    made = {"verbosity": body["verbosity"]} if "verbosity" in body else {}
    wanted = body.get("response_format")
    if isinstance(wanted, Mapping):
        schema = wanted.get("json_schema")
        made["format"] = {"type": wanted["type"], **(schema if isinstance(schema, Mapping) else {})}
    return made


def _message(output: list[Any]) -> dict[str, Any]:
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for item in output:
        if item["type"] == "message":
            texts += [p["text"] for p in item["content"] if p["type"] == "output_text"]
            refusals += [p["refusal"] for p in item["content"] if p["type"] == "refusal"]
        elif item["type"] == "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            calls.append({"id": item.get("call_id"), "type": "function", "function": function})
        elif item["type"] == "reasoning":
            thoughts += [part["text"] for part in item.get("summary") or ()]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if refusals:
        message["refusal"] = "".join(refusals)
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    return message


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    prompt, answer = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": usage.get("total_tokens", prompt + answer),
        "prompt_tokens_details": usage.get("input_tokens_details") or {},
        "completion_tokens_details": usage.get("output_tokens_details") or {},
    }
