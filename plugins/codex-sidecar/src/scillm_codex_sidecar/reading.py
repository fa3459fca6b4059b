"""From the lines that the command prints to pieces of an answer. Pure.

Source: the events of ``codex exec --json``, and the older ones with their ``msg``; November 2026.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

_TEXTS = {"agent_message": "content", "assistant_message": "content", "reasoning": "reasoning"}
_OLD_DELTAS = {"agent_message_delta": "content", "agent_reasoning_delta": "reasoning"}
_OLD_TEXTS = {"agent_message": "content", "agent_reasoning": "reasoning"}


@frozen
class Piece:
    """What one line adds.

    Attributes:
        content: Text of the answer.
        reasoning: Text of the reasoning.
        usage: Tokens, if the line tells them.
        error: Why the command gives up, ``""`` if it does not.
    """

    content: str = ""
    reasoning: str = ""
    usage: Mapping[str, int] | None = None
    error: str = ""


@define
class Lines:
    """Reads line after line; of a text that is told again, longer, only the rest is new."""

    _seen: dict[str, str] = field(factory=dict)
    _has_content: bool = False

    def read(self, line: bytes) -> Piece:
        """Return what a line adds; a line that is no event is text of the answer."""
        text = line.decode("utf-8", "replace")
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            return self._plain(text)
        message = event.get("msg")
        return self._old(message) if isinstance(message, dict) else self._new(event)

    def _plain(self, text: str) -> Piece:
        return Piece(content=text) if text.strip() else Piece()

    def _new(self, event: Mapping[str, Any]) -> Piece:
        kind = event.get("type")
        item = event.get("item")
        if isinstance(item, dict) and str(kind).startswith("item."):
            name = str(item.get("type") or item.get("item_type"))
            return self._whole(_TEXTS.get(name), str(item.get("id")), item.get("text"))
        if kind == "turn.completed":
            return Piece(usage=_usage(event.get("usage")))
        if kind in ("turn.failed", "error"):
            error = event.get("error")
            said = error.get("message") if isinstance(error, dict) else event.get("message")
            # An "error" is told of a connection that is tried again; the turn says if it failed.
            return Piece(error=str(said or "it says no more")) if kind == "turn.failed" else Piece()
        return Piece()

    def _old(self, message: Mapping[str, Any]) -> Piece:
        kind = str(message.get("type"))
        if kind in _OLD_DELTAS:
            text = str(message.get("delta") or "")
            self._seen[kind] = self._seen.get(kind, "") + text
            return _piece(_OLD_DELTAS[kind], text)
        if kind in _OLD_TEXTS:
            key = f"{kind}_delta"
            text = message.get("message", message.get("text"))
            return self._whole(_OLD_TEXTS[kind], key, text, ends=True)
        if kind == "token_count":
            info = message.get("info")
            totals = info.get("total_token_usage") if isinstance(info, dict) else message
            return Piece(usage=_usage(totals))
        if kind == "error":
            return Piece(error=str(message.get("message") or "it says no more"))
        return Piece()

    def _whole(self, name: str | None, key: str, text: Any, *, ends: bool = False) -> Piece:
        if name is None or not isinstance(text, str):
            return Piece()
        before = self._seen.get(key, "")
        is_longer = text.startswith(before)
        self._seen[key] = "" if ends else text if is_longer else before
        new = text[len(before) :] if is_longer else ""
        if name == "content" and new:
            new = new if before or not self._has_content else f"\n\n{new}"  # another message
            self._has_content = True
        return _piece(name, new)


def _piece(name: str, text: str) -> Piece:
    return Piece(content=text) if name == "content" else Piece(reasoning=text)


def _usage(told: Any) -> dict[str, int] | None:
    if not isinstance(told, dict) or not isinstance(told.get("input_tokens"), int):
        return None
    asked, said = told["input_tokens"], int(told.get("output_tokens") or 0)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
