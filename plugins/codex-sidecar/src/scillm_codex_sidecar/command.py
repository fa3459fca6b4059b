"""The codex command answers: what it is told, and pieces of an answer out of what it prints."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import PurePath
from typing import Any

from scillm import (
    AuthenticationError,
    BadRequestError,
    Call,
    Chunk,
    Event,
    InternalServerError,
    Request,
    Route,
    Sender,
    hookimpl,
)
from scillm_codex_sidecar import COMMAND, INPUT_MODE, PROMPT_FLAG, auth
from scillm_codex_sidecar.limits import (
    ABS_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    MAX_CONCURRENCY,
    RETRIES,
)
from scillm_codex_sidecar.process import GaveUp, Job, lines
from scillm_codex_sidecar.reading import Lines, Piece

_URL = "codex:"
_LONGEST_ARGUMENT_BYTES = 100_000  # Linux takes 128 KiB
_DEFAULT = "exec --json --skip-git-repo-check --sandbox read-only --model {model}"
_HONOURED = frozenset({"response_format", "stream_options", "n", "stop"})


class Command:
    """A provider whose answers come from a command; a kernel has one."""

    PROVIDERS = ("codex-command",)

    def __init__(self) -> None:
        self._places: asyncio.Semaphore | None = None

    @hookimpl
    def resolve_model(self, call: Call) -> Route:
        """Take any model."""
        return Route(provider="codex-command", model=call.model)

    @hookimpl
    def prepare_request(self, call: Call, route: Route) -> Request:
        """Write down the conversation as a prompt."""
        if call.params.get("tools"):
            raise BadRequestError("the codex command has tools of its own and takes no others")
        if call.params.get("n") not in (None, 1):
            raise BadRequestError("the codex command answers once: leave n out")
        body = {
            "prompt": prompt(call.messages, call.params),
            "messages": list(call.messages),
            "model": route.model,
            "stop": call.params.get("stop"),
            "ignored": sorted({*call.params, *call.extra_body} - _HONOURED),
        }
        return Request(route=route, url=_URL, body=body, read=lambda frame: ())

    @hookimpl
    def send(self, request: Request) -> Sender | None:
        """Answer one's own requests."""
        return self._send if request.url == _URL else None

    async def _send(self, request: Request) -> AsyncGenerator[Event, None]:
        body: Mapping[str, Any] = request.body or {}
        if self._places is None:
            self._places = asyncio.Semaphore(MAX_CONCURRENCY.value())
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": body["model"],
        }
        job = job_of(body)
        usage = None
        async with self._places, aclosing(_cut(_pieces(job), body["stop"])) as pieces:
            async for piece in pieces:
                usage = piece.usage or usage
                for name in ("content", "reasoning"):
                    if text := getattr(piece, name):
                        field = "content" if name == "content" else "reasoning_content"
                        choice = {"index": 0, "delta": {field: text}, "finish_reason": None}
                        yield Chunk({**head, "choices": [choice]})
        end = {"index": 0, "delta": {"role": "assistant"}, "finish_reason": "stop"}
        notes = {"codex_sidecar": {"ignored": body["ignored"]}} if body["ignored"] else {}
        noted = {"additional_kwargs": notes} if notes else {}
        yield Chunk({**head, "choices": [end], **noted})
        if usage is not None:
            yield Chunk({**head, "choices": [], "usage": usage})


async def _pieces(job: Job) -> AsyncGenerator[Piece, None]:
    """Run the command, again if it is worth it and nothing was passed on yet."""
    for attempt in range(RETRIES.value() + 1):
        reader, has_said = Lines(), False
        try:
            async with aclosing(lines(job)) as printed:
                async for line in printed:
                    piece = reader.read(line)
                    if piece.error:
                        raise InternalServerError(f"the codex command failed: {piece.error}")
                    has_said = has_said or bool(piece.content)
                    yield piece
        except GaveUp as error:
            if has_said or not error.is_worth_another or attempt == RETRIES.value():
                raise error.told from None
            continue
        if not has_said:
            raise InternalServerError("the codex command ended without an answer")
        return


async def _cut(
    pieces: AsyncGenerator[Piece, None], stop: str | Sequence[str] | None
) -> AsyncGenerator[Piece, None]:
    """End the answer where a stop mark begins; what could be the beginning of one is held back."""
    marks = [stop] if isinstance(stop, str) else [mark for mark in stop or () if mark]
    longest = max(map(len, marks), default=1)
    held = ""
    async with aclosing(pieces) as all_pieces:
        async for piece in all_pieces:
            held += piece.content
            places = [place for mark in marks if (place := held.find(mark)) >= 0]
            if places:
                yield Piece(content=held[: min(places)])
                return
            ready = len(held) - (longest - 1)
            yield Piece(held[: max(0, ready)], piece.reasoning, piece.usage)
            held = held[max(0, ready) :]
    yield Piece(content=held)


def job_of(body: Mapping[str, Any]) -> Job:
    """Return what is run.

    Raises:
        InternalServerError: There is no such command.
        AuthenticationError: It is codex, and nobody has logged in.
        BadRequestError: The prompt is empty.
    """
    words, is_codex = command(body["model"])
    if shutil.which(words[0]) is None:
        raise InternalServerError(
            f"there is no command {words[0]!r}: install codex, set CODEX_CMD to another, or switch "
            "the echo on by CODEX_SIDECAR_ECHO=1"
        )
    if is_codex and not auth.is_present():
        raise AuthenticationError(f"the codex command is not logged in: {auth.problem()}")
    arguments, told = _told(body)
    return Job(
        words=(*words, *arguments),
        told=told,
        total_s=ABS_TIMEOUT_S.value(),
        idle_s=IDLE_TIMEOUT_S.value(),
        environment=_environment(),
    )


def command(model: str) -> tuple[list[str], bool]:
    """Return the words of the command for a model, and whether it is codex itself."""
    text = COMMAND.value()
    words = shlex.split(text) if text else ["codex", *_DEFAULT.split()]
    words = [word.replace("{model}", model) for word in words] or ["codex"]
    return words, PurePath(words[0]).stem == "codex"


def _told(body: Mapping[str, Any]) -> tuple[list[str], bytes]:
    """Return the last arguments and what goes to standard input."""
    text, mode = body["prompt"], INPUT_MODE.value()
    if not text.strip():
        raise BadRequestError("the prompt is empty: say something")
    if mode == "json":
        told = {"model": body["model"], "messages": body["messages"], "prompt": text}
        return [], json.dumps(told).encode()
    if mode == "flag":
        return [PROMPT_FLAG.value(), text], b""
    if mode != "prompt":
        raise InternalServerError(f"CODEX_INPUT_MODE={mode!r} is none of prompt, flag, json")
    if text.startswith("-") or len(text.encode()) > _LONGEST_ARGUMENT_BYTES or "\0" in text:
        return ["-"], text.encode()  # codex reads it from there; as an argument it would not do
    return [text], b""


def prompt(messages: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> str:
    """Write a conversation as one text; a single message of the user stands as it is."""
    texts = [(str(message.get("role")), _text(message)) for message in messages]
    if len(texts) == 1 and texts[0][0] == "user":
        told = texts[0][1]
    else:
        told = "\n\n".join(f"{role}: {text}" for role, text in texts if text)
    wanted = params.get("response_format") or {}
    if wanted.get("type") == "json_object":
        told += "\n\nAnswer with one JSON object and nothing else."
    elif wanted.get("type") == "json_schema":
        schema = json.dumps((wanted.get("json_schema") or {}).get("schema") or {})
        told += f"\n\nAnswer with JSON alone, of this JSON Schema: {schema}"
    return told


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if not isinstance(content, list):
        return str(content or "")
    kinds = {part.get("type") for part in content}
    if kinds - {"text"}:
        raise BadRequestError(
            f"the codex command is told text alone, not {', '.join(sorted(map(str, kinds)))}: "
            "pictures go through CODEX_FORWARD_BASE"
        )
    return "\n".join(str(part.get("text") or "") for part in content)


def _environment() -> dict[str, str]:
    """Return what the command may know: all but the sidecar's own secrets."""
    own = {"SCILLM_SERVE_TOKEN", "LITELLM_SERVE_TOKEN", "CODEX_FORWARD_TOKEN"}
    return {name: value for name, value in os.environ.items() if name not in own}
