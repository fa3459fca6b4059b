"""One recorded exchange, as a file: what was asked, without headers, and all that came."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from scillm import (
    APIError,
    Chunk,
    EmbeddingResponse,
    Failure,
    FailureKind,
    ModelList,
    Response,
    Route,
    errors,
)
from scillm_cache.entries import VERSION, encodable, without_keys

if TYPE_CHECKING:
    from scillm import Event

LOG = logging.getLogger("scillm.cache")
_KINDS = {kind.__name__: kind for kind in (Chunk, Response, EmbeddingResponse, ModelList)}


@frozen
class Tape:
    """What came of a request.

    Attributes:
        events: The pieces, in order.
        error: What it ended with, None if with an answer.
        is_left: Whether the caller left before the end.
    """

    events: Sequence[Event]
    error: APIError | None = None
    is_left: bool = False


def path_of(folder: Path, key: str, turn: int) -> Path:
    """Return where the n-th exchange of a request is kept."""
    return folder / f"{key[:24]}-{turn}.json"


def write(path: Path, shape: Mapping[str, Any], route: Route, tape: Tape) -> None:
    """Write an exchange, whole or not at all; the answer is not lost because of it."""
    served = next((event.served_by for event in tape.events if event.served_by), route)
    kept = {
        "v": VERSION,
        "request": shape,
        "route": [served.provider, served.model, without_keys(served.base_url)],
        "events": [{"kind": type(e).__name__, "raw": e.to_dict()} for e in tape.events],
        "error": None if tape.error is None else _written(tape.error),
        "left": tape.is_left,
    }
    name = None
    try:
        text = encodable(kept, indent=1, default=str)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        LOG.error("%s was not recorded: %s", path, error)  # noqa: TRY400  # a disk, not a bug
        if name is not None:
            with contextlib.suppress(OSError):
                Path(name).unlink(missing_ok=True)


def read(path: Path) -> Tape | None:
    """Return a recorded exchange; None if there is none, or it is damaged."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["v"] != VERSION:
            return None
        route = Route(provider=kept["route"][0], model=kept["route"][1], base_url=kept["route"][2])
        events = [_KINDS[event["kind"]](event["raw"], route) for event in kept["events"]]
        error = _error(kept["error"]) if kept["error"] else None
        return Tape(events, error, bool(kept.get("left")))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _written(error: APIError) -> dict[str, Any]:
    failure = error.failure
    return {
        "class": type(error).__name__,
        "message": without_keys(error.message),
        "provider": error.llm_provider,
        "model": error.model,
        "kind": str(failure.kind),
        "detail": without_keys(failure.detail),
        "status": failure.status,
        "retry_after_s": failure.retry_after_s,
        "code": failure.code,
        "request_id": failure.request_id,
    }


def _error(kept: Mapping[str, Any]) -> APIError:
    failure = Failure(
        kind=FailureKind(kept["kind"]),
        detail=kept["detail"],
        status=kept["status"],
        retry_after_s=kept["retry_after_s"],
        code=kept["code"],
        request_id=kept.get("request_id"),
    )
    kind: Any = getattr(errors, str(kept["class"]), None)
    if not (isinstance(kind, type) and issubclass(kind, APIError)):
        kind = errors.error_for(failure)
    error: APIError = kind(
        kept["message"], llm_provider=kept["provider"], model=kept["model"], failure=failure
    )
    return error
