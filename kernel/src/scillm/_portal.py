"""The sync door: one event loop on one daemon thread, shared by all sync calls.

So connections outlive a call, it works inside a running loop (Jupyter), and no function
exists twice. A forked child starts a loop of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import queue
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def loop() -> asyncio.AbstractEventLoop:
    """Return the running loop of all sync calls; started on first use."""
    global _loop  # noqa: PLW0603  # one loop per process, started when first needed
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="scillm-portal", daemon=True).start()
            atexit.register(_end, os.getpid())
        return _loop


def _end(pid: int) -> None:
    """At the process's end, close what the loop still holds, so that nothing warns of it."""
    if _loop is not None and pid == os.getpid():
        with contextlib.suppress(TimeoutError, concurrent.futures.TimeoutError):
            asyncio.run_coroutine_threadsafe(_closed(_loop), _loop).result(timeout=2.0)


async def _closed(ending: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await ending.shutdown_asyncgens()


def _forget() -> None:
    """In a forked child the thread is gone, and the parent's lock may be held."""
    global _loop, _lock
    _loop, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on the portal's loop and wait for it; Ctrl-C cancels it.

    Raises:
        RuntimeError: Called on the portal's own thread, which would wait for itself.
    """
    if threading.current_thread().name == "scillm-portal":
        work.close()
        raise RuntimeError(
            "a sync call inside an async one of scillm's own loop: use the async form"
        )
    future = asyncio.run_coroutine_threadsafe(work, loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


class Pump(Generic[T]):
    """Iterates an async generator from sync code, reading a little ahead.

    Args:
        source: What to iterate; it is driven on the portal's loop, and closed there.
        ahead: How many items may wait to be taken.
    """

    def __init__(self, source: AsyncGenerator[T, None], ahead: int = 256) -> None:
        self._ready: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        self._room = _Room(ahead)
        self._done = False
        future = asyncio.run_coroutine_threadsafe(_fill(source, self._ready, self._room), loop())
        self._future = future
        weakref.finalize(self, future.cancel)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._done:
            raise StopIteration
        try:
            is_item, value = self._ready.get()
        except BaseException:  # Ctrl-C while waiting
            self._future.cancel()
            raise
        if is_item:
            self._room.took()
            item: T = value
            return item
        self._done = True
        raise StopIteration if value is None else value

    def close(self) -> None:
        """Stop reading, and close the source before returning."""
        self._done = True
        self._future.cancel()
        run(_settled(self._room))


class _Room:
    """How much may be read ahead: counted by the reader, freed by the taker."""

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self.waiting = 0
        self.freed: asyncio.Event = asyncio.Event()
        self.closed: asyncio.Event = asyncio.Event()

    def took(self) -> None:
        self.waiting -= 1
        if self.waiting == self.ahead // 2:
            loop().call_soon_threadsafe(self.freed.set)


async def _fill(
    source: AsyncGenerator[T, None], ready: queue.SimpleQueue[tuple[bool, Any]], room: _Room
) -> None:
    last: BaseException | None = None
    try:
        async with contextlib.aclosing(source) as items:
            async for item in items:
                room.waiting += 1
                ready.put((True, item))
                if room.waiting >= room.ahead:
                    room.freed.clear()
                    await room.freed.wait()
    except BaseException as error:  # noqa: BLE001  # the taker raises it: this task has nobody to tell
        last = error
    finally:
        ready.put((False, last))
        room.closed.set()


async def _settled(room: _Room) -> None:
    await room.closed.wait()
