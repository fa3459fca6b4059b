"""Steps that answer with server-sent events that are broken, endless or hard to read.

Asked for a whole answer, they do what comes nearest; the package's docstring says what.
Source: HTML Living Standard, section 9.2.6 (interpreting an event stream).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from . import shapes, wire
from .actions import Action, Exchange, Pause, Step, stream

SEGMENT_GAP_S = 0.002
ENDLESS_GAP_S = 0.001


def _whole(exchange: Exchange) -> Iterator[Action]:
    yield wire.answer(200, exchange.whole)


def _without_end(exchange: Exchange) -> list[bytes]:
    """The events that carry content: no `finish_reason`, no usage, no `[DONE]`."""
    events = exchange.plan.events(exchange.request)
    return [event for event in events if b'"finish_reason":null' in event]


def _cutsse(exchange: Exchange) -> Iterator[Action]:
    """A stream whose HTTP framing ends well, though the answer does not."""
    if exchange.is_stream:
        yield from stream(_without_end(exchange), exchange.plan.options.gap_s)
    else:
        yield wire.answer(200, exchange.whole[: len(exchange.whole) // 2])


def _nodone(exchange: Exchange) -> Iterator[Action]:
    """A stream that ends with `finish_reason`, no `[DONE]`, and no blank line at its end."""
    if not exchange.is_stream:
        yield from _whole(exchange)
        return
    events = exchange.plan.events(exchange.request)
    choices = [event for event in events if b'"finish_reason":' in event]
    choices[-1] = choices[-1].rstrip(b"\n")
    yield from stream(choices, exchange.plan.options.gap_s)


def _errsse(exchange: Exchange) -> Iterator[Action]:
    """An error object after two chunks; asked for a whole answer, one with status 200."""
    error: shapes.JsonObject = {"message": "mock overloaded", "type": "server_error"}
    error.update(param=None, code="server_error")
    if exchange.is_stream:
        events = [*exchange.plan.events(exchange.request)[:2], shapes.event({"error": error})]
        yield from stream(events, exchange.plan.options.gap_s)
    else:
        yield wire.answer(200, shapes.encode({"error": error}))


def _endless(exchange: Exchange) -> Iterator[Action]:
    """A stream of content that does not end; asked for a whole answer, endless white space."""
    is_stream = exchange.is_stream
    gap_s = exchange.plan.options.gap_s
    piece = _without_end(exchange)[1] if is_stream else b" " * 64
    yield wire.head(200, wire.SSE_TYPE if is_stream else wire.JSON_TYPE, None, {})
    while True:
        yield wire.chunk(piece)
        yield Pause(ENDLESS_GAP_S if gap_s is None else gap_s)


def _u2028(exchange: Exchange) -> Iterator[Action]:
    """`NASTY_TEXT` in every form that the standard allows, cut where it hurts."""
    options = exchange.plan.options
    if not exchange.is_stream:
        yield wire.answer(200, shapes.encode(shapes.completion(options, shapes.NASTY_TEXT)))
        return
    yield wire.head(200, wire.SSE_TYPE, None, {})
    for segment in nasty_segments(exchange):
        yield wire.chunk(segment)
        # Segments written at once would arrive as one, and nothing would be cut.
        yield Pause(SEGMENT_GAP_S)
    yield wire.END_OF_CHUNKS


def nasty_segments(exchange: Exchange) -> Iterator[bytes]:
    """The bytes of the stream of `u2028`, in the pieces in which they are sent."""
    options = exchange.plan.options
    text = shapes.NASTY_TEXT
    head, middle, tail = text[:3], text[3:12], text[12:]
    yield b": a comment\n\n:\nretry: 10\nid: 1\nevent: message\n"
    yield shapes.event(shapes.chunk({"role": "assistant", "content": ""}, 0, options))
    yield shapes.event(shapes.chunk({"content": head}, 0, options))
    yield from _cut_characters(shapes.event(shapes.chunk({"content": middle}, 0, options)))
    folded = shapes.event(shapes.chunk({"content": tail}, 0, options))
    # One value over several data fields, where JSON allows a line break.
    lines = folded.replace(b',"choices"', b'\ndata:,"choices"').replace(b"}]", b"}\ndata: ]")
    crlf = lines.replace(b"\n", b"\r\n")
    yield from (crlf[:-3], crlf[-3:-1], crlf[-1:])
    yield shapes.event(shapes.chunk({}, 0, options, "stop")).replace(b"\n", b"\r")
    yield b": another\r" + b"data:" + shapes.DONE[6:].replace(b"\n", b"\r")


def _cut_characters(event: bytes) -> Iterator[bytes]:
    """The event, cut within each of its characters of several bytes."""
    start = 0
    for place, byte in enumerate(event):
        is_continuation = byte & 0xC0 == 0x80
        if is_continuation and event[place - 1] & 0xC0 == 0xC0:
            yield event[start:place]
            start = place
    yield event[start:]


STEPS: Mapping[str, Step] = {
    "cutsse": _cutsse,
    "nodone": _nodone,
    "errsse": _errsse,
    "endless": _endless,
    "u2028": _u2028,
}
