"""A run: items in, rows out, durable. Read this file first.

A reader thread takes entries from the source, the engine answers them, and a writer thread
puts rows on the disk, as many together as are ready. An item is done when its line is on the
disk, and not before does its call give its place to another.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from attrs import field, frozen

from scillm_batch.budget import Budget, Limits
from scillm_batch.engines import Engine
from scillm_batch.items import BadLine, Entry, Item
from scillm_batch.rows import Failed, Row
from scillm_batch.store import Store
from scillm_batch.work import Job

T = TypeVar("T")
AT_A_TIME = 256  # entries that are read and admitted together
PATIENCE_S = 0.05  # a slow source hands over what it has after so long
WINDOW_S = 15.0  # over which the rate is told
NOTE_S = 2.0  # between notes of the progress, for those who look from outside
PROGRESS_NOTE = "progress"


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
        limits: What may be spent.
        is_ordered: Whether the output is put into the order of the input when it is complete.
        total: Returns how many entries there are, None if that is not known.
    """

    read: Callable[[], Iterator[Entry] | AsyncIterator[Entry]]
    job: Job
    engine: Engine
    open_store: Callable[[], Store]
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
        self._desk: _Desk | None = None
        self.summary: Summary | None = None
        self.stopped = ""

    def __await__(self) -> Generator[Any, None, Summary]:
        return self._run(None).__await__()

    async def __aiter__(self) -> AsyncGenerator[Row, None]:
        ready = _Shelf()
        run = asyncio.ensure_future(self._run(ready))
        run.add_done_callback(lambda _: ready.end())
        try:
            while (row := await ready.take()) is not None:
                yield row
            await run
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    def stop(self, why: str = "it was asked to") -> None:
        """Begin no further item; what is under way is finished and written."""
        self.stopped = self.stopped or why

    def progress(self) -> dict[str, Any]:
        """Return how far the run has come; empty before it has begun.

        Returns:
            ``done``, ``ok``, ``failed``, ``skipped``, ``total`` (None if not known), ``rate``
            (rows a second, lately), ``eta_s``, ``elapsed_s``, ``errors``, ``requests``, ``tokens``,
            ``cost``, and what the engine tells: ``in_flight``, ``limit``, ``paused_s``.
        """
        return {} if self._desk is None else self._desk.progress()

    async def _run(self, ready: _Shelf | None) -> Summary:
        reader = ThreadPoolExecutor(1, "scillm-batch-reader")
        writer = ThreadPoolExecutor(1, "scillm-batch-writer")
        try:
            store = await _in(writer, self._plan.open_store)
            desk = self._desk = _Desk(self, self._plan, store, _Threads(reader, writer), ready)
            try:
                self.summary = await desk.run()
            finally:
                await _in(writer, store.close)
            return self.summary
        finally:
            reader.shutdown(wait=False, cancel_futures=True)
            writer.shutdown(wait=False)


class _Shelf:
    """Rows for whoever iterates: so many wait to be taken, then those who bring more wait."""

    def __init__(self) -> None:
        self._rows: asyncio.Queue[Row | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(AT_A_TIME)

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


@frozen
class _Threads:
    """One that reads the input, and one that writes the output."""

    reader: ThreadPoolExecutor
    writer: ThreadPoolExecutor


class _Desk:
    """A run under way: where the engine gets items, and where it brings rows."""

    def __init__(
        self,
        run: BatchRun,
        plan: Plan,
        store: Store,
        threads: _Threads,
        ready: _Shelf | None,
    ) -> None:
        self._run, self._plan, self._store, self._ready = run, plan, store, ready
        self._reader, self._writer = threads.reader, threads.writer
        self._entries: Any = None
        self._is_at_end = False
        self._items: deque[tuple[Item, str]] = deque()
        self._refilling = asyncio.Lock()
        self._rows: list[tuple[Row, asyncio.Future[None]]] = []
        self._has_rows = asyncio.Event()
        self._budget = Budget(plan.limits)
        self._begun_s = time.monotonic()
        self._total: int | None = None
        self._skipped = self._ok = self._failed = 0
        self._errors: Counter[str] = Counter()
        self._lately: deque[tuple[float, int]] = deque([(self._begun_s, 0)])

    async def run(self) -> Summary:
        """Run to the end of the input, or until something stops it."""
        self._entries = await _in(self._reader, self._plan.read)
        telling = asyncio.ensure_future(self._tell())
        writing = asyncio.ensure_future(self._write())
        running = asyncio.ensure_future(self._plan.engine.run(self._plan.job, self.pull, self.push))
        try:
            await asyncio.wait({writing, running}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                await writing  # it ends by an error alone
            await running
        finally:
            for task in (running, telling, writing):
                task.cancel()
            await asyncio.gather(running, telling, writing, return_exceptions=True)
            await self._flush()  # what was answered while all this ended
        if not self._run.stopped and self._plan.is_ordered:
            await _in(self._writer, self._store.in_order)
        return self._summed(await _in(self._writer, self._store.counts))

    async def pull(self, most: int) -> list[tuple[Item, str]]:
        """Hand out items; as ``engines.Pull``."""
        if reached := self._budget.exhausted():
            self._run.stop(f"{reached} is reached")
        while not self._items and not self._is_at_end and not self._run.stopped:
            async with self._refilling:
                if not self._items and not self._is_at_end:
                    await self._refill()
        if self._run.stopped:
            return []
        taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        self._budget.begun(len(taken))
        return taken

    async def push(self, row: Row) -> None:
        """Put a row on the disk; as ``engines.Push``."""
        self._budget.ended(row)
        await self._put(row)

    def progress(self) -> dict[str, Any]:
        """As ``BatchRun.progress``."""
        now_s, done = time.monotonic(), self._ok + self._failed
        while len(self._lately) > 1 and self._lately[0][0] < now_s - WINDOW_S:
            self._lately.popleft()
        self._lately.append((now_s, done))
        then_s, before = self._lately[0]
        rate = (done - before) / (now_s - then_s) if now_s > then_s else 0.0
        left = None if self._total is None else max(0, self._total - done - self._skipped)
        return {
            "done": done + self._skipped,
            "ok": self._ok,
            "failed": self._failed,
            "skipped": self._skipped,
            "total": self._total,
            "rate": rate,
            "eta_s": left / rate if left is not None and rate else None,
            "elapsed_s": now_s - self._begun_s,
            "errors": dict(self._errors),
            "requests": self._budget.requests,
            "tokens": self._budget.tokens,
            "cost": self._budget.cost,
            **self._plan.engine.state(),
        }

    async def _refill(self) -> None:
        if isinstance(self._entries, AsyncIterator):
            entry = await anext(self._entries, None)
            found = [] if entry is None else [entry]
        else:
            found = await _in(self._reader, lambda: _some(self._entries))
        if not found:
            self._is_at_end = True
            return
        asked = self._plan.job.asked
        admitted = await _in(self._writer, lambda: self._store.admit(found, asked))
        self._skipped += admitted.done
        self._items.extend(admitted.items)
        if admitted.bad:
            await asyncio.gather(*(self._put(_of_bad(entry)) for entry in admitted.bad))

    async def _put(self, row: Row) -> None:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rows.append((row, written))
        self._has_rows.set()
        await written
        if self._ready is not None:
            await self._ready.put(row)

    async def _write(self) -> None:
        """Put rows on the disk, as many together as have come."""
        while True:
            await self._has_rows.wait()
            await asyncio.shield(self._flush())

    async def _flush(self) -> None:
        rows, self._rows = self._rows, []
        self._has_rows.clear()
        if not rows:
            return
        try:
            await _in(self._writer, lambda: self._store.commit([row for row, _ in rows]))
        except BaseException as error:
            for _, written in rows:
                if not written.done():
                    written.set_exception(error)
                    written.exception()  # the writer's own task raises it too
            raise
        for row, written in rows:
            self._count_row(row)
            if not written.done():
                written.set_result(None)

    def _count_row(self, row: Row) -> None:
        if row.error is None:
            self._ok += 1
        else:
            self._failed += 1
            self._errors[row.error.type] += 1

    async def _tell(self) -> None:
        """Note how far the run has come, beside its output."""
        self._total = await _in(None, self._plan.total)
        while True:
            await self._note_progress()
            await asyncio.sleep(NOTE_S)

    async def _note_progress(self) -> None:
        progress = self.progress()
        kept = json.dumps({name: progress[name] for name in ("total", "rate", "elapsed_s")})
        await _in(self._writer, lambda: self._store.note(PROGRESS_NOTE, kept))

    def _summed(self, counts: Mapping[str, Any]) -> Summary:
        return Summary(
            asked=self._ok + self._failed,
            skipped=self._skipped,
            requests=self._budget.requests,
            seconds=time.monotonic() - self._begun_s,
            done=counts["done"],
            ok=counts["ok"],
            failed=counts["failed"],
            errors=counts["errors"],
            served_by=counts["served_by"],
            tokens=counts["tokens"],
            cost=counts["cost"],
            stopped=self._run.stopped,
        )


async def _in(executor: ThreadPoolExecutor | None, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, work)


def _some(entries: Iterator[Entry]) -> list[Entry]:
    """Return the next entries: as many as are wanted, or as came while we were patient."""
    found: list[Entry] = []
    until_s = time.monotonic() + PATIENCE_S
    for entry in entries:
        found.append(entry)
        if len(found) >= AT_A_TIME or time.monotonic() > until_s:
            break
    return found


def _of_bad(entry: BadLine) -> Row:
    where = f"line {entry.line}" if entry.line else f"item {entry.index}"
    error = Failed(type="BadLine", message=f"{where} of the input: {entry.why}")
    return Row(item_id=entry.id, index=entry.index, request_hash="", error=error)
