"""OpenAI's chat completions, embeddings and model lists, from the caller's side. Pure.

Source: https://platform.openai.com/docs/api-reference, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from scillm import (
    BadRequestError,
    Chunk,
    EmbeddingResponse,
    InvalidResponse,
    ModelList,
    Request,
    Response,
    Secret,
)
from scillm.errors import StatusError

if TYPE_CHECKING:
    from scillm import Call, Event, Route

_VERSION = re.compile(r"v\d+\w*")
_PATHS = {"chat": "/chat/completions", "embedding": "/embeddings", "models": "/models"}
_AUTH_HEADERS = ("authorization", "x-api-key", "api-key")


@lru_cache(maxsize=256)
def base_url(base: str) -> str:
    """Return an address that paths such as ``/chat/completions`` can be put behind.

    ``/v1`` is added unless a version stands in the path already; a slash or a whole
    ``/chat/completions`` at the end is dropped.

    >>> base_url("http://localhost:8788"), base_url("https://api.example.com/v1/")
    ('http://localhost:8788/v1', 'https://api.example.com/v1')
    """
    parts = urlsplit(base)
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    if not any(_VERSION.fullmatch(segment) for segment in path.split("/")):
        path += "/v1"
    return urlunsplit(parts._replace(path=path, fragment=""))


def request(
    call: Call, route: Route, *, key: Secret | None = None, has_stream_usage: bool = False
) -> Request:
    """Build the request for any operation of OpenAI's dialect.

    Args:
        call: What was asked.
        route: Who answers; ``route.base_url`` ends where ``/chat/completions`` begins.
        key: Sent as a Bearer token, unless the caller's own headers already authorize.
        has_stream_usage: Whether the provider takes ``stream_options`` and may be asked to
            tell the usage at the end of a stream.

    Raises:
        BadRequestError: There is no message to send.
    """
    is_stream = call.stream and call.operation == "chat"
    return Request(
        route=route,
        url=_below(route.base_url, _PATHS[call.operation]),
        method="GET" if call.operation == "models" else "POST",
        body=body(call, route, has_stream_usage=has_stream_usage),
        headers=headers(call, key, is_stream=is_stream),
        frames="sse" if is_stream else "json",
        read=read_chunk if is_stream else _READERS[call.operation],
        timeouts=call.timeouts,
    )


def _below(base: str, path: str) -> str:
    """Put *path* behind *base*, before its query if it has one."""
    address, mark, query = base.partition("?")
    return address + path + mark + query


def headers(call: Call, key: Secret | None, *, is_stream: bool) -> dict[str, str | Secret]:
    """Return the headers: what the caller gave wins, a Bearer key only if nothing authorizes."""
    made: dict[str, str | Secret] = {
        "accept": "text/event-stream" if is_stream else "application/json"
    }
    if call.operation != "models":
        made["content-type"] = "application/json"
    if key is not None and not any(name in call.headers for name in _AUTH_HEADERS):
        made["authorization"] = Secret(f"Bearer {key.reveal()}")
    return {**made, **call.headers}


def body(call: Call, route: Route, *, has_stream_usage: bool = False) -> dict[str, Any] | None:
    """Return the body of any operation, None for one that sends none.

    Raises:
        BadRequestError: A chat without a message.
    """
    if call.operation == "models":
        return None
    made: dict[str, Any] = {"model": route.model, **call.params}
    if call.operation == "chat":
        made["messages"] = list(call.messages)
        if not call.messages:
            raise BadRequestError(
                "messages is empty: there is nothing to ask; "
                "write messages=[{'role': 'user', 'content': '...'}]",
                llm_provider=route.provider,
                model=route.model,
            )
        if call.stream:
            made["stream"] = True
            if has_stream_usage:
                made.setdefault("stream_options", {"include_usage": True})
    return {**made, **call.extra_body}


def read_chat(frame: bytes) -> Iterable[Event]:
    """Read a whole chat completion.

    Raises:
        StatusError: The body is an error object.
        InvalidResponse: It holds no choice, or one without a message.
    """
    raw = _object(frame)
    choices = raw.get("choices")
    if type(choices) is not list or not choices:
        raise InvalidResponse(f"the answer holds no choice: {_shown(frame)}")
    for choice in choices:
        _check_choice(choice, "message", frame)
    return (Response(raw),)


def read_chunk(frame: bytes) -> Iterable[Event]:
    """Read one event of a streamed chat completion, or a whole one sent in its place."""
    raw = _object(frame)
    choices = raw.get("choices") or ()
    if type(choices) not in (list, tuple):
        raise InvalidResponse(f"the choices are no list: {_shown(frame)}")
    for choice in choices:
        if type(choice) is dict and "message" in choice and "delta" not in choice:
            return read_chat(frame)  # the server did not stream, and sent the whole at once
        _check_choice(choice, "delta", frame)
    return (Chunk(raw),)


def _check_choice(choice: Any, part: str, frame: bytes) -> None:
    """Refuse what an answer's reader would stumble over later, far from its cause."""
    if type(choice) is not dict or type(choice.get("index", 0)) is not int:
        raise InvalidResponse(f"a choice is no object with an index: {_shown(frame)}")
    message = choice.get(part)
    if message is None and part == "delta":
        return
    if type(message) is not dict:
        raise InvalidResponse(f"a choice whose {part} is no object: {_shown(frame)}")
    calls = message.get("tool_calls")
    if calls and not (type(calls) is list and all(type(call) is dict for call in calls)):
        raise InvalidResponse(f"tool calls that are not a list of objects: {_shown(frame)}")


def read_embeddings(frame: bytes) -> Iterable[Event]:
    """Read a list of vectors."""
    raw = _object(frame)
    _check_data(raw, "no list of vectors", frame)
    return (EmbeddingResponse(raw),)


def read_models(frame: bytes) -> Iterable[Event]:
    """Read a list of models; a bare list, as some servers send, counts too."""
    raw = msgspec.json.decode(frame)
    if isinstance(raw, list):
        raw = {"object": "list", "data": raw}
    raw = _checked(raw, frame)
    _check_data(raw, "no list of models", frame)
    return (ModelList(raw),)


_READERS = {"chat": read_chat, "embedding": read_embeddings, "models": read_models}


def _object(frame: bytes) -> dict[str, Any]:
    return _checked(msgspec.json.decode(frame), frame)


def _checked(raw: Any, frame: bytes) -> dict[str, Any]:
    if type(raw) is not dict:
        raise InvalidResponse(f"not a JSON object: {_shown(frame)}")
    raw.pop("additional_kwargs", None)  # ours to write: a server must not forge what plugins note
    if raw.get("object") == "error" and "error" not in raw:
        raise StatusError(_status_in(raw), frame.decode("utf-8", "replace"))
    if raw.get("error"):
        raise StatusError(_status_in(raw["error"]), frame.decode("utf-8", "replace"))
    found: dict[str, Any] = raw
    return found


def _status_in(error: object) -> int:
    """Return the status told inside an error object, else 500: it came with a good status."""
    code = error.get("code", error.get("status")) if isinstance(error, Mapping) else None
    is_status = isinstance(code, (int, str)) and str(code).isdigit() and 400 <= int(code) < 600
    return int(code) if is_status else 500  # type: ignore[arg-type]  # is_status says so


def _check_data(raw: Mapping[str, Any], otherwise: str, frame: bytes) -> None:
    if type(raw.get("data")) is not list:
        raise InvalidResponse(f"{otherwise}: {_shown(frame)}")


def _shown(frame: bytes) -> str:
    return repr(frame[:200].decode("utf-8", "replace"))
