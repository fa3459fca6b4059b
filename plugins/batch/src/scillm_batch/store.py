"""What of a run is finished, and is never lost: the output and its journal, kept in step.

The output is the truth, and is written first. After a crash the journal may be behind: the
lines that it does not know are read. If it does not fit the output, it is made anew from it.

Everything here blocks, and is for one thread at a time.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import define, field, frozen
from filelock import FileLock
from filelock import Timeout as LockTaken

from scillm_batch.items import Arguments, BadLine, BatchError, Entry, Item, request_hash
from scillm_batch.journal import Begun, Journal, JournalUnreadable, Place, finished
from scillm_batch.output import Output, append_aside
from scillm_batch.rows import Format, Known, Line, Row

Changed: TypeAlias = Literal["error", "rerun", "keep"]
LOG = logging.getLogger("scillm.batch")
FAILED, RETRYABLE = "NOT is_ok", "is_retryable"
_AT_A_TIME = 1000
INDEX_S = 0.5  # the journal may be behind the output by so much


@frozen(kw_only=True)
class Admitted:
    """What became of some entries of the input.

    Attributes:
        items: Those that are to be asked, with the digest of each.
        bad: Those that cannot be and have no row yet.
        done: How many have theirs.
    """

    items: list[tuple[Item, str]]
    bad: list[BadLine]
    done: int


class Store:
    """The finished part of a run. A context, which gives the files back.

    Attributes:
        run: How many runs this output has seen, this one included.

    Args:
        path: The output; None keeps nothing on disk.
        form: Shape of its lines.
        on_changed: What becomes of a finished item that asks something else now: an
            ``"error"``, ``"rerun"``, which takes the old line out, or ``"keep"``.
        clock: Tells seconds that never go back.

    Raises:
        BatchError: Another run has the output, or it cannot be opened.
    """

    _journal: Journal = None  # type: ignore[assignment]  # until it is opened

    def __init__(
        self,
        path: Path | None,
        form: Format = "scillm",
        on_changed: Changed = "error",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._indexed_s = clock, clock()
        path = None if path is None else path.resolve()  # a link is not replaced by a file
        self._unindexed: list[bytes] = []
        self.path, self.form, self._on_changed = path, form, on_changed
        self._lock = None if path is None else _locked(path)
        self._output: Output | None = None
        try:
            self._journal = Journal(None) if path is None else _journal(path)
            if path is not None:
                self._output = Output(path)
                self._recover(self._output)
            self.run = 1 + int(self._journal.meta("run") or 0)
            self._journal.note("run", str(self.run))
        except BaseException:
            self.close()
            raise

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written."""
        return self._output is None or self._output.end == 0

    def admit(self, entries: Sequence[Entry], asked: Callable[[Item], Arguments]) -> Admitted:
        """Say which of some entries are to be asked, and take note that they are begun.

        Args:
            entries: The next entries of the input.
            asked: What an item asks, defaults included.

        Raises:
            BatchError: A finished item asks something else now.
        """
        digested = [_digested(entry, asked) for entry in entries]
        sorting = _Sorting(self._journal.known(entry.id for entry, _ in digested), self.run)
        for entry, digest in digested:
            if isinstance(entry, BadLine):
                sorting.bad.append(entry)
            elif (twin := sorting.twin(entry)) is not None:
                sorting.bad.append(twin)
            else:
                self._sort(sorting, entry, digest)
        if sorting.changed:
            self._drop(sorting.changed)
        self._journal.begin(sorting.begun(self.run))
        known = self._journal.known(entry.id for entry in sorting.bad)
        bad = [b for b in sorting.bad if b.id not in known or not known[b.id].is_written]
        done = len(entries) - len(sorting.wanted) - len(bad)
        return Admitted(items=sorting.wanted, bad=bad, done=done)

    def commit(self, rows: Sequence[Row]) -> None:
        """Write the lines of some rows; when this returns they are on the disk.

        Raises:
            BatchError: They could not be written; what was before is as it was.
        """
        self.write([Line.of_row(row, self.form) for row in rows])

    def write(self, lines: Sequence[Line]) -> None:
        """Write lines; as ``commit``."""
        start = 0 if self._output is None else self._output.end
        if self._output is not None:
            self._output.append(b"".join(line.text for line in lines))
        for line in lines:
            place = Place(start, len(line.text), zlib.crc32(line.text))
            self._unindexed.append(finished(line.known, place))
            start += place.length
        if self._clock() - self._indexed_s > INDEX_S:
            self.index()

    def index(self) -> None:
        """Tell the journal of the lines that it does not know; after a crash they are read."""
        self._journal.finish(self._unindexed, self.run)
        self._unindexed, self._indexed_s = [], self._clock()

    def in_order(self) -> None:
        """Put the lines into the order of the input.

        Raises:
            BatchError: There is no room for a second file; the first is as it was.
        """
        self.index()
        if self._output is not None and not self._journal.is_in_order():
            self._rearrange(self._output, self._journal.places("position"))

    def take_out(self, condition: str) -> int:
        """Take out the lines for which a condition of SQL holds; they are kept in another file.

        Returns:
            How many.
        """
        self.index()
        ids = [item_id for item_id, _ in self._journal.places(where=condition)]
        self._drop(ids)
        return len(ids)

    def counts(self) -> dict[str, Any]:
        """Return sums, as ``Journal.counts``."""
        self.index()
        return self._journal.counts()

    def note(self, name: str, value: str) -> None:
        """Write a note that stays with the output."""
        self._journal.note(name, value)

    def noted(self, name: str) -> str | None:
        """Return such a note, or None."""
        return self._journal.meta(name)

    def close(self) -> None:
        """Give back the files and the lock."""
        with ExitStack() as closing:
            if self._lock is not None:
                closing.callback(self._lock.release)
            if self._journal is not None:
                closing.callback(self._journal.close)
                if self._unindexed:
                    closing.callback(self.index)
            if self._output is not None:
                closing.callback(self._output.close)
                self._output = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _sort(self, sorting: _Sorting, item: Item, digest: str) -> None:
        sorting.here[item.id] = (item, digest)
        old = sorting.known.get(item.id)
        if old is None or not old.is_written:
            sorting.wanted.append((item, digest))
        elif old.request_hash not in (digest, "") and self._is_to_rerun(item):
            sorting.changed.append(item.id)
            sorting.wanted.append((item, digest))

    def _is_to_rerun(self, item: Item) -> bool:
        if self._on_changed == "error":
            where = f" (line {item.line})" if item.line else ""
            raise BatchError(
                f"item {item.id!r}{where} was answered before, and asks something else now: the "
                "input, the model or the schema has changed. Take another output, or say "
                "--changed rerun to ask it again, or --changed keep to leave it"
            )
        return self._on_changed == "rerun"

    def _drop(self, ids: Sequence[str]) -> None:
        if self._output is None or not ids:
            return
        output, gone = self._output, set(ids)
        lines = (output.read(p.start, p.length) for i, p in self._journal.places() if i in gone)
        append_aside(output.path.with_name(output.path.name + ".superseded"), lines)
        self._rearrange(output, (each for each in self._journal.places() if each[0] not in gone))
        self._journal.forget(ids)

    def _rearrange(self, output: Output, kept: Iterable[tuple[str, Place]]) -> None:
        """Write the output anew, and tell the journal: after a crash between, it is made anew."""
        with self._journal.moving() as moved:

            def places() -> Iterator[tuple[int, int]]:
                at = 0
                for item_id, place in kept:
                    moved(item_id, at)
                    at += place.length
                    yield place.start, place.length

            output.rewrite(places())

    def _recover(self, output: Output) -> None:
        """Bring the journal to what the output says."""
        if output.cut_bytes:
            LOG.warning(
                "%s ended in half a line of %d bytes, which a crash left: it is cut off, and its "
                "item is asked again",
                output.path,
                output.cut_bytes,
            )
        at = self._verified(output)
        if at is None:
            LOG.warning("the journal of %s does not fit it, and is made anew from it", output.path)
            self._journal.clear()
            at = 0
        batch: list[bytes] = []
        for start, line in output.lines(at):
            known = Known.of_line(line)
            if known is None:
                raise BatchError(
                    f"{output.path} has a line that is no row of a run, at byte {start}: "
                    f"{line[:80]!r}; name another output, or take that line out"
                )
            batch.append(finished(known, Place(start, len(line), zlib.crc32(line))))
            if len(batch) >= _AT_A_TIME:
                self._journal.finish(batch, 0)
                batch = []
        self._journal.finish(batch, 0)

    def _verified(self, output: Output) -> int | None:
        """Return where the lines end that the journal knows; None if they are not those lines."""
        at = 0
        lines = output.lines()
        for _, place in self._journal.places():
            start, line = next(lines, (-1, b""))
            if (start, len(line)) != (place.start, place.length) or zlib.crc32(line) != place.crc:
                return None
            at = start + len(line)
        return at


@define
class _Sorting:
    """Some entries of the input, being told apart."""

    known: dict[str, Begun]
    run: int
    here: dict[str, tuple[Item, str]] = field(factory=dict)
    wanted: list[tuple[Item, str]] = field(factory=list)
    bad: list[BadLine] = field(factory=list)
    changed: list[str] = field(factory=list)

    def twin(self, item: Item) -> BadLine | None:
        """Say that an item before it has its name; None if none has."""
        old = self.known.get(item.id)
        if item.id in self.here:
            first = self.here[item.id][0]
            where = (first.line, first.index)
        elif old is not None and old.run == self.run:
            where = (old.line, old.position)
        else:
            return None
        said = f"line {where[0]}" if where[0] else f"item {where[1]}"
        why = f"its item_id {item.id!r} is that of {said} too"
        return BadLine(index=item.index, line=item.line, why=why)

    def begun(self, run: int) -> Iterator[tuple[str, int, int, str, int]]:
        """Yield what the journal is to take note of."""
        for item, digest in self.here.values():
            yield item.id, item.index, item.line, digest, run


def _digested(entry: Entry, asked: Callable[[Item], Arguments]) -> tuple[Entry, str]:
    """Return an entry with the digest of what it asks; one that cannot be written is a bad line."""
    if isinstance(entry, BadLine):
        return entry, ""
    try:
        entry.id.encode()
        if "\0" in entry.id:
            raise ValueError("its item_id has a NUL character")  # noqa: TRY301  # one place tells
        return entry, request_hash(asked(entry), entry.operation)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        why = f"it cannot be kept as JSON: {error}"
        return BadLine(index=entry.index, line=entry.line, why=why), ""


def _locked(path: Path) -> FileLock:
    """Take the output for this run.

    Raises:
        BatchError: Another run has it.
    """
    lock = FileLock(path.with_name(path.name + ".lock"), thread_local=False)
    try:
        lock.acquire(timeout=0)
    except LockTaken:
        raise BatchError(
            f"another run is writing {path}: wait for it to end, or name another output"
        ) from None
    except OSError as error:
        raise BatchError(f"the output {path} cannot be written: {error.strerror}") from None
    return lock


def journal_of(path: Path) -> Path:
    """Return where the journal of an output is."""
    return path.with_name(path.name + ".journal")


def _journal(path: Path) -> Journal:
    where = journal_of(path)
    try:
        return Journal(where)
    except JournalUnreadable as error:
        LOG.warning("%s, and is made anew", error)
        for each in (where, Path(f"{where}-wal"), Path(f"{where}-shm")):
            each.unlink(missing_ok=True)
        return Journal(where)
