"""What can happen on a connection, and what a step of a fault script is given.

A step is a pure generator: it gets an `Exchange` and yields bytes to write, a `Pause`, or an `End`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import TypeAlias

import attrs

from . import shapes, wire
from .plan import Plan


class End(Enum):
    """How a connection ends other than by waiting for the next request."""

    CLOSE = "what was written is sent, then the connection is closed"
    ABORT = "closed at once"
    RESET = "closed with a TCP reset"
    HANG = "nothing more is ever sent, and the connection stays open"


@attrs.frozen
class Pause:
    """Nothing is written for so many seconds; 0 is one turn of the loop."""

    seconds: float


Action: TypeAlias = "bytes | Pause | End"


@attrs.frozen
class Exchange:
    """A request, and the plan of its URL."""

    plan: Plan
    request: wire.Received
    scheme: str = "http"

    @property
    def whole(self) -> bytes:
        """The JSON body of the answer when all is well."""
        return shapes.encode(self.plan.body(self.request))

    @property
    def is_stream(self) -> bool:
        """Whether the answer is streamed when all is well."""
        return self.plan.kind == "chat" and self.request.is_stream


Step: TypeAlias = "Callable[[Exchange], Iterator[Action]]"


def stream(
    events: list[bytes], gap_s: float | None, content_type: str = wire.SSE_TYPE
) -> Iterator[Action]:
    """A streamed answer, one HTTP chunk per event; without a gap it is written in one go."""
    head = wire.head(200, content_type, None, {})
    if gap_s is None:
        yield b"".join([head, *map(wire.chunk, events), wire.END_OF_CHUNKS])
        return
    yield head
    for event in events:
        yield Pause(gap_s)
        yield wire.chunk(event)
    yield wire.END_OF_CHUNKS


def half(exchange: Exchange) -> bytes:
    """Half of the stream, or of the body, without an end."""
    if exchange.is_stream:
        events = exchange.plan.events(exchange.request)
        sent = map(wire.chunk, events[: len(events) // 2])
        return wire.head(200, wire.SSE_TYPE, None, {}) + b"".join(sent)
    whole = wire.answer(200, exchange.whole)
    return whole[: len(whole) // 2]
