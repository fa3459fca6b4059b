"""What is written for each item: one line of JSON, ours or OpenAI's Batch API's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec
from attrs import field, frozen

from scillm import APIError

Format: TypeAlias = Literal["scillm", "openai"]
FORMATS: tuple[Format, ...] = ("scillm", "openai")
_OPENAI_ID = "batch_req_"
_LINE_ENDS = tuple(end.encode() for end in "\u0085\u2028\u2029")


@frozen(kw_only=True)
class Failed:
    """Why an item has no answer.

    Attributes:
        type: The class of the error, such as ``"RateLimitError"``.
        message: What happened, why, what to do.
        status: HTTP status, or None where there was none.
        is_retryable: Whether the same item may succeed later.
        raw: The text that came and could not be used, if one did.
    """

    type: str
    message: str
    status: int | None = None
    is_retryable: bool = False
    raw: str | None = None

    @classmethod
    def of(cls, error: Exception) -> Failed:
        """Describe an error."""
        raw = getattr(error, "raw", None)
        api = error if isinstance(error, APIError) else None
        return cls(
            type=type(error).__name__,
            message=str(error),
            status=None if api is None else api.status_code,
            is_retryable=api is not None and api.failure.is_transient,
            raw=raw if isinstance(raw, str) and raw else None,
        )


@frozen(kw_only=True)
class Row:
    """The outcome of one item.

    Attributes:
        item_id: The item's name.
        index: Its place in the input.
        request_hash: Digest of what was asked.
        response: The answer in OpenAI's shape, or None; not to be changed.
        content: Its text, or None.
        parsed: The JSON that the text is, where JSON was asked for.
        error: Why there is no answer, or None.
        attempts: How many requests it took.
        served_by: ``{"provider", "model", "base_url"}`` of who answered, and ``"deployment"``.
        usage: Tokens of all requests that were answered, or None if nobody told.
        cost: What they cost in USD, or None if that is not known.
        timings: ``{"started_at"}``, in Unix seconds, and ``{"duration_ms"}``.
    """

    item_id: str
    index: int
    request_hash: str
    response: Mapping[str, Any] | None = field(default=None, repr=False)
    content: str | None = None
    parsed: Any = None
    error: Failed | None = None
    attempts: int = 0
    served_by: Mapping[str, Any] | None = None
    usage: Mapping[str, Any] | None = None
    cost: float | None = None
    timings: Mapping[str, Any] = field(factory=dict)

    @property
    def is_ok(self) -> bool:
        """Whether there is an answer."""
        return self.error is None

    def record(self) -> dict[str, Any]:
        """Return the row as it is written."""
        error = self.error
        return {
            "item_id": self.item_id,
            "index": self.index,
            "request_hash": self.request_hash,
            "response": self.response,
            "content": self.content,
            "parsed": self.parsed,
            "error": None if error is None else _told(error),
            "attempts": self.attempts,
            "served_by": self.served_by,
            "usage": self.usage,
            "cost": self.cost,
            "timings": self.timings,
        }

    def openai_record(self) -> dict[str, Any]:
        """Return the row in the shape of OpenAI's Batch API output.

        Source: https://platform.openai.com/docs/api-reference/batch/request-output
        """
        error, body = self.error, self.response
        response = None
        if body is not None:
            request_id = str(body.get("id") or "")
            response = {"status_code": 200, "request_id": request_id, "body": body}
        elif error is not None and error.status is not None:
            told = {"message": error.message, "type": error.type, "param": None, "code": None}
            response = {"status_code": error.status, "request_id": "", "body": {"error": told}}
        lost = None
        if response is None and error is not None:
            lost = {"code": error.type, "message": error.message}
        return {
            "id": _OPENAI_ID + self.request_hash,
            "custom_id": self.item_id,
            "response": response,
            "error": lost,
        }

    def encode(self, form: Format) -> bytes:
        """Return the row as one line of JSON, its line break included."""
        record = self.record() if form == "scillm" else self.openai_record()
        try:
            return _in_one_line(_ENCODE(record))
        except (UnicodeEncodeError, TypeError):  # half of a character, which JSON can escape
            return json.dumps(record, default=_plain).encode() + b"\n"


def _in_one_line(text: bytes) -> bytes:
    """End a line, and escape what ``str.splitlines`` takes for the end of one."""
    for end in _LINE_ENDS:
        if end in text:
            text = text.replace(end, b"\\u%04x" % ord(end.decode()))
    return text + b"\n"


@frozen(kw_only=True)
class Known:
    """What a written line says, as far as a run needs it.

    Attributes:
        item_id: The item's name.
        index: Its place in the input, or None where the line does not tell.
        request_hash: Digest of what was asked, or ``""``.
        is_ok: Whether it is an answer.
        error_type: The class of the error, or ``""``.
        is_retryable: Whether the item may succeed later.
        tokens: Tokens that it took.
        cost: USD that it took, or None.
        served_by: Who answered, in a word.
    """

    item_id: str
    index: int | None = None
    request_hash: str = ""
    is_ok: bool = True
    error_type: str = ""
    is_retryable: bool = False
    tokens: int = 0
    cost: float | None = None
    served_by: str = ""

    @classmethod
    def of_line(cls, line: bytes) -> Known | None:
        """Read a line; None if it is no row of a run."""
        try:
            record = json.loads(line)
            return _of_openai(record) if "custom_id" in record else _of_ours(record)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    @classmethod
    def of_row(cls, row: Row) -> Known:
        """Say the same of a row that is about to be written."""
        return cls(
            item_id=row.item_id,
            index=row.index,
            request_hash=row.request_hash,
            is_ok=row.is_ok,
            error_type="" if row.error is None else row.error.type,
            is_retryable=row.error is not None and row.error.is_retryable,
            tokens=int((row.usage or {}).get("total_tokens") or 0),
            cost=row.cost,
            served_by=who(row.served_by),
        )


@frozen
class Line:
    """A row as it is written, of which nothing else is kept.

    Attributes:
        text: The line.
        known: What it says, as far as a run needs it.
    """

    text: bytes
    known: Known

    @classmethod
    def of_row(cls, row: Row, form: Format) -> Line:
        """Encode a row."""
        return cls(row.encode(form), Known.of_row(row))


def _plain(value: object) -> Any:
    """Take a view or another mapping for what is in it."""
    return dict(value) if isinstance(value, Mapping) else str(value)


_ENCODE = msgspec.json.Encoder(enc_hook=_plain).encode


def who(served_by: Mapping[str, Any] | None) -> str:
    """Return who answered, in a word: ``provider/model``, and where if that is told."""
    if not served_by:
        return ""
    name = f"{served_by.get('provider', '')}/{served_by.get('model', '')}"
    base = served_by.get("base_url")
    return f"{name} at {base}" if base else name


def _of_ours(record: Mapping[str, Any]) -> Known:
    error = record["error"] or {}
    return Known(
        item_id=str(record["item_id"]),
        index=int(record["index"]),
        request_hash=str(record["request_hash"]),
        is_ok=not error,
        error_type=str(error.get("type", "")),
        is_retryable=bool(error.get("retryable")),
        tokens=int((record.get("usage") or {}).get("total_tokens") or 0),
        cost=record.get("cost"),
        served_by=who(record.get("served_by")),
    )


def _of_openai(record: Mapping[str, Any]) -> Known:
    response = record["response"] or {}
    body = response.get("body") or {}
    error = record["error"] or body.get("error") or {}
    return Known(
        item_id=str(record["custom_id"]),
        request_hash=str(record["id"]).removeprefix(_OPENAI_ID),
        is_ok=not error,
        error_type=str(error.get("code") or error.get("type") or ""),
        is_retryable=response.get("status_code") in (408, 429, 500, 502, 503, 504),
        tokens=int((body.get("usage") or {}).get("total_tokens") or 0),
    )


def _told(error: Failed) -> dict[str, Any]:
    told = {
        "type": error.type,
        "message": error.message,
        "status": error.status,
        "retryable": error.is_retryable,
    }
    return told if error.raw is None else {**told, "raw": error.raw}
