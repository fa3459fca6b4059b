"""Messages in a file: one JSON object a line, only ever appended to, for its owner alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

_FORGET = {"forget": True}
_KEPT = ("role", "content", "tool_calls")


@define
class History:
    """What was said so far.

    Attributes:
        path: Where it is kept, or None to keep it in memory only.
        messages: Oldest first.
    """

    path: Path | None = None
    messages: list[dict[str, Any]] = field(factory=list)

    @classmethod
    def begun(cls, path: Path) -> History:
        """Begin a conversation in a file; one that stands there already stays, forgotten."""
        self = cls(path)
        if path.exists() and path.stat().st_size:
            self.forget()
        return self

    @classmethod
    def continued(cls, path: Path) -> History:
        """Take up the last conversation of a file.

        Raises:
            ValueError: A line is not a message.
            OSError: The file cannot be read.
        """
        messages: list[dict[str, Any]] = []
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                said = _read(line, f"line {number} of {str(path)!r}")
                if said == _FORGET:
                    messages.clear()
                elif said:
                    messages.append(said)
        return cls(path, messages)

    def add(self, *messages: Mapping[str, Any]) -> None:
        """Keep messages, those of one turn in one write."""
        kept = [{k: v for k, v in m.items() if k in _KEPT and v is not None} for m in messages]
        self.messages += kept
        if self.path is not None:
            _append(self.path, kept)

    def forget(self) -> None:
        """Begin anew; a file keeps what it has, with a mark below it."""
        self.messages.clear()
        if self.path is not None:
            _append(self.path, [_FORGET])

    def save(self, path: Path) -> None:
        """Write all messages to a new file.

        Raises:
            FileExistsError: There is a file already.
        """
        _append(path, self.messages, os.O_EXCL)


def _read(line: str, where: str) -> dict[str, Any]:
    """Read one line; an empty one is an empty message."""
    if not line.strip():
        return {}
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict) and (said == _FORGET or isinstance(said.get("role"), str)):
        return said
    raise ValueError(
        f'{where} is not a message: {line[:60]!r}; a message is {{"role": ..., "content": ...}}'
    )


def _append(path: Path, lines: Iterable[Mapping[str, Any]], more: int = 0) -> None:
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | more, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        is_cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        file.write((b"\n" if is_cut else b"") + text.encode())
