"""The sync door: one event loop for all sync calls of the process.

So connections outlive a call, it works inside a running loop (Jupyter), and no function
exists twice. A call that is alone runs the loop on its own thread, since waking another
thread costs as much as the call itself. Calls beside it, streams, and calls inside another
loop are handed to the loop, which a daemon thread runs for as long as they last. A forked
child has a loop of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import queue
import signal
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")

IDLE_S = 0.02  # after such a pause the loop first looks what has become of its connections


class Portal:
    """A loop, and who runs it: whoever holds ``_turn``."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._turn = threading.Lock()
        self._handed: set[concurrent.futures.Future[Any]] = set()
        self._change = threading.Condition()
        self._idle = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._last_s = 0.0
        atexit.register(self._end, os.getpid())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* and wait for it."""
        if _running_loop() is None and self._turn.acquire(blocking=False):
            try:
                return self._driven(work)
            finally:
                self._last_s = time.monotonic()
                self._turn.release()
        with _CtrlC() as ctrl_c:
            future = self.hand(work)
            ctrl_c.cancels(future.cancel)
            try:
                return future.result()
            except BaseException:
                future.cancel()
                raise

    def hand(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Give *work* to the loop, and see to it that somebody runs the loop until it is done."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        with self._change:
            self._handed.add(future)
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._help, name="scillm-portal", daemon=True)
                thread.start()
                self._thread = thread
            self._change.notify()
        # From inside the loop, so that it comes after the callback that cancels the task.
        self.loop.call_soon_threadsafe(future.add_done_callback, self._ended)
        return future

    def _ended(self, future: concurrent.futures.Future[Any]) -> None:
        """Run the loop a few turns more: a cancelled task has yet to close what it opened."""
        self.loop.call_soon_threadsafe(self._gone, future, 10)

    def _gone(self, future: concurrent.futures.Future[Any], turns: int) -> None:
        if turns:
            self.loop.call_soon(self._gone, future, turns - 1)
            return
        with self._change:
            self._handed.discard(future)
            if not self._handed:
                self._idle.set()

    def _driven(self, work: Coroutine[Any, Any, T]) -> T:
        is_rested = time.monotonic() - self._last_s > IDLE_S
        with _CtrlC() as ctrl_c:
            task = self.loop.create_task(_after_a_look(work) if is_rested else work)
            ctrl_c.cancels(lambda: self.loop.call_soon_threadsafe(task.cancel))
            return self.loop.run_until_complete(task)

    def _help(self) -> None:
        while True:
            with self._change:
                while not self._handed:
                    self._change.wait()
            with self._turn, contextlib.suppress(BaseException):  # whoever waits gets the error
                self.loop.run_until_complete(self._until_idle())
            self._last_s = time.monotonic()

    async def _until_idle(self) -> None:
        while self._handed:
            self._idle.clear()
            if self._handed:
                await self._idle.wait()

    def _end(self, pid: int) -> None:
        """At the process's end, close what the loop still holds, so that nothing warns of it."""
        if pid == os.getpid() and _running_loop() is None:
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                self.run(asyncio.wait_for(self._closed(list(self._handed)), 2.0))

    async def _closed(self, handed: list[concurrent.futures.Future[Any]]) -> None:
        for future in handed:
            future.cancel()
        for _ in range(3):  # the turns that their tasks take to notice
            await asyncio.sleep(0)
        await self.loop.shutdown_asyncgens()


class _CtrlC:
    """While entered, Ctrl-C cancels the work instead of breaking off in the middle of something.

    As ``asyncio.Runner`` does: only on the main thread, and only if nobody else handles it.
    KeyboardInterrupt is raised on leaving, when the work has closed what it opened.
    """

    def __init__(self) -> None:
        self._is_pressed = self._is_ours = False
        self._cancel: Callable[[], object] | None = None

    def __enter__(self) -> _CtrlC:
        self._is_ours = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._is_ours:
            signal.signal(signal.SIGINT, self._pressed)
        return self

    def cancels(self, cancel: Callable[[], object]) -> None:
        """Say how the work is cancelled, which is done at once if Ctrl-C came before."""
        self._cancel = cancel
        if self._is_pressed:
            cancel()

    def _pressed(self, number: int, frame: object) -> None:
        self._is_pressed = True
        if self._cancel is not None:
            self._cancel()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        is_cancelled = kind is None or issubclass(
            kind, (asyncio.CancelledError, concurrent.futures.CancelledError)
        )
        if self._is_pressed and is_cancelled:
            raise KeyboardInterrupt from None


async def _after_a_look(work: Coroutine[Any, Any, T]) -> T:
    """Let the loop see which connections were closed meanwhile, before one of them is used."""
    for _ in range(3):
        await asyncio.sleep(0)
    return await work


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_lock = threading.Lock()
_portal: Portal | None = None


def portal() -> Portal:
    """Return the process's portal; made on first use."""
    global _portal  # noqa: PLW0603  # one per process, made when first needed
    with _lock:
        if _portal is None:
            _portal = Portal()
        return _portal


def _forget() -> None:
    """In a forked child the threads are gone, and the parent's locks may be held."""
    global _portal, _lock  # the child's own
    if _portal is not None:
        # Collected in the child, the loop and its connections would close themselves, and with
        # that leave the epoll that the child shares with its parent. They take it for closed.
        _portal.loop.set_exception_handler(lambda loop, context: None)
        with contextlib.suppress(AttributeError):  # uvloop's, which has no such attribute to set
            _portal.loop.is_closed = lambda: True  # type: ignore[method-assign]
    _portal, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on the portal's loop and wait for it; Ctrl-C cancels it.

    Raises:
        RuntimeError: Called from code that this loop runs, which would wait for itself.
    """
    door = portal()
    if _running_loop() is door.loop:
        work.close()
        raise RuntimeError(
            "a sync call inside an async one of scillm's own loop: use the async form"
        )
    return door.run(work)


class Pump(Generic[T]):
    """Iterates an async generator from sync code, reading a little ahead.

    Making one waits for the first item, or for the error that comes in its place.

    Args:
        source: What to iterate; it is driven on the portal's loop, and closed there.
        ahead: How many items may wait to be taken.
    """

    def __init__(self, source: AsyncGenerator[T, None], ahead: int = 256) -> None:
        self._ready: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        self._portal = portal()
        self._room = _Room(self._portal.loop, ahead)
        self._done = False
        with _CtrlC() as ctrl_c:
            self._future = self._portal.hand(_fill(source, self._ready, self._room))
            # A turn later: a task that is cancelled before it began would never tell us.
            later = self._portal.loop.call_soon_threadsafe
            ctrl_c.cancels(lambda: later(self._portal.loop.call_soon, self._future.cancel))
            weakref.finalize(self, self._future.cancel)
            self._first: tuple[bool, Any] | None = self._taken()
            if isinstance(self._first[1], asyncio.CancelledError):
                raise self._first[1]

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._done:
            raise StopIteration
        is_item, value = self._first or self._taken()
        self._first = None
        if is_item:
            self._room.took()
            item: T = value
            return item
        self._done = True
        raise StopIteration if value is None else value

    def _taken(self) -> tuple[bool, Any]:
        try:
            return self._ready.get()
        except BaseException:  # Ctrl-C while waiting
            self._future.cancel()
            raise

    def close(self) -> None:
        """Stop reading, and close the source before returning."""
        self._done = True
        if self._portal is portal():  # else it is a forked parent's
            self._future.cancel()
            self._portal.run(_settled(self._room))


class _Room:
    """How much may be read ahead: counted by the reader, freed by the taker."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ahead: int) -> None:
        self._loop = loop
        self.ahead = ahead
        self.waiting = 0
        self.freed: asyncio.Event = asyncio.Event()
        self.closed: asyncio.Event = asyncio.Event()

    def took(self) -> None:
        self.waiting -= 1
        if self.waiting == self.ahead // 2:
            self._loop.call_soon_threadsafe(self.freed.set)


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
    except BaseException as error:  # noqa: BLE001  # the taker raises it: nobody else asks this task
        last = error
    finally:
        ready.put((False, last))
        room.closed.set()


async def _settled(room: _Room) -> None:
    await room.closed.wait()
