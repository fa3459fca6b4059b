"""A run: items in, rows out, durable. Read this file first.

The ``feed`` reads the input ahead, the ``desk`` hands items to the engine and takes its rows,
and ``writing`` puts them on the disk, as many together as are ready. An item is done when its
line is on the disk, and not before does its call give its place to another.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import field, frozen

from scillm_batch.budget import Limits
from scillm_batch.desk import Desk
from scillm_batch.engines import Engine
from scillm_batch.feed import Entries
from scillm_batch.items import BatchError
from scillm_batch.rows import Format, Line, Row
from scillm_batch.store import Store
from scillm_batch.work import Job
from scillm_batch.writing import Writing

MOST_UNTAKEN = 256  # rows that wait for whoever iterates
MANY_OBJECTS = 50_000  # new ones between two looks of the garbage collector


@frozen(kw_only=True)
class Summary:
    """What became of a run; but for the first four, of all runs on its output.

    Attributes:
        asked: Items that this run asked.
        skipped: Items that had their row before.
        requests: Requests of this run, each attempt counted.
        seconds: How long this run took.
        done: Items that have their row.
        ok: Those of them with an answer.
        failed: Those without.
        errors: Class of error to the number of items.
        served_by: Who answered to the number of items.
        tokens: Tokens of prompts and answers.
        cost: USD, or None if nobody told.
        stopped: Why this run ended before its input did, ``""`` if it did not.
    """

    asked: int
    skipped: int
    requests: int
    seconds: float
    done: int
    ok: int
    failed: int
    errors: Mapping[str, int] = field(factory=dict)
    served_by: Mapping[str, int] = field(factory=dict)
    tokens: int = 0
    cost: float | None = None
    stopped: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether every item of the input has its row."""
        return not self.stopped


@frozen(kw_only=True)
class Plan:
    """All that a run is made of.

    Attributes:
        read: Returns the entries of the input; an async iterator is taken in the event loop.
        job: What is done with each item.
        engine: Who does it.
        open_store: Opens the output.
        form: Shape of its lines.
        limits: What may be spent.
        is_ordered: Whether the output is put into the order of the input when it is complete.
        total: Returns how many entries there are, None if that is not known.
    """

    read: Callable[[], Entries]
    job: Job
    engine: Engine
    open_store: Callable[[], Store]
    form: Format = "scillm"
    limits: Limits = field(factory=Limits)
    is_ordered: bool = True
    total: Callable[[], int | None] = lambda: None


class BatchRun:
    """A run that has not begun: await it for its Summary, or iterate it for its rows.

    Iterated with ``async for``, it yields each row once it is on the disk, and waits while
    nobody takes them; ``summary`` is there at the end.

    Args:
        plan: What it is made of.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._desk: Desk | None = None
        self.summary: Summary | None = None
        self.stopped = ""

    def __await__(self) -> Generator[Any, None, Summary]:
        return self._run(None).__await__()

    async def __aiter__(self) -> AsyncGenerator[Row, None]:
        ready = _Shelf()
        run = asyncio.ensure_future(self._run(ready.put))
        run.add_done_callback(lambda _: ready.end())
        try:
            while (row := await ready.take()) is not None:
                yield row
            await run
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    def stop(self, why: str = "it was asked to") -> None:
        """Begin no further item; what is under way is finished and written.

        May be called from any thread.
        """
        self.stopped = self.stopped or why
        if self._desk is not None:
            self._desk.stop(self.stopped)

    def progress(self) -> dict[str, Any]:
        """Return how far the run has come; empty before it has begun.

        Returns:
            ``done``, ``ok``, ``failed``, ``skipped``, ``total`` (None if not known), ``rate``
            (rows a second, lately), ``eta_s``, ``elapsed_s``, ``errors``, ``requests``, ``tokens``,
            ``cost``, and what the engine tells: ``in_flight``, ``limit``, ``paused_s``,
            ``resting`` (deployments of a Router that nobody asks for a while).
        """
        return {} if self._desk is None else self._desk.progress()

    async def _run(self, on_row: Callable[[Row], Any] | None) -> Summary:
        if self._desk is not None:
            raise BatchError("this run has begun before: make another with run_batch")
        desk = self._desk = Desk(self._plan, on_row)
        if self.stopped:
            desk.stop(self.stopped)
        stores: list[Store] = []  # none, until it is open; it is closed also if nobody waits

        def write(lines: list[Line]) -> None:
            stores[0].write(lines)

        def close() -> None:
            for store in stores:
                store.close()

        writing = Writing(write, self._plan.form, desk.wrote)
        try:
            await writing.do(lambda: stores.append(self._plan.open_store()))
            with _seldom_collected():
                counts = await desk.run(stores[0], writing)
        finally:
            await writing.end(close)
        self.stopped = desk.stopped
        self.summary = Summary(**counts, **desk.sums(), stopped=desk.stopped)
        return self.summary


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Let the garbage collector look at times only: it costs a fifth of a run, and finds nothing.

    What many calls under way consist of is alive, and is looked through again and again.
    """
    before = gc.get_threshold()
    if not 0 < before[0] < MANY_OBJECTS:  # it is off, or as seldom already
        yield
        return
    gc.set_threshold(MANY_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Shelf:
    """Rows for whoever iterates: so many wait to be taken, then those who bring more wait."""

    def __init__(self) -> None:
        self._rows: asyncio.Queue[Row | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(MOST_UNTAKEN)

    async def put(self, row: Row) -> None:
        """Bring a row."""
        await self._room.acquire()
        self._rows.put_nowait(row)

    def end(self) -> None:
        """Say that there are no more."""
        self._rows.put_nowait(None)

    async def take(self) -> Row | None:
        """Return the next row; None if there are no more."""
        row = await self._rows.get()
        self._room.release()
        return row
