"""What an error means where the status alone does not tell: bodies that speak of capacity.

Two readings. A word of an error's code or type is a statement of the provider. Its message is
prose, so that only a phrase counts there, never a number or an id. No reading overrules a
status that says what is wrong with the request itself.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator, Mapping

from attrs import evolve

from scillm import Failure, FailureKind
from scillm.errors import StatusError

_SAYS_ENOUGH = frozenset({400, 401, 403, 404, 408, 409, 413, 422, 429})
_UNDECIDED = frozenset({FailureKind.SERVER, FailureKind.BAD_REQUEST})
_WORDS = frozenset({"capacity", "overload", "overloaded", "unavailable", "throttled", "throttling"})
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_PHRASE = re.compile(
    r"\b(?:over|at|max(?:imum)?|no|out of|insufficient|exceed(?:s|ed|ing)?|limited|not enough"
    r"|lack of)\s+(?:\w+\s+){0,3}capacity\b"
    r"|\bcapacity\b[\w\s]{0,40}\b(?:exceeded|exhausted|reached|full|limited|(?:un|not )available)\b"
    r"|\boverloaded\b",
    re.IGNORECASE,
)
_BARE: tuple[tuple[type[Exception], FailureKind], ...] = (
    (asyncio.TimeoutError, FailureKind.TIMEOUT),  # not yet Python's own TimeoutError in 3.10
    (asyncio.IncompleteReadError, FailureKind.UNREACHABLE),
    (socket.gaierror, FailureKind.UNREACHABLE),
    (json.JSONDecodeError, FailureKind.BAD_ANSWER),
)


def corrected(failure: Failure, error: Exception) -> Failure:
    """Return *failure*, or what it is when the error is looked at more closely; pure.

    Args:
        failure: What the plugins below and the kernel took it for.
        error: What the Sender raised.
    """
    if isinstance(error, StatusError):
        is_open = failure.kind in _UNDECIDED and error.status not in _SAYS_ENOUGH
        if is_open and _speaks_of_capacity(error.text):
            return evolve(failure, kind=FailureKind.OVERLOADED)
    elif failure.kind is FailureKind.BUG:
        kinds = (kind for known, kind in _BARE if isinstance(error, known))
        return evolve(failure, kind=next(kinds, failure.kind))
    return failure


def _speaks_of_capacity(body: str) -> bool:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return _PHRASE.search(body[:4000]) is not None
    return any(_is_statement(each) for each in _objects(said))


def _objects(said: object) -> Iterator[object]:
    """Yield the places where hosts put an error: the body, ``error`` in it, the first of a list."""
    if isinstance(said, list):
        said = said[0] if said else None
    yield said
    if isinstance(said, Mapping):
        yield said.get("error")


def _is_statement(said: object) -> bool:
    if isinstance(said, str):
        return _PHRASE.search(said[:4000]) is not None
    if not isinstance(said, Mapping):
        return False
    marks = " ".join(str(said.get(name)) for name in ("code", "type", "status"))
    prose = " ".join(str(said.get(name)) for name in ("message", "detail"))
    has_word = not _WORDS.isdisjoint(word.lower() for word in _WORD.findall(marks[:400]))
    return has_word or _PHRASE.search(prose[:4000]) is not None
