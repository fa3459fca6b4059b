"""OpenAI's chat completions from the server's side: bodies to calls, answers to bytes. Pure.

Source: https://platform.openai.com/docs/api-reference/chat, November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import frozen

from scillm import APIError, BadRequestError, Call, Chunk, Response
from scillm.doors import OPENAI_PARAMS

if TYPE_CHECKING:
    from cattrs import Converter

DONE = b"data: [DONE]\n\n"


@frozen
class _Body:
    """What every chat completion request has; the rest is parameters."""

    messages: list[dict[str, Any]]
    model: str = ""
    stream: bool | None = None


def call_of(body: bytes) -> Call:
    """Read the body of a chat completion request.

    A field that is none of OpenAI's is kept in ``extra_body``, as a client sent it.

    Raises:
        BadRequestError: It is not JSON, or not of the documented shape; says where.
    """
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequestError(f"the request's body is not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise BadRequestError("the request's body is not a JSON object")
    known = {name: raw.pop(name) for name in ("messages", "model", "stream") if name in raw}
    asked = _structured(known)
    return Call(
        model=asked.model,
        messages=tuple(asked.messages),
        stream=bool(asked.stream),
        params={name: raw[name] for name in raw if name in OPENAI_PARAMS and raw[name] is not None},
        extra_body={name: raw[name] for name in raw if name not in OPENAI_PARAMS},
    )


def _structured(known: dict[str, Any]) -> _Body:
    from cattrs import BaseValidationError, transform_error

    try:
        return _converter().structure(known, _Body)
    except BaseValidationError as error:
        said = "; ".join(transform_error(error, path="the request's body"))
        raise BadRequestError(said) from None


@cache
def _converter() -> Converter:
    """Return a converter that takes values as they are: out of the box "yes" would be true."""
    from cattrs import Converter  # 0.1 s of CPU: only a server pays for it

    converter = Converter(forbid_extra_keys=True)
    for kind in (str, bool):
        converter.register_structure_hook(kind, _exactly)
    return converter


def _exactly(value: object, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, got {value!r:.80}")
    return value


def body_of(response: Response) -> bytes:
    """Return a whole answer as the body of a reply."""
    return msgspec.json.encode(response.to_dict())


def frame_of(chunk: Chunk) -> bytes:
    """Return a piece of an answer as one server-sent event; send ``DONE`` after the last."""
    return b"data: " + msgspec.json.encode(chunk.to_dict()) + b"\n\n"


def error_body(error: APIError) -> Mapping[str, Any]:
    """Return an error in OpenAI's shape, to be sent with ``error.status_code``."""
    failure = error.failure
    return {
        "error": {
            "message": error.message,
            "type": str(failure.kind),
            "param": None,
            "code": failure.code,
        }
    }
