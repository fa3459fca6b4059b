"""From one record of the input to an item: the shapes that are understood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from attrs import frozen

from scillm_batch.items import BadLine, Entry, Item, Operation
from scillm_batch.templates import Template

_URLS: Mapping[str, Operation] = {
    "/v1/chat/completions": "chat",
    "/v1/embeddings": "embedding",
}
_IDS = ("item_id", "custom_id", "id")
_DECODE = msgspec.json.Decoder().decode


@frozen(kw_only=True)
class Reading:
    """How records become items.

    Attributes:
        prompt: What the user says, for records that have no messages.
        system: What is said before.
        id_column: The column that names an item; None takes ``item_id``, ``custom_id``, ``id``.
    """

    prompt: Template | None = None
    system: Template | None = None
    id_column: str | None = None

    def line(self, text: bytes, *, index: int, line: int) -> Entry:
        """Read one line of JSONL."""
        try:
            record = _DECODE(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return BadLine(index=index, line=line, why=f"it is not JSON: {error}")
        if not isinstance(record, dict):
            return BadLine(index=index, line=line, why="it is not a JSON object")
        return self.record(record, index=index, line=line, size_bytes=len(text))

    def given(self, record: object, *, index: int) -> Entry:
        """Read what an iterator gave."""
        if isinstance(record, Mapping):
            return self.record(record, index=index, line=0)
        return BadLine(index=index, line=0, why=f"it is {record!r:.80}, not a mapping")

    def record(
        self, record: Mapping[str, Any], *, index: int, line: int, size_bytes: int = 0
    ) -> Entry:
        """Read one record: ours, OpenAI's Batch API's, or a row of a table."""
        try:
            if "body" in record and ("custom_id" in record or "url" in record):
                name, arguments, operation = _of_openai(record)
            elif "messages" in record or "input" in record:
                name, arguments, operation = _of_ours(record)
            else:
                name, arguments, operation = None, self._of_row(record), "chat"
        except ValueError as error:
            return BadLine(index=index, line=line, why=str(error))
        if self.id_column is not None or name is None:
            name = self._name(record)
        return Item(
            id=str(index) if name is None else name,
            index=index,
            line=line,
            arguments=arguments,
            operation=operation,
            size_bytes=size_bytes,
        )

    def _of_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if self.prompt is None:
            raise ValueError(
                "it has no messages; for a row of a table, give a prompt template "
                f"(its columns: {', '.join(map(str, row))[:200]})"
            )
        try:
            said = [("system", self.system)] if self.system is not None else []
            texts = [(role, each.fill(row)) for role, each in [*said, ("user", self.prompt)]]
        except KeyError as error:
            known = ", ".join(map(str, row))[:200]
            raise ValueError(f"it has no column {error.args[0]!r}; it has {known}") from None
        return {"messages": [{"role": role, "content": text} for role, text in texts]}

    def _name(self, record: Mapping[str, Any]) -> str | None:
        names = _IDS if self.id_column is None else (self.id_column,)
        value = next((record[n] for n in names if record.get(n) not in (None, "")), None)
        return None if value is None else str(value)


def _of_ours(record: Mapping[str, Any]) -> tuple[str | None, dict[str, Any], Operation]:
    name = next((record[n] for n in _IDS if record.get(n) not in (None, "")), None)
    arguments = {n: v for n, v in record.items() if n not in _IDS}
    operation: Operation = "embedding" if "messages" not in record else "chat"
    if operation == "chat":
        _check_messages(arguments["messages"])
    return (None if name is None else str(name)), arguments, operation


def _of_openai(record: Mapping[str, Any]) -> tuple[str | None, dict[str, Any], Operation]:
    name, body = record.get("custom_id"), record["body"]
    if not isinstance(name, str) or not name:
        raise ValueError("its custom_id is missing or is no text")
    if record.get("method", "POST") != "POST":
        raise ValueError(f"its method is {record['method']!r}; a batch takes POST alone")
    url = record.get("url", "/v1/chat/completions")
    if url not in _URLS:
        raise ValueError(f"its url is {url!r}; there are {' and '.join(_URLS)}")
    if not isinstance(body, dict):
        raise ValueError("its body is no JSON object")  # noqa: TRY004  # of data, not of a program
    operation = _URLS[url]
    if operation == "chat":
        _check_messages(body.get("messages"))
    elif "input" not in body:
        raise ValueError("its body has no input")
    return name, {n: v for n, v in body.items() if n != "stream"}, operation


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise ValueError("its messages are missing, empty, or no list")
    for place, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ValueError(f"messages[{place}] is no mapping with a role")  # noqa: TRY004  # the same
