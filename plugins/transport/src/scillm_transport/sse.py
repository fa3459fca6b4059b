"""Server-sent events, cut out of blocks of bytes as they arrive.

Works on bytes, so that a character split over two blocks, or a line separator that is
none to this protocol (U+2028, U+0085), cannot harm.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, November 2026.
"""

from __future__ import annotations

from scillm import InvalidResponse

_BOM = b"\xef\xbb\xbf"


class Frames:
    """Feed it blocks, get the ``data`` of each event.

    Args:
        max_bytes: The longest event that is accepted.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []  # of a line whose end has not come
        self._waiting_bytes = 0
        self._data: list[bytes] = []  # lines of an event whose end has not come
        self._ends_with_cr = False
        self._is_first = True

    def feed(self, block: bytes) -> list[bytes]:
        """Take the next block; return the data of every event that it completes.

        Raises:
            InvalidResponse: An event is longer than *max_bytes*.
        """
        if self._ends_with_cr or b"\r" in block:
            block = self._with_plain_line_ends(block)
        head, newline, rest = block.rpartition(b"\n")
        self._waiting_bytes += len(rest if newline else block)
        if self._waiting_bytes > self._max_bytes:
            raise InvalidResponse(f"an event of the stream is longer than {self._max_bytes} bytes")
        if not newline:
            self._parts.append(block)
            return []
        if self._parts:
            head = b"".join([*self._parts, head])
        self._parts = [rest] if rest else []
        return self._events(head)

    def close(self) -> list[bytes]:
        """Return the data of a last event that was not ended by a blank line."""
        return self._events(b"".join(self._parts) + b"\n")

    def _events(self, lines: bytes) -> list[bytes]:
        if self._is_first:
            self._is_first, lines = False, lines.removeprefix(_BOM)
        ended = []
        for line in lines.split(b"\n"):
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
                self._waiting_bytes += len(line)
            elif line == b"data":
                self._data.append(b"")
            elif not line and self._data:
                ended.append(b"\n".join(self._data))
                self._data = []
                self._waiting_bytes = len(self._parts[0]) if self._parts else 0
        return ended

    def _with_plain_line_ends(self, block: bytes) -> bytes:
        r"""Turn ``\r\n`` and ``\r`` into ``\n``, also where the pair is cut between blocks."""
        if self._ends_with_cr and block.startswith(b"\n"):
            block = block[1:]
        if b"\r" in block:
            self._ends_with_cr = block.endswith(b"\r")
            return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._ends_with_cr = self._ends_with_cr and not block
        return block
