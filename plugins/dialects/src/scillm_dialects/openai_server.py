"""OpenAI's chat completions from the server's side: bodies to calls, answers to bytes. Pure.

Source: https://platform.openai.com/docs/api-reference/chat, November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from scillm import APIError, BadRequestError, Call, Chunk, Response
from scillm.doors import OPENAI_PARAMS

DONE = b"data: [DONE]\n\n"


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
    model, messages = raw.pop("model", ""), raw.pop("messages", None)
    if not isinstance(model, str):
        raise BadRequestError(f"'model' is {model!r:.80}: it must be text")
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise BadRequestError("'messages' must be a list of objects with a role and a content")
    stream = raw.pop("stream", None) or False
    if not isinstance(stream, bool):
        raise BadRequestError(f"'stream' is {stream!r:.80}: it must be true or false")
    return Call(
        model=model,
        messages=tuple(messages),
        stream=stream,
        params={
            name: value
            for name, value in raw.items()
            if name in OPENAI_PARAMS and value is not None
        },
        extra_body={name: value for name, value in raw.items() if name not in OPENAI_PARAMS},
    )


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
