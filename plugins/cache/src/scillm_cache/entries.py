"""What is kept of an answer, as JSON text, and the key that it is found by."""

from __future__ import annotations

import hashlib
import json
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
_OF_THE_WAY = ("stream", "stream_options")  # how an answer comes, not what it is


def shape_of(request: Request, *, is_whole: bool = True) -> dict[str, Any]:
    """Return everything about a request that changes its answer, and no secret."""
    body = plain(request.body) if request.body is not None else None
    if body is not None and is_whole:
        body = {name: value for name, value in body.items() if name not in _OF_THE_WAY}
    return {
        "provider": request.route.provider,
        "base_url": request.route.base_url,
        "model": request.route.model,
        "method": request.method,
        "url": request.url,
        "body": body,
    }


def digest(shape: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a shape, in hexadecimal."""
    text = json.dumps(shape, sort_keys=True, ensure_ascii=False, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


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
    return bool(choices) and all(choice.finish_reason for choice in choices)


def written(answer: Answer) -> str:
    """Return an answer as text to keep."""
    raw = {name: value for name, value in answer.to_dict().items() if name != "additional_kwargs"}
    route = answer.served_by
    where = [route.provider, route.model, route.base_url] if route else None
    kept = {"v": VERSION, "kind": type(answer).__name__, "at": time.time(), "route": where}
    return json.dumps({**kept, "raw": raw}, ensure_ascii=False, separators=(",", ":"))


def read(text: str) -> Entry | None:
    """Return what was kept; None if it is somebody else's, of another version, or damaged."""
    try:
        kept = json.loads(text)
        kind, at_s, raw = KINDS[kept["kind"]], float(kept["at"]), kept["raw"]
        if kept["v"] != VERSION or not isinstance(raw, dict):
            return None
        where = kept["route"]
        route = Route(provider=where[0], model=where[1], base_url=where[2]) if where else None
        return Entry(kind(raw, route), at_s)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
