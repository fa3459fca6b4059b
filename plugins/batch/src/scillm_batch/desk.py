"""A run under way: where the engine gets items, and where it brings rows."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from scillm_batch.budget import Budget
from scillm_batch.feed import Digested, Feed
from scillm_batch.items import BadLine, BatchError, Entry
from scillm_batch.rows import Failed, Known, Row

if TYPE_CHECKING:
    from scillm_batch.run import Plan
    from scillm_batch.store import Store
    from scillm_batch.writing import Writing

WINDOW_S = 15.0  # over which the rate is told
NOTE_S = 2.0  # between notes of the progress, for those who look from outside
PROGRESS_NOTE = "progress"
_COUNTED = ("done", "ok", "failed", "errors", "served_by", "tokens", "cost")


class Desk:
    """Hands out items, takes rows, and keeps count. For one event loop, and one run.

    Attributes:
        stopped: Why it hands out nothing more, ``""`` while it does.

    Args:
        plan: What the run is made of.
        on_row: Awaited with each row that is on the disk; None if nobody wants them.
    """

    _store: Store
    _writing: Writing

    def __init__(self, plan: Plan, on_row: Callable[[Row], Awaitable[object]] | None) -> None:
        self._plan, self._on_row = plan, on_row
        self._loop = asyncio.get_running_loop()
        self._feed = Feed(plan.read, self._admit)
        self._out: set[str] = set()
        self._budget = Budget(plan.limits)
        self._begun_s = time.monotonic()
        self._total: int | None = None
        self._skipped = self._ok = self._failed = 0
        self._errors: Counter[str] = Counter()
        self._lately: deque[tuple[float, int]] = deque([(self._begun_s, 0)])
        self.stopped = ""

    async def run(self, store: Store, writing: Writing) -> dict[str, Any]:
        """Run to the end of the input, or until something stops it.

        Returns:
            Sums over the output, by the names that ``Summary`` has for them.

        Raises:
            BatchError: The output cannot be written, or the engine lost items.
            Exception: What the input raised, once all that it gave before is answered.
        """
        self._store, self._writing = store, writing
        running = asyncio.ensure_future(self._plan.engine.run(self._plan.job, self.pull, self.push))
        others = [asyncio.ensure_future(each) for each in (self._feed.run(), self._tell())]
        if (most_s := self._plan.limits.max_wall_time_s) is not None:
            timer = self._loop.call_later(most_s, self.stop, "max_wall_time_s is reached")
            running.add_done_callback(lambda _: timer.cancel())
        try:
            await asyncio.wait({running, writing.failed}, return_when=asyncio.FIRST_COMPLETED)
            if writing.failed.done():
                await writing.failed
            await running
        finally:
            for task in (running, *others):
                task.cancel()
            await asyncio.gather(running, *others, return_exceptions=True)
        if self._feed.error is not None:
            raise self._feed.error
        if self._out or not (self._feed.is_exhausted or self.stopped):
            raise BatchError(
                f"the engine ended before the input did, with {len(self._out)} items unanswered; "
                "what was answered is written, --resume goes on"
            )
        if self._feed.is_exhausted:
            self.stopped = ""  # too late: all was asked
        if not self.stopped and self._plan.is_ordered:
            await writing.do(store.in_order)
        counts = await writing.do(store.counts)
        return {name: counts[name] for name in _COUNTED}

    async def pull(self, most: int) -> list[Digested]:
        """Hand out items; as ``engines.Pull``."""
        if not await self._feed.ready():
            return []
        if why := self._budget.exhausted():
            self.stop(why)
            return []
        taken = self._feed.take(self._budget.permitted(most))
        self._budget.begun(len(taken))
        self._out.update(item.id for item, _ in taken)
        return taken

    async def push(self, row: Row) -> None:
        """Put a row on the disk; as ``engines.Push``."""
        if row.item_id not in self._out:
            raise BatchError(f"the engine brought a row of {row.item_id!r}, for which nobody waits")
        self._out.remove(row.item_id)
        self._budget.ended(row)
        await self._put(row)

    def stop(self, why: str) -> None:
        """Hand out nothing more; from any thread."""
        self.stopped = self.stopped or why
        self._loop.call_soon_threadsafe(self._feed.stop)

    def wrote(self, known: Known) -> None:
        """Take note that a row is on the disk."""
        if known.is_ok:
            self._ok += 1
        else:
            self._failed += 1
            self._errors[known.error_type] += 1

    def sums(self) -> dict[str, Any]:
        """Return what became of this run, by the names that ``Summary`` has for it."""
        return {
            "asked": self._ok + self._failed,
            "skipped": self._skipped,
            "requests": self._budget.requests,
            "seconds": time.monotonic() - self._begun_s,
        }

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

    async def _admit(self, entries: list[Entry]) -> list[Digested]:
        asked = self._plan.job.asked
        admitted = await self._writing.do(lambda: self._store.admit(entries, asked))
        self._skipped += admitted.done
        if admitted.bad:
            await asyncio.gather(*(self._put(_of_bad(entry)) for entry in admitted.bad))
        return admitted.items

    async def _put(self, row: Row) -> None:
        await self._writing.put(row)
        if self._on_row is not None:
            await self._on_row(row)

    async def _tell(self) -> None:
        """Note how far the run has come, beside its output."""
        self._total = await self._loop.run_in_executor(None, self._plan.total)
        while True:
            progress = self.progress()
            told = {name: progress[name] for name in ("total", "rate", "elapsed_s")}
            kept = json.dumps({**told, "at": time.time()})
            await self._writing.do(partial(self._store.note, PROGRESS_NOTE, kept))
            await asyncio.sleep(NOTE_S)


def _of_bad(entry: BadLine) -> Row:
    where = f"line {entry.line}" if entry.line else f"item {entry.index}"
    error = Failed(type="BadLine", message=f"{where} of the input: {entry.why}")
    return Row(item_id=entry.id, index=entry.index, request_hash="", error=error)
