"""A conversation of several calls, written once: calls are yielded, answers are sent back.

``run`` makes the calls from sync code, ``arun`` from async code; what is yielded at one time is
made at one time. A call that fails is sent back as its error, so that one lost loses no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from scillm import APIError, Response, acompletion, completion

T = TypeVar("T")
Arguments = dict[str, Any]
Outcome = Response | APIError
Rounds = Generator[Sequence[Arguments], Sequence[Outcome], T]
AT_A_TIME = 8


def run(rounds: Rounds[T]) -> T:
    """Make the calls of *rounds* from sync code, also from within a running event loop."""
    outcomes: Sequence[Outcome] | None = None
    while True:
        try:
            calls = next(rounds) if outcomes is None else rounds.send(outcomes)
        except StopIteration as end:
            result: T = end.value
            return result
        outcomes = [_ask(calls[0])] if len(calls) == 1 else _ask_all(calls)


async def arun(rounds: Rounds[T]) -> T:
    """Make the calls of *rounds* from async code."""
    outcomes: Sequence[Outcome] | None = None
    room = asyncio.Semaphore(AT_A_TIME)
    while True:
        try:
            calls = next(rounds) if outcomes is None else rounds.send(outcomes)
        except StopIteration as end:
            result: T = end.value
            return result
        outcomes = await asyncio.gather(*(_aask(call, room) for call in calls))


def _ask(arguments: Arguments) -> Outcome:
    try:
        answer = completion(**arguments)
    except APIError as error:
        return error
    assert isinstance(answer, Response)  # no stream was asked for
    return answer


def _ask_all(calls: Sequence[Arguments]) -> list[Outcome]:
    from concurrent.futures import ThreadPoolExecutor  # only who asks several at once

    with ThreadPoolExecutor(min(AT_A_TIME, len(calls) or 1)) as pool:
        return list(pool.map(_ask, calls))


async def _aask(arguments: Arguments, room: asyncio.Semaphore) -> Outcome:
    async with room:
        try:
            answer = await acompletion(**arguments)
        except APIError as error:
            return error
    assert isinstance(answer, Response)  # no stream was asked for
    return answer
