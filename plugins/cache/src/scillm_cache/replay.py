"""The other plugin: records what a program asks and is told, and replays it without a network."""

from __future__ import annotations

import contextlib
import difflib
import json
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scillm import APIError, BadRequestError, FailureKind, Request, Setting, hookimpl
from scillm_cache.entries import digest, shape_of
from scillm_cache.tapes import Tape, path_of, read, write

if TYPE_CHECKING:
    from scillm import Event, Sender

RECORD: Setting[str | None] = Setting(
    name="RECORD", default=None, help="folder to which every exchange is written"
)
REPLAY: Setting[str | None] = Setting(
    name="REPLAY", default=None, help="folder from which every answer is taken; nothing is sent"
)
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
            self._replaying(Path(replayed))
            if replayed
            else self._recording(inner, Path(recorded or ""))
        )

    def _replaying(self, folder: Path) -> Sender:
        async def send(request: Request) -> AsyncGenerator[Event, None]:
            shape = shape_of(request, is_whole=False)
            key = digest(shape)
            with self._lock:
                turn = self._given.get(key, 0)
                self._given[key] = turn + 1
            path = path_of(folder, key, turn)
            tape = read(path)
            if tape is None:
                raise _miss(folder, shape, key, turn)
            for event in tape.events:
                yield event
            if tape.error is not None:
                raise tape.error
            if tape.is_left:
                raise _missed(shape, f"{path}: its caller left it here when it was recorded")

        return send

    def _recording(self, inner: Sender, folder: Path) -> Sender:
        async def send(request: Request) -> AsyncGenerator[Event, None]:
            shape = shape_of(request, is_whole=False)
            path = self._reserved(folder, shape)
            events: list[Event] = []
            error, is_left = None, True
            try:
                async with aclosing(inner(request)) as received:
                    async for event in received:
                        events.append(event)
                        yield event
                is_left = False
            except APIError as raised:
                error, is_left = raised, False
                raise
            finally:
                write(path, shape, request.route, Tape(events, error, is_left))

        return send

    def _reserved(self, folder: Path, shape: Mapping[str, Any]) -> Path:
        """Take the first free number of a request: that of the call, not of its answer.

        Raises:
            BadRequestError: The folder takes no files.
        """
        key = digest(shape)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            while True:
                with self._lock:
                    turn = self._given.get(key, 0)
                    self._given[key] = turn + 1
                path = path_of(folder, key, turn)
                with contextlib.suppress(FileExistsError), path.open("x"):
                    return path
        except OSError as error:
            raise BadRequestError(
                f"nothing can be recorded in {folder} ({error}): correct or unset SCILLM_RECORD",
                llm_provider=shape["provider"],
                model=shape["model"],
            ) from None


def _miss(folder: Path, shape: Mapping[str, Any], key: str, turn: int) -> ReplayMiss:
    if path_of(folder, key, turn).exists():
        said = f"{path_of(folder, key, turn).name} is damaged, or was never finished"
    elif turn:
        said = f"this request was recorded {turn} times, and is made once more"
    else:
        said = "this request was not recorded" + _nearest(folder, shape)
    return _missed(shape, f"{folder}: {said}")


def _missed(shape: Mapping[str, Any], said: str) -> ReplayMiss:
    return ReplayMiss(
        f"nothing to replay in {said}. Record anew, with SCILLM_RECORD",
        llm_provider=shape["provider"],
        model=shape["model"],
    )


def _nearest(folder: Path, shape: Mapping[str, Any]) -> str:
    """Say how the most alike recorded request differs: in the fewest fields, by the least."""
    wanted, flat = json.dumps(shape, sort_keys=True, default=repr), _flat(shape)
    found: list[tuple[int, float, str, list[str]]] = []
    for path in sorted(folder.glob("*.json"))[:MOST_COMPARED]:
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
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
