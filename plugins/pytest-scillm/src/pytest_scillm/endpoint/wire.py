"""HTTP/1.1 in bytes: requests read from a buffer, answers framed for the wire.

Pure functions and values; the socket is in `connection`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from http import HTTPStatus

import attrs

MAX_HEAD_BYTES = 1 << 16
MAX_BODY_BYTES = 1 << 26

TLS_HANDSHAKE = b"\x16"
END_OF_CHUNKS = b"0\r\n\r\n"
JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"


class BadRequest(Exception):
    """Bytes that are not a request this endpoint reads.

    Args:
        status: the HTTP status to answer with.
        reason: what is wrong, in words.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@attrs.define(slots=False, frozen=True)
class Received:
    """One request as it came in; the head is parsed when it is looked at.

    Args:
        head: request line and header lines, without the blank line.
        body: the body, with chunked framing taken off.
    """

    head: bytes
    body: bytes

    @property
    def method(self) -> str:
        """The method, as written by the client."""
        return self.head.split(b" ", 1)[0].decode("latin-1")

    @property
    def path(self) -> str:
        """The request target with its query, as written by the client."""
        return self.head.split(b" ", 2)[1].decode("latin-1")

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """Header values by lower-case name; a name sent twice has both values, joined by `, `."""
        found: dict[str, str] = {}
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @cached_property
    def json(self) -> Mapping[str, object]:
        """The body as a JSON object; an empty one when the body is anything else."""
        try:
            parsed = json.loads(self.body)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}

    @property
    def is_stream(self) -> bool:
        """Whether the client asked for server-sent events."""
        return b'"stream"' in self.body and self.json.get("stream") is True

    @property
    def declines_usage(self) -> bool:
        """Whether the client says that it wants no usage at the end of a stream."""
        options = self.json.get("stream_options") if b'"stream_options"' in self.body else None
        return isinstance(options, dict) and options.get("include_usage") is False


def read_request(buffer: bytearray) -> Received | int:
    """Take the first whole request out of the buffer.

    Args:
        buffer: what has come in so far; the bytes of the request are deleted from it.

    Returns:
        The request, or the number of bytes that the buffer needs before another try is worth it.

    Raises:
        BadRequest: the bytes are not a request, or it is larger than this endpoint takes.
    """
    if buffer[:1] == TLS_HANDSHAKE:
        raise BadRequest(400, "this is TLS, and the endpoint speaks plain http here")
    split = buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    if split < 0:
        if len(buffer) >= MAX_HEAD_BYTES:
            raise BadRequest(431, f"no end of the head within {MAX_HEAD_BYTES} bytes")
        return len(buffer) + 1
    head = bytes(buffer[:split])
    start = split + 4
    lower = head.lower()
    if head.count(b" ", 0, head.find(b"\r\n") if b"\r\n" in head else None) < 2:
        raise BadRequest(400, "the request line is not 'METHOD target HTTP/1.1'")
    if b"\r\ntransfer-encoding: chunked" in lower:
        return _read_chunked(buffer, head, start)
    end = start + _content_length(lower)
    if len(buffer) < end:
        return end
    body = bytes(buffer[start:end])
    del buffer[:end]
    return Received(head, body)


def _content_length(lower_head: bytes) -> int:
    """The declared length of the body in bytes; 0 when none is declared."""
    at = lower_head.find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    value = lower_head[at + 17 :].split(b"\r\n", 1)[0].strip()
    if not value.isdigit():
        raise BadRequest(400, f"content-length is {value!r}, not a number")
    if int(value) > MAX_BODY_BYTES:
        raise BadRequest(413, f"the body has {int(value)} bytes; at most {MAX_BODY_BYTES} are read")
    return int(value)


def _read_chunked(buffer: bytearray, head: bytes, start: int) -> Received | int:
    """Take a request with a chunked body; trailers are dropped."""
    body = bytearray()
    position = start
    while True:
        line_end = buffer.find(b"\r\n", position)
        if line_end < 0:
            return len(buffer) + 1
        size = _chunk_size(bytes(buffer[position:line_end]))
        if size == 0:
            break
        position = line_end + 2 + size + 2
        if position > start + MAX_BODY_BYTES:
            raise BadRequest(413, f"the body is over {MAX_BODY_BYTES} bytes")
        if len(buffer) < position:
            return position
        body += buffer[line_end + 2 : position - 2]
    end = buffer.find(b"\r\n\r\n", line_end)
    if end < 0:
        return len(buffer) + 1
    del buffer[: end + 4]
    return Received(head, bytes(body))


def _chunk_size(line: bytes) -> int:
    """The size in bytes that a chunk's first line declares."""
    try:
        return int(line.split(b";", 1)[0], 16)
    except ValueError:
        raise BadRequest(400, f"the chunk size is {line[:20]!r}, not hexadecimal") from None


def head(status: int, content_type: str, length: int | None, extra: Mapping[str, str]) -> bytes:
    """The head of an answer, with its blank line.

    Args:
        status: the HTTP status.
        content_type: the value of `content-type`.
        length: the length of the body in bytes; `None` sends it chunked.
        extra: further headers.
    """
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    lines = [f"HTTP/1.1 {status} {phrase}", f"content-type: {content_type}", framing]
    lines += ["x-request-id: req_mock", *(f"{name}: {value}" for name, value in extra.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(
    status: int,
    body: bytes,
    content_type: str = JSON_TYPE,
    extra: Mapping[str, str] | None = None,
) -> bytes:
    """A whole answer: head with `content-length`, and body."""
    return head(status, content_type, len(body), extra or {}) + body


def chunk(payload: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(payload), payload)
