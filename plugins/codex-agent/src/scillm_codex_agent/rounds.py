"""A conversation of several calls, written once: calls are yielded, answers are sent back.

``sync`` and ``asynchronous`` make functions of it; what is yielded at one time is asked at one
time. A call that fails is sent back as its error, so that one lost loses no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from scillm import APIError, Response, acompletion, completion

P = ParamSpec("P")
T = TypeVar("T")
Arguments = dict[str, Any]
Outcome = Response | APIError
Rounds = Generator[Sequence[Arguments], Sequence[Outcome], T]
AT_A_TIME = 8


def sync(name: str, rounds: Callable[P, Rounds[T]]) -> Callable[P, T]:
    """Return the function *name*, which has this conversation from sync code.

    It may be called from within a running event loop, as in a notebook.
    """

    @wraps(rounds)
    def whole(*args: P.args, **kwargs: P.kwargs) -> T:
        return _run(rounds(*args, **kwargs))

    whole.__name__ = whole.__qualname__ = name
    return whole


def asynchronous(name: str, rounds: Callable[P, Rounds[T]]) -> Callable[P, Awaitable[T]]:
    """Return the function *name*, which has this conversation from async code."""

    @wraps(rounds)
    async def whole(*args: P.args, **kwargs: P.kwargs) -> T:
        return await _arun(rounds(*args, **kwargs))

    whole.__name__ = whole.__qualname__ = name
    return whole


def _run(rounds: Rounds[T]) -> T:
    outcomes: Sequence[Outcome] | None = None
    while True:
        try:
            calls = next(rounds) if outcomes is None else rounds.send(outcomes)
        except StopIteration as end:
            result: T = end.value
            return result
        outcomes = [_ask(calls[0])] if len(calls) == 1 else _ask_all(calls)


async def _arun(rounds: Rounds[T]) -> T:
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
