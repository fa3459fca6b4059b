"""Answers in an SQLite file. One that fails costs a warning, and no call."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LOG = logging.getLogger("scillm.cache")
BUSY_S = 2.0
REST_S = 5.0


class Disk:
    """Keeps text in an SQLite file, which several processes may share.

    A file that is damaged is put aside under another name, and a new one begun. While the disk is
    full, or the file cannot be opened, calls go on without.

    Args:
        folder: Where the file lies; made if it is not there.
        clock: Tells seconds that never go back.
    """

    name = "disk"

    def __init__(self, folder: str | Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(folder).expanduser() / "answers.sqlite3"
        self._clock = clock
        self._open: tuple[int, sqlite3.Connection] | None = None
        self._number = 0  # of the file, as the system counts them
        self._until_s, self._is_lost = 0.0, False
        self._lock = threading.Lock()

    async def get(self, key: str) -> str | None:
        """Return the text, None if there is none or its time is over."""

        def work(database: sqlite3.Connection) -> str | None:
            row = database.execute(
                "SELECT text FROM answers WHERE key = ? AND until > ?", (key, time.time())
            ).fetchone()
            return row[0] if row and isinstance(row[0], str) else None

        return self._run(work)

    async def put(self, key: str, text: str, ttl_s: float) -> None:
        """Keep a text for so many seconds."""

        def work(database: sqlite3.Connection) -> None:
            with database:
                database.execute("DELETE FROM answers WHERE until <= ?", (time.time(),))
                until_s = time.time() + ttl_s
                database.execute(
                    "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, text, until_s)
                )

        self._run(work)

    async def aclose(self) -> None:
        """Give back what it holds."""
        with self._lock:
            self._shut()

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        with self._lock:
            if self._clock() < self._until_s:
                return None
            try:
                found = work(self._database())
            except sqlite3.DataError:
                return None  # an answer that is larger than SQLite takes
            except (sqlite3.Error, OSError, OverflowError) as error:
                self._failed(error)
                return None
            if self._is_lost:
                self._is_lost = False
                LOG.info("%s can be used again", self._path)
            return found

    def _failed(self, error: Exception) -> None:
        self._shut()
        if _is_damage(error) and (aside := self._aside()) is not None:
            LOG.warning("%s is damaged (%s): put aside as %s", self._path, error, aside.name)
            return
        self._until_s = self._clock() + REST_S
        if not self._is_lost:
            self._is_lost = True
            LOG.warning("%s cannot be used, going on without it (%s)", self._path, error)

    def _aside(self) -> Path | None:
        """Put the damaged file aside, unless another process has done so already."""
        aside = self._path.with_name(f"{self._path.name}.damaged-{int(time.time())}-{os.getpid()}")
        try:
            if self._number in (0, self._path.stat().st_ino):
                self._path.replace(aside)
            for ending in ("-wal", "-shm"):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        except OSError:
            return None
        return aside

    def _shut(self) -> None:
        if self._open is not None and self._open[0] == os.getpid():
            self._open[1].close()
        self._open = None

    def _database(self) -> sqlite3.Connection:
        """Return this process's connection: a forked child must not use its parent's."""
        if self._open is None or self._open[0] != os.getpid():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, timeout=BUSY_S, check_same_thread=False)
            self._open = (os.getpid(), database)
            self._number = self._path.stat().st_ino
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT, until REAL)"
            )
            database.execute("CREATE INDEX IF NOT EXISTS by_time ON answers (until)")
            database.commit()
        return self._open[1]


def _is_damage(error: Exception) -> bool:
    said = str(error)
    return isinstance(error, sqlite3.DatabaseError) and (
        "malformed" in said or "not a database" in said
    )
