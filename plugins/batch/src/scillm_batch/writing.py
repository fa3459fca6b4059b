"""Rows on their way to the disk: one thread writes, as many together as have come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

from scillm_batch.rows import Format, Known, Line, Row

T = TypeVar("T")
Waiting: TypeAlias = "list[tuple[Line, asyncio.Future[None]]]"


class Writing:
    """What is done with the output, in the order in which it is asked for. For one event loop.

    Nothing that was handed over is lost when a task is cancelled, or the loop ends: the thread
    does all of it.

    Attributes:
        failed: Raises what went wrong, as soon as rows cannot be written.

    Args:
        write: Writes lines; they are on the disk when it returns.
        form: Their shape.
        on_written: Told of each that is.
    """

    def __init__(
        self,
        write: Callable[[list[Line]], object],
        form: Format,
        on_written: Callable[[Known], object],
    ) -> None:
        self._write, self._form, self._on_written = write, form, on_written
        self._thread = ThreadPoolExecutor(1, "scillm-batch-writer")
        self._loop = asyncio.get_running_loop()
        self._lines: Waiting = []
        self._is_busy = False
        self.failed: asyncio.Future[None] = self._loop.create_future()

    async def put(self, row: Row) -> None:
        """Put a row on the disk."""
        written: asyncio.Future[None] = self._loop.create_future()
        self._lines.append((Line.of_row(row, self._form), written))
        if not self._is_busy:
            self._is_busy = True
            self._loop.call_soon(self._send)  # with those that come in this turn of the loop
        await written

    async def do(self, work: Callable[[], T]) -> T:
        """Do something else in the thread of the output, after what was asked for before."""
        return await asyncio.shield(asyncio.wrap_future(self._thread.submit(work)))

    async def end(self, work: Callable[[], T]) -> T:
        """Write what is left, and do the last thing; also if nobody waits for it."""
        if self._lines:
            self._send()
        last = self._thread.submit(work)
        self._thread.shutdown(wait=False)
        return await asyncio.shield(asyncio.wrap_future(last))

    def _send(self) -> None:
        lines, self._lines = self._lines, []
        if not lines:
            return
        work = self._thread.submit(self._write, [line for line, _ in lines])
        work.add_done_callback(lambda done: self._tell(lines, done))

    def _tell(self, lines: Waiting, done: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._written, lines, done)

    def _written(self, lines: Waiting, done: Future[Any]) -> None:
        error = done.exception()
        if error is not None and not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()  # whoever put a row raises it too
        for line, written in lines:
            if error is None:
                self._on_written(line.known)
            if not written.done():
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)
                    written.exception()
        self._is_busy = bool(self._lines)
        self._send()
