"""What is kept of an answer, as JSON text, and the key that it is found by."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from scillm import EmbeddingResponse, ModelList, Request, Response, Route
from scillm.answers import Answer, plain

VERSION = 1
KINDS: Mapping[str, type[Answer]] = {
    kind.__name__: kind for kind in (Response, EmbeddingResponse, ModelList)
}
_NO_END = (None, "", "error")
_OF_THE_WAY = ("stream", "stream_options")  # how an answer comes, not what it is
# Where the order of names is told to the model, and may change what it says.
_ORDERED = frozenset({"tools", "functions", "response_format"})
# Headers that say who asks, or tell one request from another, and nothing of the answer.
_NO_MATTER = frozenset(
    {
        *("accept", "accept-encoding", "connection", "content-length", "content-type", "host"),
        *("user-agent", "date", "traceparent", "tracestate", "baggage", "idempotency-key"),
    }
)
_NO_MATTER_WORDS = re.compile(
    r"auth|key|token|secret|cookie|session|password|credential|signature|trace|request-?id"
    r"|correlation|stainless|span"
)
_IN_ADDRESS = re.compile(
    r"([?&][^=&\s]*(?:key|token|secret|sig|auth|password)[^=&\s]*=)[^&#\s]*", re.IGNORECASE
)


def shape_of(request: Request, *, is_whole: bool = True) -> dict[str, Any]:
    """Return everything about a request that changes its answer, and no secret."""
    body = plain(request.body) if request.body is not None else None
    if body is not None and is_whole:
        body = {name: value for name, value in body.items() if name not in _OF_THE_WAY}
    return {
        "provider": request.route.provider,
        "base_url": without_keys(request.route.base_url),
        "model": request.route.model,
        "method": request.method,
        "url": without_keys(request.url),
        "body": body,
    }


def without_keys(text: str) -> str:
    """Return a text without the keys that addresses in it hold in their query."""
    return _IN_ADDRESS.sub(r"\1***", text)


def key_of(request: Request) -> str:
    """Return the key of an answer: the digest of its request, and of headers that matter."""
    shape = shape_of(request)
    if headers := headers_of(request):
        shape["headers"] = headers
    return digest(shape)


def headers_of(request: Request) -> dict[str, str]:
    """Return the headers that may change the answer; none that holds a secret."""
    return {
        name: value
        for name, value in sorted(request.headers.items())
        if isinstance(value, str) and name not in _NO_MATTER and not _NO_MATTER_WORDS.search(name)
    }


def digest(shape: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a shape, in hexadecimal."""
    body = shape["body"]
    if isinstance(body, Mapping):
        parts = {str(n): _text(v, is_sorted=n not in _ORDERED) for n, v in body.items()}
        shape = {**shape, "body": parts}
    text = _text(shape, is_sorted=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _text(value: Any, *, is_sorted: bool) -> str:
    """Return JSON in which equal numbers are equal texts."""
    return json.dumps(_even(value, is_sorted=is_sorted), ensure_ascii=False, default=repr)


def _even(value: Any, *, is_sorted: bool) -> Any:
    if isinstance(value, Mapping):
        items = ((str(name), _even(each, is_sorted=is_sorted)) for name, each in value.items())
        return dict(sorted(items, key=lambda item: item[0]) if is_sorted else items)
    if isinstance(value, (list, tuple)):
        return [_even(each, is_sorted=is_sorted) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@frozen
class Entry:
    """A kept answer.

    Attributes:
        answer: It, without the notes of the call that it came from.
        at_s: When it came, in seconds since 1970.
    """

    answer: Answer
    at_s: float

    @property
    def age_s(self) -> float:
        """How long ago it came, in seconds."""
        return max(0.0, time.time() - self.at_s)


def is_complete(answer: Answer) -> bool:
    """Tell whether an answer came to its end; one that did not is not worth keeping."""
    if not isinstance(answer, Response):
        return type(answer).__name__ in KINDS
    choices = answer.choices or ()
    return bool(choices) and all(choice.finish_reason not in _NO_END for choice in choices)


def written(answer: Answer) -> str:
    """Return an answer as text to keep."""
    raw = {name: value for name, value in answer.to_dict().items() if name != "additional_kwargs"}
    route = answer.served_by
    where = [route.provider, route.model, route.base_url] if route else None
    kept = {"v": VERSION, "kind": type(answer).__name__, "at": time.time(), "route": where}
    return encodable({**kept, "raw": raw}, separators=(",", ":"))


def encodable(value: Any, **options: Any) -> str:
    """Return JSON text that can be encoded, whatever its strings hold."""
    text = json.dumps(value, ensure_ascii=False, **options)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates
        return json.dumps(value, **options)
    return text


def read(text: str) -> Entry | None:
    """Return what was kept; None if it is somebody else's, of another version, or damaged."""
    try:
        kept = json.loads(text)
        kind, at_s, raw = KINDS[kept["kind"]], float(kept["at"]), kept["raw"]
        if kept["v"] != VERSION or not isinstance(raw, dict):
            return None
        where = kept["route"]
        route = Route(provider=where[0], model=where[1], base_url=where[2]) if where else None
        answer = kind(raw, route)
        return Entry(answer, at_s) if is_complete(answer) else None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None
