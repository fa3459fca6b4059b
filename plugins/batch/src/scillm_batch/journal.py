"""A fast index of the output, in SQLite: what was begun, where lines stand, what they sum to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from attrs import field, frozen

from scillm_batch.items import BatchError
from scillm_batch.rows import Known

_AT_A_TIME = 500
_VERSION = 1  # of the tables; a journal of another one is made anew from the output
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
  item_id TEXT PRIMARY KEY, position INTEGER, line INTEGER, hash TEXT, run INTEGER,
  start INTEGER, length INTEGER, crc INTEGER, is_ok INTEGER, error TEXT, is_retryable INTEGER,
  tokens INTEGER, cost REAL, served_by TEXT
) WITHOUT ROWID;
CREATE INDEX by_start ON items (start) WHERE start IS NOT NULL;
"""
# One statement for many rows: a thread gives up the interpreter at each, and waits to get it back.
_BEGIN = """
INSERT INTO items (item_id, position, line, hash, run)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
  json_extract(value, '$[3]'), json_extract(value, '$[4]')
FROM json_each(?)
WHERE true
ON CONFLICT (item_id) DO UPDATE SET
  position = excluded.position, line = excluded.line, run = excluded.run,
  hash = CASE WHEN start IS NULL THEN excluded.hash ELSE hash END
"""
_FINISH = """
INSERT INTO items
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), 0,
  json_extract(value, '$[2]'), :run, json_extract(value, '$[3]'), json_extract(value, '$[4]'),
  json_extract(value, '$[5]'), json_extract(value, '$[6]'), json_extract(value, '$[7]'),
  json_extract(value, '$[8]'), json_extract(value, '$[9]'), json_extract(value, '$[10]'),
  json_extract(value, '$[11]')
FROM json_each(:lines) WHERE true
ON CONFLICT (item_id) DO UPDATE SET
  hash = excluded.hash, start = excluded.start, length = excluded.length, crc = excluded.crc,
  is_ok = excluded.is_ok, error = excluded.error, is_retryable = excluded.is_retryable,
  tokens = excluded.tokens, cost = excluded.cost, served_by = excluded.served_by
"""


class JournalUnreadable(BatchError):
    """What is there is not a journal that this version can read."""


@frozen
class Begun:
    """What is known of an item.

    Attributes:
        position: Its place in the input.
        line: Its line there.
        request_hash: Digest of what was asked.
        run: The run that last saw it in its input.
        is_written: Whether the output has its line.
    """

    position: int
    line: int
    request_hash: str
    run: int
    is_written: bool = field(converter=bool)


@frozen
class Place:
    """Where a line stands.

    Attributes:
        start: Its first byte.
        length: Its length in bytes.
        crc: Its CRC-32.
    """

    start: int
    length: int
    crc: int


class Journal:
    """The index of one output. Blocking, for one thread at a time.

    Args:
        path: The SQLite file; None is one that goes when it is closed.

    Raises:
        JournalUnreadable: It is no journal, or one of another version.
        BatchError: It cannot be opened or written.
    """

    def __init__(self, path: Path | None) -> None:
        where = "" if path is None else str(path)
        self._path = path
        try:
            self._db = sqlite3.connect(where, check_same_thread=False, timeout=10.0)
        except sqlite3.Error as error:
            raise BatchError(f"the journal {where} cannot be opened: {error}") from None
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._db.close()
            if isinstance(error, sqlite3.OperationalError):  # of the disk, not of what is on it
                raise BatchError(f"the journal {where} cannot be written: {error}") from None
            raise JournalUnreadable(f"the journal {where} cannot be read ({error})") from None
        except JournalUnreadable:
            self._db.close()
            raise

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (is_used,) = self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        if is_used and version != _VERSION:
            raise JournalUnreadable(
                f"the journal {self._path} is of another version of scillm-batch"
            )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # the output is the truth
        if not is_used:
            self._db.executescript(f"{_SCHEMA}; PRAGMA user_version = {_VERSION};")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction.

        Raises:
            BatchError: The disk is full, or the like.
        """
        try:
            with self._db:
                yield
        except sqlite3.Error as error:
            raise BatchError(
                f"the journal {self._path} cannot be written: {error}; what was written before is "
                "safe, so make room and run the same command with --resume"
            ) from None

    def meta(self, name: str) -> str | None:
        """Return a note, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def note(self, name: str, value: str) -> None:
        """Write a note."""
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def known(self, ids: Iterable[str]) -> dict[str, Begun]:
        """Return what is known of these items."""
        wanted = list(ids)
        found: dict[str, Begun] = {}
        for first in range(0, len(wanted), _AT_A_TIME):
            some = wanted[first : first + _AT_A_TIME]
            rows = self._db.execute(
                "SELECT item_id, position, line, hash, run, start IS NOT NULL FROM items "  # noqa: S608  # question marks alone
                f"WHERE item_id IN ({', '.join('?' * len(some))})",
                some,
            )
            found.update((row[0], Begun(*row[1:])) for row in rows)
        return found

    def begin(self, items: Iterable[tuple[str, int, int, str, int]]) -> None:
        """Take note of items of the input: id, position, line, hash, run."""
        with self._writing():
            self._db.execute(_BEGIN, (json.dumps(list(items)),))

    def finish(self, lines: Iterable[bytes], run: int) -> None:
        """Take note of lines that are written, as ``finished`` tells of them."""
        values = b"[%s]" % b",".join(lines)
        with self._writing():
            self._db.execute(_FINISH, {"lines": values.decode(), "run": run})

    def places(self, order: str = "start", where: str = "1") -> Iterator[tuple[str, Place]]:
        """Yield the item and the place of each line, in the order of a column.

        Args:
            order: ``"start"`` or ``"position"``.
            where: A condition of ours, in SQL.
        """
        rows = self._db.execute(
            f"SELECT item_id, start, length, crc FROM items WHERE start IS NOT NULL AND ({where}) "  # noqa: S608  # our own words
            f"ORDER BY {order}, start"
        )
        with closing(rows):
            yield from ((row[0], Place(*row[1:])) for row in rows)

    def is_in_order(self) -> bool:
        """Return whether the lines stand in the order of the input."""
        (inversions,) = self._db.execute(
            "SELECT EXISTS (SELECT 1 FROM (SELECT position, LAG(position) OVER (ORDER BY start) "
            "AS before FROM items WHERE start IS NOT NULL) WHERE before > position)"
        ).fetchone()
        return not inversions

    @contextmanager
    def moving(self) -> Iterator[Callable[[str, int], object]]:
        """Take note that lines stand elsewhere, of all at the end: yields what is told id, start.

        It may be told while ``places`` is iterated.
        """
        with self._writing():
            self._db.execute("CREATE TEMP TABLE moved (item_id TEXT PRIMARY KEY, start INTEGER)")
            try:
                yield lambda *move: self._db.execute("INSERT INTO moved VALUES (?, ?)", move)
                self._db.execute(
                    "UPDATE items SET start = "
                    "(SELECT moved.start FROM moved WHERE moved.item_id = items.item_id) "
                    "WHERE start IS NOT NULL"
                )
            finally:
                self._db.execute("DROP TABLE moved")

    def forget(self, ids: Iterable[str]) -> None:
        """Take note that the lines of some items are gone."""
        with self._writing():
            self._db.executemany(
                "UPDATE items SET start = NULL, length = NULL, crc = NULL WHERE item_id = ?",
                ((each,) for each in ids),
            )

    def clear(self) -> None:
        """Forget every item."""
        with self._writing():
            self._db.execute("DELETE FROM items")

    def counts(self) -> dict[str, Any]:
        """Return sums over the lines.

        Returns:
            ``done``, ``ok``, ``failed``, ``retryable``, ``begun`` (without a line), ``tokens``,
            ``cost`` (None if nobody told), ``errors`` and ``served_by`` (name to number).
        """
        one = self._db.execute(
            "SELECT COUNT(start), COALESCE(SUM(is_ok AND start IS NOT NULL), 0), "
            "COALESCE(SUM(is_retryable AND start IS NOT NULL), 0), COUNT(*) - COUNT(start), "
            "COALESCE(SUM(CASE WHEN start IS NOT NULL THEN tokens END), 0), "
            "SUM(CASE WHEN start IS NOT NULL THEN cost END) FROM items"
        ).fetchone()
        done, ok, retryable, begun, tokens, cost = one
        return {
            "done": done,
            "ok": ok,
            "failed": done - ok,
            "retryable": retryable,
            "begun": begun,
            "tokens": tokens,
            "cost": cost,
            "errors": self._numbers("error"),
            "served_by": self._numbers("served_by"),
        }

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _numbers(self, column: str) -> dict[str, int]:
        return dict(
            self._db.execute(
                f"SELECT {column}, COUNT(*) FROM items WHERE start IS NOT NULL "  # noqa: S608  # our own words
                f"AND {column} != '' GROUP BY {column} ORDER BY 2 DESC"
            ).fetchall()
        )


def finished(known: Known, place: Place) -> bytes:
    """Return what the journal takes note of, where a line is written: a text of JSON.

    Thousands of them wait at times; the garbage collector looks into no text.
    """
    values = (
        known.item_id,
        known.index,
        known.request_hash,
        place.start,
        place.length,
        place.crc,
        known.is_ok,
        known.error_type,
        known.is_retryable,
        known.tokens,
        known.cost,
        known.served_by,
    )
    return msgspec.json.encode(values)
