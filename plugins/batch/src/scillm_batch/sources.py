"""Where items come from: files, standard input, iterators. Read as needed, never whole."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping, Sized
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from scillm_batch.items import BadLine, BatchError, Entry, Item
from scillm_batch.lines import Reading

MAX_LINE_BYTES = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


def entries(source: Any, reading: Reading) -> Iterator[Entry]:
    """Return the entries of *source*, read as they are taken.

    Args:
        source: A path (``.jsonl``, ``.csv``, ``.tsv``, ``.parquet``; anything else is read as
            JSONL), ``"-"`` for standard input, or an iterable of mappings or ``Item`` values.
        reading: How records become items.

    Raises:
        BatchError: The file cannot be read, or a library for its kind is missing.
    """
    if isinstance(source, (str, Path)):
        return _of_file(str(source), reading)
    return _of_iterable(source, reading)


def _of_file(path: str, reading: Reading) -> Iterator[Entry]:
    kind = Path(path).suffix.lower()
    if kind == ".parquet":
        return _records(_parquet(path), reading)
    if kind in (".csv", ".tsv"):
        return _table(path, reading, "\t" if kind == ".tsv" else ",")
    return _jsonl(path, reading)


def _of_iterable(source: Iterable[Any], reading: Reading) -> Iterator[Entry]:
    with closing(source) if isinstance(source, Generator) else nullcontext():
        for index, record in enumerate(source):
            yield record if isinstance(record, Item) else reading.given(record, index=index)


def count(source: Any) -> int | None:
    """Return about how many entries a source has, None if only reading it would tell."""
    if not isinstance(source, (str, Path)):
        return len(source) if isinstance(source, Sized) else None
    path = Path(source)
    if str(source) == "-" or not path.is_file():
        return None
    if path.suffix.lower() == ".parquet":
        from pyarrow import parquet  # type: ignore[import-untyped]  # it has no types

        rows: int = parquet.read_metadata(path).num_rows
        return rows
    lines, block = 0, b"\n"
    with path.open("rb") as file:
        while more := file.read(1 << 20):
            block = more
            lines += block.count(b"\n")
    lines += not block.endswith(b"\n")
    return lines - 1 if path.suffix.lower() in (".csv", ".tsv") else lines


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        with _standard_input() as file:
            yield file
        return
    try:
        with Path(path).open("rb") as file:
            yield file
    except OSError as error:
        raise BatchError(f"the input {path!r} cannot be read: {error.strerror}") from None


def _standard_input() -> IO[bytes]:
    """Return a file of our own: one whose last reader is still waiting aborts Python at its end.

    See the note on daemon threads in https://docs.python.org/3/library/io.html#reentrancy
    """
    try:
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    except (OSError, ValueError):  # it is replaced by one in memory
        return sys.stdin.buffer


def _jsonl(path: str, reading: Reading) -> Iterator[Entry]:
    index = 0
    with _opened(path) as file:
        for line, text in _lines(file):
            if text is None:
                why = f"it is longer than {MAX_LINE_BYTES} bytes"
                yield BadLine(index=index, line=line, why=why)
            elif text.strip():
                yield reading.line(text, index=index, line=line)
            else:
                continue
            index += 1


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Yield numbered lines; None for one that is too long, which is skipped unread."""
    number = 0
    while text := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number == 1:
            text = text.removeprefix(_BOM)
        if len(text) <= MAX_LINE_BYTES:
            yield number, text
            continue
        while text and not text.endswith(b"\n"):
            text = file.readline(MAX_LINE_BYTES)
        yield number, None


def _table(path: str, reading: Reading, delimiter: str) -> Iterator[Entry]:
    with _opened(path) as file:
        text = _Text(file)
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        header = next(rows, [])
        index = 0
        while True:
            try:
                row = next(rows)
            except StopIteration:
                row = None
            except csv.Error as error:
                text.problems.append((rows.line_num, f"it is not CSV: {error}"))
                row = []
            for line, why in text.taken():
                yield BadLine(index=index, line=line, why=why)
                index += 1
            if row is None:
                return
            if not row:
                continue
            if len(row) != len(header):
                why = f"it has {len(row)} columns, and the header has {len(header)}"
                yield BadLine(index=index, line=rows.line_num, why=why)
            else:
                record = dict(zip(header, row, strict=True))
                yield reading.record(record, index=index, line=rows.line_num)
            index += 1


class _Text:
    """The lines of a file as text, and what was wrong with some of them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._lines = _lines(file)
        self.problems: list[tuple[int, str]] = []

    def __iter__(self) -> _Text:
        return self

    def __next__(self) -> str:
        number, raw = next(self._lines)
        if raw is None:
            self.problems.append((number, f"it is longer than {MAX_LINE_BYTES} bytes"))
            return "\n"
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self.problems.append((number, f"it is not UTF-8: {error.reason}"))
            return "\n"

    def taken(self) -> list[tuple[int, str]]:
        """Return the problems since the last time."""
        found, self.problems = self.problems, []
        return found


def _records(rows: Iterable[Mapping[str, Any]], reading: Reading) -> Iterator[Entry]:
    for index, row in enumerate(rows):
        yield reading.record(row, index=index, line=index + 1)


def _parquet(path: str) -> Iterator[Mapping[str, Any]]:
    try:
        from pyarrow import parquet  # large, and only who has such a file needs it
    except ImportError:
        raise BatchError(
            "reading Parquet needs pyarrow: pip install 'scillm-batch[parquet]'"
        ) from None
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise BatchError(f"the input {path!r} cannot be read: {error}") from None
    with file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()
