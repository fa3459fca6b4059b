"""A streamed body, read as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scillm import InvalidResponse
from scillm_transport.sse import Frames

if TYPE_CHECKING:
    from scillm import Event, Request


class Reading:
    """Feed it blocks, get events; it knows whether the stream is over, and whether it was whole.

    Args:
        request: Says how a frame is read, and which one is the end mark.
        whole: The body, if it was read at once because the server did not stream.
    """

    def __init__(self, request: Request, whole: bytes | None = None) -> None:
        self._request, self._whole = request, whole
        self._frames = Frames(request.max_bytes)
        self._is_empty, self._is_finished = True, False
        self.is_over = False

    def feed(self, block: bytes) -> Iterator[Event]:
        """Yield the events that *block* completes, up to the end mark."""
        return self._events(self._frames.feed(block))

    def close(self) -> Iterator[Event]:
        """Yield what was left, at the end of the body.

        Raises:
            InvalidResponse: The stream stopped short.
        """
        if not self.is_over:
            last = self._frames.close() if self._whole is None else [self._whole]
            yield from self._events(last)
        if self._is_empty:
            raise InvalidResponse("the stream ended without an answer in it")
        if not self._is_finished:
            raise InvalidResponse(
                "the stream stopped short: it has neither a finish_reason nor an end mark, "
                "so the answer is not whole"
            )

    def _events(self, frames: list[bytes]) -> Iterator[Event]:
        for frame in frames:
            if frame == self._request.end:
                self.is_over = self._is_finished = True
                return
            for event in self._request.events(frame):
                self._is_empty = False
                self._is_finished = self._is_finished or event.is_final
                yield event
