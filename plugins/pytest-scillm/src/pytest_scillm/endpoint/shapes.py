"""What the endpoint says: bodies in OpenAI's shape, whole and in chunks.

Source: the OpenAI API reference, objects `chat.completion`, `chat.completion.chunk`, `list` of
`model` and of `embedding`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from .options import Options

Json: TypeAlias = (
    "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"  # a JSON value
)
JsonObject: TypeAlias = "dict[str, Json]"

SENTENCE = (
    "The quick brown fox jumps over the lazy dog while the kernel dispatches hooks in order. "
)
TEXT = (SENTENCE * 3)[:256]
REASONING = "The fox is quick, the dog is lazy; so the fox jumps."
REFUSAL = "I'm sorry, I can't help with that."
NASTY_TEXT = "a\u2028b\u2029c\u0085d — “é漢🦊” e"
MODELS = ("mock-model", "gpt-4o-mini")
TOOL_CALLS: Sequence[tuple[str, str, str]] = (
    ("call_abc", "get_weather", '{"city": "Paris"}'),
    ("call_def", "get_time", '{"zone": "Asia/Tokyo"}'),
)

_ID = "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG"
_CREATED_S = 1741570283


def content(options: Options) -> str:
    """The text of an answer under these options."""
    if options.dirty:
        return options.dirty
    size = options.size_chars
    return (TEXT * (size // len(TEXT) + 1))[:size] if size else TEXT


def last_message(request: Mapping[str, object]) -> str:
    """The text of the last message of a request; "" when there is none."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        return ""
    said = messages[-1].get("content")
    if isinstance(said, list):
        return "".join(str(part.get("text", "")) for part in said if isinstance(part, dict))
    return said if isinstance(said, str) else ""


def completion(options: Options, text: str) -> JsonObject:
    """A whole `chat.completion`."""
    choices = [_choice(options, text, index) for index in range(options.choices)]
    body = _envelope("chat.completion", choices)
    body["service_tier"] = "default"
    if "nousage" not in options.flags:
        body["usage"] = _usage(options, completion_tokens=64)
    return body


def _choice(options: Options, text: str, index: int) -> JsonObject:
    """One choice of a whole answer."""
    message: JsonObject = {"role": "assistant", "content": text, "refusal": None}
    message["annotations"] = []
    calls = tool_calls(options)
    if calls:
        message["content"] = None
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in calls
        ]
    if "reason" in options.flags:
        message["reasoning_content"] = REASONING
    if "refusal" in options.flags:
        message.update(content=None, refusal=REFUSAL)
    logprobs = _logprobs(text.split(" ")) if "logprobs" in options.flags else None
    finish = "tool_calls" if calls else "stop"
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}


def tool_calls(options: Options) -> Sequence[tuple[str, str, str]]:
    """Id, name and arguments of the tool calls that these options ask for."""
    if "tools2" in options.flags:
        return TOOL_CALLS
    return TOOL_CALLS[:1] if "tool" in options.flags else ()


def chunks(options: Options, text: str | None) -> list[JsonObject]:
    """The `chat.completion.chunk`s of a streamed answer, without `[DONE]`.

    Args:
        options: what the URL asks for.
        text: the text, cut into at most `options.chunks` pieces; `None` is that many words.
    """
    finish = "tool_calls" if tool_calls(options) else "stop"
    streams = [list(_deltas(options, text)) for _ in range(options.choices)]
    rows: list[JsonObject] = []
    for step in range(max(len(stream) for stream in streams)):
        rows += [chunk(stream[step], index, options) for index, stream in enumerate(streams)]
    rows += [chunk({}, index, options, finish) for index in range(options.choices)]
    if "nousage" not in options.flags:
        last = _envelope("chat.completion.chunk", [])
        last["usage"] = _usage(options, completion_tokens=options.chunks)
        rows.append(last)
    return rows


def chunk(delta: JsonObject, index: int, options: Options, finish: str | None = None) -> JsonObject:
    """One chunk with one choice."""
    said = delta.get("content")
    logprobs = None
    if "logprobs" in options.flags and isinstance(said, str) and said:
        logprobs = _logprobs([said])
    choice: JsonObject = {"index": index, "delta": delta, "logprobs": logprobs}
    choice["finish_reason"] = finish
    return _envelope("chat.completion.chunk", [choice])


def _deltas(options: Options, text: str | None) -> Iterator[JsonObject]:
    """The deltas of one choice, the role first."""
    calls = tool_calls(options)
    yield {"role": "assistant", "content": None if calls else ""}
    if "reason" in options.flags:
        yield from _said("reasoning_content", pieces(REASONING, 4))
    if calls:
        yield from _tool_deltas(calls)
    elif "refusal" in options.flags:
        yield from _said("refusal", pieces(REFUSAL, 4))
    elif text is None:
        words = SENTENCE.split()
        yield from _said("content", [f"{words[i % len(words)]} " for i in range(options.chunks)])
    else:
        yield from _said("content", pieces(text, options.chunks))


def _tool_deltas(calls: Sequence[tuple[str, str, str]]) -> Iterator[JsonObject]:
    """The fragments of tool calls, those of several calls in turn."""
    for index, (call_id, name, _) in enumerate(calls):
        yield {
            "tool_calls": [
                {
                    "index": index,
                    "id": call_id,
                    "type": "function",
                    "function": {"name": name, "arguments": ""},
                }
            ]
        }
    fragments = [pieces(arguments, 4) for _, _, arguments in calls]
    for step in range(4):
        for index, parts in enumerate(fragments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": parts[step]}}]}


def _said(field: str, texts: Sequence[str]) -> Iterator[JsonObject]:
    """One delta per text, under this field."""
    for text in texts:
        yield {field: text}


def pieces(text: str, count: int) -> list[str]:
    """The text cut into at most this many pieces of one length, the last one shorter."""
    size = max(1, -(-len(text) // max(1, count)))
    return [text[start : start + size] for start in range(0, len(text), size)]


def _envelope(kind: str, choices: Sequence[Json]) -> JsonObject:
    """What whole answers and chunks have in common."""
    return {
        "id": _ID,
        "object": kind,
        "created": _CREATED_S,
        "model": MODELS[0],
        "system_fingerprint": "fp_mock",
        "choices": choices,
    }


def _usage(options: Options, completion_tokens: int) -> JsonObject:
    """Tokens, with the details that OpenAI gives."""
    reasoning = 14 if "reason" in options.flags else 0
    return {
        "prompt_tokens": 19,
        "completion_tokens": completion_tokens,
        "total_tokens": 19 + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _logprobs(tokens: Sequence[str]) -> JsonObject:
    """Log probabilities of these tokens, each with one alternative."""
    rows: list[Json] = []
    for token in tokens:
        row: JsonObject = {"token": token, "logprob": -0.25, "bytes": list(token.encode())}
        rows.append({**row, "top_logprobs": [row]})
    return {"content": rows, "refusal": None}


def model_list() -> JsonObject:
    """The answer of `GET /models`."""
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": 1686935002, "owned_by": "mock"}
            for name in MODELS
        ],
    }


def encode(value: Json) -> bytes:
    """A JSON value as UTF-8, not escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def event(value: Json) -> bytes:
    """A JSON value as one server-sent event."""
    return b"data: " + encode(value) + b"\n\n"


DONE = b"data: [DONE]\n\n"
