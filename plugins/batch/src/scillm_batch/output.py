"""A file of whole lines: appended to, and on the disk before anybody is told so."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from scillm_batch.items import BatchError

_BLOCK_BYTES = 1 << 20


class Output:
    """The output of a run, open for appending and reading. Blocking.

    Attributes:
        path: Where it is.
        end: Where the next line will stand, in bytes.
        cut_bytes: Bytes of a half line that a crash left, which were taken off.

    Args:
        path: Where it is to be; made if it is not there.

    Raises:
        BatchError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        is_new = not path.exists()
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise BatchError(f"the output {path} cannot be opened: {error.strerror}") from None
        if is_new:
            _sync_folder(path)
        whole = self._whole_lines()
        self.cut_bytes = os.fstat(self._fd).st_size - whole
        if self.cut_bytes:
            os.ftruncate(self._fd, whole)
        self.end = whole

    def append(self, text: bytes) -> None:
        """Write whole lines; when this returns they are on the disk.

        Raises:
            BatchError: They are not, and the file ends where it ended before.
        """
        try:
            left = memoryview(text)
            while left:
                left = left[os.write(self._fd, left) :]
            os.fdatasync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.end)
            raise BatchError(
                f"the output {self.path} cannot be written: {error.strerror}; what was written "
                "before is safe, so make room and run the same command with --resume"
            ) from None
        self.end += len(text)

    def read(self, start: int, length: int) -> bytes:
        """Return the bytes of one line."""
        return os.pread(self._fd, length, start)

    def lines(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield the lines from *start* on, with where each stands."""
        with self.path.open("rb") as file:
            file.seek(start)
            for line in file:
                yield start, line
                start += len(line)

    def rewrite(self, places: Iterable[tuple[int, int]]) -> None:
        """Replace the file, in one step, by some of its lines in another order.

        Args:
            places: Start and length of each line that is to be kept.

        Raises:
            BatchError: It cannot be written, and the file is as it was.
        """
        new = self.path.with_name(self.path.name + ".new")
        try:
            with new.open("wb") as file:
                for start, length in places:
                    file.write(self.read(start, length))
                file.flush()
                os.fsync(file.fileno())
                end = file.tell()
            fd = os.open(new, os.O_RDWR | os.O_APPEND)
            new.replace(self.path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise BatchError(
                f"{self.path} cannot be written a second time, with its lines in order: "
                f"{error.strerror}; nothing is lost, so make room and run the same command with "
                "--resume"
            ) from None
        _sync_folder(self.path)
        os.close(self._fd)
        self._fd, self.end = fd, end

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _whole_lines(self) -> int:
        """Return where the last whole line ends."""
        at = os.fstat(self._fd).st_size
        while at > 0:
            begin = max(0, at - _BLOCK_BYTES)
            found = os.pread(self._fd, at - begin, begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            at = begin
        return 0


def append_aside(path: Path, lines: Iterable[bytes]) -> None:
    """Append lines to another file, and see that they are on the disk.

    Raises:
        BatchError: They are not.
    """
    try:
        with path.open("ab") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BatchError(
            f"lines cannot be kept in {path}: {error.strerror}; nothing was taken out"
        ) from None


def _sync_folder(path: Path) -> None:
    """See to it that the folder knows of a new file, should the power fail."""
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
