"""The input, read and admitted ahead of those who take items from it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

from scillm_batch.items import Entry, Item

AT_A_TIME = 256  # entries that are admitted together, and items that wait to be taken
MOST_BYTES = 32 << 20  # of lines that are read ahead, where they tell their length
PATIENCE_S = 1.0  # a source that answers nothing for so long is left to itself at the end

Entries: TypeAlias = Iterator[Entry] | AsyncIterator[Entry]
Digested: TypeAlias = tuple[Item, str]


class Feed:
    """Items to be asked, with their digests. For one event loop.

    An iterator is read in a thread of its own, an async one in the loop. An error of either
    ends the feed: what was read before is handed out, and then it stands in ``error``.

    Attributes:
        error: Why the input ended early, or None.

    Args:
        read: Returns the entries; called where they are read.
        admit: Takes entries; returns those that are to be asked.
    """

    def __init__(
        self,
        read: Callable[[], Entries],
        admit: Callable[[list[Entry]], Awaitable[list[Digested]]],
    ) -> None:
        self._read, self._admit = read, admit
        self._items: deque[Digested] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._has_room = asyncio.Event()
        self._is_complete = self._is_ended = self._is_stopped = False
        self.error: Exception | None = None

    @property
    def is_exhausted(self) -> bool:
        """Whether every entry was read, admitted and taken, and none is to come."""
        return self._is_complete and not self._items

    async def run(self) -> None:
        """Read and admit to the end of the input."""
        reader = _Reader(self._read)
        try:
            while found := await reader.take():
                self._items.extend(await self._admit(found))
                self._wake()
                while len(self._items) >= AT_A_TIME:
                    self._has_room.clear()
                    await self._has_room.wait()
            self._is_complete = True
        except Exception as error:  # noqa: BLE001  # whatever a user's iterator raises; it is kept
            self.error = error
        finally:
            self._is_ended = True
            self._wake()
            await reader.close()

    async def ready(self) -> bool:
        """Wait until an item is there; return False if none will be."""
        while not self._items and not self._is_ended and not self._is_stopped:
            mine = asyncio.get_running_loop().create_future()
            self._waiting.append(mine)
            try:
                await mine
            except asyncio.CancelledError:
                self._wake()  # it may have been for this one that the item came
                raise
        return bool(self._items) and not self._is_stopped

    def take(self, most: int) -> list[Digested]:
        """Return up to so many items of those that are there."""
        taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        if len(self._items) < AT_A_TIME:
            self._has_room.set()
        return taken

    def stop(self) -> None:
        """Hand out nothing more."""
        self._is_stopped = True
        self._wake()

    def _wake(self) -> None:
        """Wake as many as there are items for; all, if there will be no more."""
        is_over = self._is_ended or self._is_stopped
        many = len(self._waiting) if is_over else len(self._items)
        while self._waiting and many > 0:
            one = self._waiting.popleft()
            if not one.done():
                one.set_result(None)
                many -= 1


class _Reader:
    """Entries as they come, some at a time, from an iterator of either kind."""

    def __init__(self, read: Callable[[], Entries]) -> None:
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._found: list[Entry] = []
        self._bytes = 0
        self._is_over = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._has_some = asyncio.Event()
        self._ended = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._has_room = asyncio.Event()
        # not of a pool: the end of the process waits for those, and an iterator may never return
        threading.Thread(target=self._work, name="scillm-batch-reader", daemon=True).start()

    async def take(self) -> list[Entry]:
        """Wait for the next entries; ``[]`` is the end.

        Raises:
            BaseException: What the iterator raised, once all is taken that came before.
        """
        while True:
            await self._has_some.wait()
            with self._changed:
                found, self._found, self._bytes = self._found, [], 0
                if not self._is_over:
                    self._has_some.clear()
                self._changed.notify()
            self._has_room.set()
            if found:
                return found
            if self._is_over:
                if self._error is not None:
                    raise self._error
                return []

    async def close(self) -> None:
        """Stop reading; wait a little for an iterator that is at it."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        if self._pump is not None:
            self._pump.cancel()  # one that begins after this sees that it is over
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._ended.wait(), PATIENCE_S)

    def _work(self) -> None:
        entries: Any = iter(())
        try:
            entries = self._read()
            if isinstance(entries, AsyncIterator):
                self._tell(self._begin, entries)
                return
            for entry in entries:
                if not self._keep(entry):
                    break
        except BaseException as error:  # noqa: BLE001  # it is raised where entries are taken
            self._error = error
        with contextlib.suppress(Exception):  # the run is over; nobody waits for its last words
            getattr(entries, "close", lambda: None)()
        self._tell(self._finish)

    def _keep(self, entry: Entry) -> bool:
        """Keep an entry until it is taken; wait while there are many; say whether to go on."""
        with self._changed:
            while self._is_full() and not self._is_over:
                self._changed.wait()
            if self._is_over:
                return False
            self._add(entry)
            if len(self._found) == 1:
                self._tell(self._has_some.set)
        return True

    def _is_full(self) -> bool:
        return len(self._found) >= AT_A_TIME or self._bytes > MOST_BYTES

    def _add(self, entry: Entry) -> None:
        self._found.append(entry)
        self._bytes += entry.size_bytes

    def _begin(self, entries: AsyncIterator[Entry]) -> None:
        self._pump = asyncio.ensure_future(self._pumped(entries))

    async def _pumped(self, entries: AsyncIterator[Entry]) -> None:
        try:
            async for entry in entries:
                if self._is_over:
                    break
                self._add(entry)
                self._has_some.set()
                while self._is_full():
                    self._has_room.clear()
                    await self._has_room.wait()
        except Exception as error:  # noqa: BLE001  # it is raised where entries are taken
            self._error = error
        finally:
            if (close := getattr(entries, "aclose", None)) is not None:
                with contextlib.suppress(Exception):  # as above
                    await close()
            self._finish()

    def _finish(self) -> None:
        self._is_over = True
        self._has_some.set()
        self._ended.set()

    def _tell(self, what: Callable[..., object], *words: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the run is long over
            self._loop.call_soon_threadsafe(what, *words)
