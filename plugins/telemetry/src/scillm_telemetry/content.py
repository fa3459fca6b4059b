"""What was asked and said, in the shape of OpenTelemetry's conventions; only where asked for.

Source: the JSON schemas of input and output messages of those conventions, November 2026.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from scillm.answers import plain, reasoning_of
from scillm.secrets import redact
from scillm_telemetry import semconv

if TYPE_CHECKING:
    from scillm_telemetry.record import Record

Clean = Callable[[str], str]
_MODALITIES = {"image_url": "image", "input_audio": "audio", "file": "document"}


def content(record: Record) -> dict[str, Any]:
    """Return messages, tools and answer by their names, without the secrets of the request."""
    call = record.call
    found: dict[str, Any] = {}
    if call.operation == "chat":
        found[semconv.INPUT_MESSAGES] = [_message(message) for message in call.messages]
    if call.params.get("tools"):
        found[semconv.TOOL_DEFINITIONS] = [_tool(tool) for tool in call.params["tools"]]
    if record.answer is not None:
        said = [_choice(choice) for choice in plain(record.answer).get("choices") or ()]
        if said:
            found[semconv.OUTPUT_MESSAGES] = said
    secrets = (call.api_key, *call.headers.values())
    secrets += tuple(record.request.headers.values()) if record.request else ()
    cleaned: dict[str, Any] = _cleaned(found, lambda text: redact(text, secrets))
    return cleaned


def as_text(found: Mapping[str, Any]) -> dict[str, str]:
    """Return content as JSON text, since an attribute of a span has no structure."""
    return {name: json.dumps(v, ensure_ascii=False, default=str) for name, v in found.items()}


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    raw = plain(message)
    if raw.get("role") == "tool":
        answer = {"type": "tool_call_response", "id": raw.get("tool_call_id")}
        return {"role": "tool", "parts": [{**answer, "response": raw.get("content")}]}
    return {"role": raw.get("role"), "parts": [*_parts(raw)]}


def _choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    message = choice.get("message") or {}
    said = {"role": message.get("role") or "assistant", "parts": [*_parts(message)]}
    return {**said, "finish_reason": choice.get("finish_reason") or ""}


def _parts(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if (reasoning := reasoning_of(message)) is not None:
        yield {"type": "reasoning", "content": reasoning}
    content = message.get("content")
    if isinstance(content, str):
        yield {"type": "text", "content": content}
    elif isinstance(content, list):
        yield from map(_part, content)
    if message.get("refusal"):
        yield {"type": "refusal", "content": message["refusal"]}
    for call in message.get("tool_calls") or ():
        function = call.get("function") or call.get("custom") or {}
        arguments = _arguments(function.get("arguments", function.get("input")))
        named = {"type": "tool_call", "id": call.get("id"), "name": function.get("name") or ""}
        yield {**named, "arguments": arguments}


def _part(part: Any) -> dict[str, Any]:
    """Translate a part of a message; of what is sent as bytes only the size is told."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return {"type": "text", "content": part.get("text")}
    if kind not in _MODALITIES:
        return {"type": str(kind)}
    inside = part.get(kind) if isinstance(part.get(kind), dict) else {}
    modality = _MODALITIES[kind]
    if inside.get("file_id"):
        return {"type": "file", "modality": modality, "file_id": inside["file_id"]}
    sent = str(inside.get("url") or inside.get("data") or inside.get("file_data") or "")
    if sent.startswith(("http://", "https://")):
        return {"type": "uri", "modality": modality, "uri": sent}
    mime = sent[5:].partition(";")[0] if sent.startswith("data:") else inside.get("format")
    blob = {"type": "blob", "modality": modality, "mime_type": mime, "content": ""}
    return {**blob, "omitted_characters": len(sent)}


def _arguments(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text


def _tool(tool: Any) -> dict[str, Any]:
    raw = plain(tool) if isinstance(tool, Mapping) else {}
    function = raw.get("function") or raw.get("custom") or {}
    told = {"type": raw.get("type") or "function", "name": function.get("name") or ""}
    more = {name: function[name] for name in ("description", "parameters") if name in function}
    return {**told, **more}


def _cleaned(value: Any, clean: Clean) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {name: _cleaned(item, clean) for name, item in value.items()}
    if isinstance(value, Iterable):
        return [_cleaned(item, clean) for item in value]
    return value
