"""The other plugin: records what a program asks and is told, and replays it without a network."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import tempfile
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scillm import (
    APIError,
    Chunk,
    EmbeddingResponse,
    Failure,
    FailureKind,
    ModelList,
    Request,
    Response,
    Route,
    Setting,
    errors,
    hookimpl,
)
from scillm_cache.entries import VERSION, digest, shape_of

if TYPE_CHECKING:
    from scillm import Event, Sender

RECORD: Setting[str | None] = Setting(
    name="RECORD", default=None, help="folder to which every exchange is written"
)
REPLAY: Setting[str | None] = Setting(
    name="REPLAY", default=None, help="folder from which every answer is taken; nothing is sent"
)
_KINDS = {kind.__name__: kind for kind in (Chunk, Response, EmbeddingResponse, ModelList)}
MOST_COMPARED = 200


class ReplayMiss(APIError):
    """Nothing was recorded for a request; the message names the nearest that was."""

    kind = FailureKind.BAD_REQUEST
    default_status = 404


class Replay:
    """Records exchanges, or answers from a recording; off unless a variable names a folder."""

    ORDER = 190
    SETTINGS: tuple[Setting[Any], ...] = (RECORD, REPLAY)

    def __init__(self) -> None:
        self._given: dict[str, int] = {}
        self._lock = threading.Lock()

    @hookimpl(wrapper=True)
    def send(self) -> Generator[None, Sender | None, Sender | None]:
        """Wrap or replace the Sender, if there is a folder."""
        inner = yield
        replayed, recorded = REPLAY.value(), RECORD.value()
        if inner is None or not (replayed or recorded):
            return inner
        return (
            self._replaying(Path(replayed)) if replayed else _recording(inner, Path(recorded or ""))
        )

    def _replaying(self, folder: Path) -> Sender:
        async def send(request: Request) -> AsyncGenerator[Event, None]:
            shape = shape_of(request, is_whole=False)
            key = digest(shape)
            with self._lock:
                turn = self._given.get(key, 0)
                self._given[key] = turn + 1
            kept = _read(folder, key, turn)
            if kept is None:
                raise _miss(folder, shape, key, turn)
            for event in kept["events"]:
                yield _KINDS[event["kind"]](event["raw"], _route(kept["route"]))
            if kept["error"]:
                raise _error(kept["error"])

        return send


def _recording(inner: Sender, folder: Path) -> Sender:
    async def send(request: Request) -> AsyncGenerator[Event, None]:
        events: list[dict[str, Any]] = []
        route, error = request.route, None
        try:
            async with aclosing(inner(request)) as received:
                async for event in received:
                    route = event.served_by or route
                    events.append({"kind": type(event).__name__, "raw": event.to_dict()})
                    yield event
        except APIError as raised:
            error = raised
            raise
        finally:
            if error is not None or _is_whole(events):
                _write(folder, request, route, events, error)

    return send


def _is_whole(events: list[dict[str, Any]]) -> bool:
    """Tell whether the answer came to its end: one that the caller left is not recorded."""
    return any(
        event["kind"] != "Chunk"
        or any(c.get("finish_reason") for c in event["raw"]["choices"] or ())
        for event in events
    )


def _write(
    folder: Path,
    request: Request,
    route: Route,
    events: list[dict[str, Any]],
    error: APIError | None,
) -> None:
    """Write one exchange under the first free number, whole or not at all."""
    shape = shape_of(request, is_whole=False)
    kept = {
        "v": VERSION,
        "request": shape,
        "route": [route.provider, route.model, route.base_url],
        "events": events,
        "error": _written(error) if error is not None else None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(kept, file, ensure_ascii=False, indent=1, default=str)
    turn = 0
    while True:
        try:
            os.link(name, _path(folder, digest(shape), turn))
            break
        except FileExistsError:
            turn += 1
    Path(name).unlink()


def _written(error: APIError) -> dict[str, Any]:
    failure = error.failure
    return {
        "class": type(error).__name__,
        "message": error.message,
        "provider": error.llm_provider,
        "model": error.model,
        "kind": str(failure.kind),
        "detail": failure.detail,
        "status": failure.status,
        "retry_after_s": failure.retry_after_s,
        "code": failure.code,
    }


def _error(kept: Mapping[str, Any]) -> APIError:
    kind = getattr(errors, kept["class"], APIError)
    failure = Failure(
        kind=FailureKind(kept["kind"]),
        detail=kept["detail"],
        status=kept["status"],
        retry_after_s=kept["retry_after_s"],
        code=kept["code"],
    )
    error: APIError = kind(
        kept["message"], llm_provider=kept["provider"], model=kept["model"], failure=failure
    )
    return error


def _read(folder: Path, key: str, turn: int) -> dict[str, Any] | None:
    with contextlib.suppress(FileNotFoundError):
        kept: dict[str, Any] = json.loads(_path(folder, key, turn).read_text(encoding="utf-8"))
        if kept.get("v") == VERSION:
            return kept
    return None


def _path(folder: Path, key: str, turn: int) -> Path:
    return folder / f"{key[:24]}-{turn}.json"


def _route(kept: list[str]) -> Route:
    return Route(provider=kept[0], model=kept[1], base_url=kept[2])


def _miss(folder: Path, shape: Mapping[str, Any], key: str, turn: int) -> ReplayMiss:
    if turn:
        said = f"this request was recorded {turn} times, and is made once more"
    else:
        said = "this request was not recorded" + _nearest(folder, shape)
    return ReplayMiss(
        f"nothing to replay in {folder}: {said}. Record anew, with SCILLM_RECORD",
        llm_provider=shape["provider"],
        model=shape["model"],
    )


def _nearest(folder: Path, shape: Mapping[str, Any]) -> str:
    """Say how the most alike recorded request differs: in the fewest fields, by the least."""
    wanted, flat = json.dumps(shape, sort_keys=True, default=repr), _flat(shape)
    found: list[tuple[int, float, str, list[str]]] = []
    for path in sorted(folder.glob("*.json"))[:MOST_COMPARED]:
        with contextlib.suppress(OSError, ValueError, KeyError):
            other = json.loads(path.read_text(encoding="utf-8"))["request"]
            text, theirs = json.dumps(other, sort_keys=True), _flat(other)
            names = sorted(n for n in {*flat, *theirs} if flat.get(n) != theirs.get(n))
            alike = difflib.SequenceMatcher(None, wanted[:4000], text[:4000]).quick_ratio()
            found.append((len(names), -alike, path.name, names))
    if not found:
        return ", and there are no recordings"
    _, _, name, names = min(found)
    return f"; the nearest is {name}, which differs in {', '.join(names)}"


def _flat(shape: Mapping[str, Any]) -> dict[str, Any]:
    return {**shape, **{f"body.{n}": v for n, v in (shape["body"] or {}).items()}, "body": None}
