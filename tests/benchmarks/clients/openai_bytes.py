"""What a raw HTTP client has to do by hand: payload, JSON, server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator

KEY = "sk-mock"
HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
SAMPLING = {"temperature": 0.2, "max_tokens": 64}


def payload(prompt: str, *, is_stream: bool = False) -> dict[str, object]:
    """The body of a request."""
    body = {"model": "mock-model", "messages": [{"role": "user", "content": prompt}], **SAMPLING}
    return {**body, "stream": True} if is_stream else body


def content(answer: dict[str, list[dict[str, dict[str, str]]]]) -> str:
    """The text of a parsed answer."""
    return answer["choices"][0]["message"]["content"]


def pieces(line: bytes | str) -> Iterator[str]:
    """The text, if there is any, of one line of a stream."""
    text = line if isinstance(line, str) else line.decode()
    if not text.startswith("data: ") or text[6:].strip() == "[DONE]":
        return
    choices = json.loads(text[6:])["choices"]
    piece = choices[0]["delta"].get("content") if choices else None
    if piece:
        yield piece
