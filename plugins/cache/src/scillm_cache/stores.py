"""Where answers are kept: in memory, on disk, in Redis. Each keeps text by key, for a time."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cachetools import TLRUCache

from scillm_redis_store import RedisStore

MOST_BYTES = 256 * 1024 * 1024


class Store(Protocol):
    """What keeps text."""

    name: str

    async def get(self, key: str) -> str | None:
        """Return the text, None if there is none or its time is over."""

    async def put(self, key: str, text: str, ttl_s: float) -> None:
        """Keep a text for so many seconds."""

    async def aclose(self) -> None:
        """Give back what it holds."""


class Memory:
    """Keeps text in the process; the oldest unused go when it is full.

    Args:
        most_bytes: How much text.
        clock: Tells seconds that never go back.
    """

    name = "memory"

    def __init__(
        self, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kept: TLRUCache[str, tuple[str, float]] = TLRUCache(
            most_bytes,
            ttu=lambda key, value, now: now + value[1],
            timer=clock,
            getsizeof=lambda value: len(value[0]) + 100,
        )
        self._lock = threading.Lock()

    async def get(self, key: str) -> str | None:
        """Return the text, None if there is none or its time is over."""
        with self._lock:
            found = self._kept.get(key)
        return found[0] if found else None

    async def put(self, key: str, text: str, ttl_s: float) -> None:
        """Keep a text for so many seconds."""
        with self._lock:
            if len(text) + 100 <= self._kept.maxsize:
                self._kept[key] = (text, ttl_s)

    async def aclose(self) -> None:
        """Keep everything: a kernel that was closed can be used again."""


class Disk:
    """Keeps text in an SQLite file, which several processes may share.

    Args:
        folder: Where the file lies; made if it is not there.
    """

    name = "disk"

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder).expanduser() / "answers.sqlite3"
        self._open: tuple[int, sqlite3.Connection] | None = None
        self._lock = threading.Lock()

    async def get(self, key: str) -> str | None:
        """Return the text, None if there is none or its time is over."""
        with self._lock:
            rows = self._database().execute(
                "SELECT text FROM answers WHERE key = ? AND until > ?", (key, time.time())
            )
            row = rows.fetchone()
        return str(row[0]) if row else None

    async def put(self, key: str, text: str, ttl_s: float) -> None:
        """Keep a text for so many seconds."""
        with self._lock, self._database() as database:
            database.execute("DELETE FROM answers WHERE until <= ?", (time.time(),))
            database.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, text, time.time() + ttl_s)
            )

    async def aclose(self) -> None:
        """Give back what it holds."""
        with self._lock:
            if self._open is not None and self._open[0] == os.getpid():
                self._open[1].close()
            self._open = None

    def _database(self) -> sqlite3.Connection:
        """Return this process's connection: a forked child must not use its parent's."""
        if self._open is None or self._open[0] != os.getpid():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, timeout=10, check_same_thread=False)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT, until REAL)"
            )
            database.execute("CREATE INDEX IF NOT EXISTS by_time ON answers (until)")
            database.commit()
            self._open = (os.getpid(), database)
        return self._open[1]


class Shared:
    """Keeps text in Redis, and in memory besides: while Redis is away, memory answers.

    Args:
        redis: Where.
    """

    name = "redis"

    def __init__(self, redis: RedisStore, memory: Memory | None = None) -> None:
        self._redis, self._memory = redis, memory or Memory()

    async def get(self, key: str) -> str | None:
        """Return the text, None if there is none or its time is over."""
        found = await self._redis.run(lambda redis: redis.get(f"scillm:cache:{key}"), default=None)
        if found is not None:
            return found if isinstance(found, str) else bytes(found).decode("utf-8", "replace")
        return await self._memory.get(key) if self._redis.is_resting else None

    async def put(self, key: str, text: str, ttl_s: float) -> None:
        """Keep a text for so many seconds."""
        await self._memory.put(key, text, ttl_s)
        lasts_ms = max(1, int(ttl_s * 1000))
        await self._redis.run(
            lambda redis: redis.set(f"scillm:cache:{key}", text, px=lasts_ms), default=None
        )

    async def aclose(self) -> None:
        """Give back what it holds."""
        await self._redis.aclose()
